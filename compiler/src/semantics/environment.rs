//! What a script's names mean so far: maps and variables with the types inferred for them.
//!
//! Inference goes over the script in rounds. A round that widens a type sets [`Environment::changed`], one
//! that comes across a name before its type is known sets [`Environment::met_unknown`]; the first that does
//! neither is the last.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::plan::{MapKind, Settings, UserMap};
use crate::semantics::c_sources::{CCode, Callable};
use crate::semantics::c_types::CTypes;
use crate::semantics::named_parameters::NamedParameter;
use crate::semantics::probe_filter::ProbeFilter;
use crate::semantics::widen;
use crate::syntax::ast::{NodeId, Span};
use crate::types::Type;

/// Names and types of one script, kept from round to round.
#[derive(Debug, Default)]
pub struct Environment {
    pub maps: BTreeMap<String, MapInfo>,
    /// By the program that a body is lowered for, and the node that declares the variable.
    variables: HashMap<(usize, NodeId), Type>,
    /// Variables that only literals have been assigned to.
    flexible: HashSet<(usize, NodeId)>,
    pub settings: Settings,
    /// Settings from the process's environment, by name: they win over `config` blocks.
    pub setting_variables: Vec<(String, String)>,
    /// Positional parameters, `$1` first.
    pub parameters: Vec<String>,
    /// `--name=value`
    pub named: Vec<NamedParameter>,
    /// What C definitions of this script and of earlier cells define.
    pub c_types: CTypes,
    /// Unstable features that this round has warned of.
    pub warned_of: HashSet<String>,
    /// Maps that something of an erroneous statement was to be assigned to.
    pub failed_maps: HashSet<String>,
    /// Functions that the script defines.
    pub functions: BTreeMap<String, Signature>,
    /// Functions that imported C sources define.
    pub c_functions: BTreeMap<String, Callable>,
    /// Which program or function calls which function, and where.
    pub calls: Vec<(usize, usize, Span)>,
    pub allow_unsafe: bool,
    /// Only this process is traced (`-p`).
    pub pid: Option<u32>,
    /// Failed reads and lookups are told (`-k`).
    pub read_warnings: bool,
    /// Probes and symbols that are not here are taken for granted.
    pub assume_probes: bool,
    /// Probes that it does not want are left out.
    pub probe_filter: Option<ProbeFilter>,
    /// A program may be at the entry and the return of functions.
    pub kprobe_sessions: bool,
    /// A variable was read that nothing has given a type yet.
    pub reads_untyped: bool,
    /// Such variables are integers from now on.
    pub untyped_are_integers: bool,
    /// Maps that are read and that nothing assigns to.
    pub never_assigned: HashSet<String>,
    /// Whether this round gave something another type than it had at an earlier place.
    pub changed: bool,
    /// Whether this round gave something its first type.
    pub learned: bool,
    /// Whether this round met something whose type was not known there.
    pub met_unknown: bool,
    /// What is still unknown is an error now.
    pub last_round: bool,
}

/// What is known of a map.
#[derive(Clone, Debug)]
pub struct MapInfo {
    pub key: KeyInfo,
    pub value: Option<Type>,
    /// Only non-negative literals have been assigned so far.
    pub flexible: bool,
    /// For which elements of the key there has been more than literals.
    pub told_keys: Vec<bool>,
    /// Where it was first used.
    pub first: Span,
    /// An earlier cell fixed the types; the text names it: `In [3]`.
    pub fixed_by: Option<String>,
    pub declared: Option<Declaration>,
}

/// What a function of the script takes and returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Its place among the module's functions.
    pub index: usize,
    pub parameters: Vec<Type>,
    pub returns: Type,
    /// Its name, where it is defined.
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyInfo {
    Unknown,
    Scalar,
    Keyed(Type),
}

/// `let @a = lruhash(100);`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declaration {
    pub kind: MapKind,
    pub max_entries: u32,
}

/// A map that lives in the session, with the cell that fixed its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveMap {
    pub map: UserMap,
    pub kind: MapKind,
    pub max_entries: u32,
    /// `In [3]`
    pub defined_by: String,
}

impl Environment {
    /// Puts the session's maps in place; their types no longer change.
    pub fn with_live_maps(live: &[LiveMap]) -> Environment {
        let mut environment = Environment::default();
        for entry in live {
            let key = entry.map.key.clone().map_or(KeyInfo::Scalar, KeyInfo::Keyed);
            let info = MapInfo {
                key,
                value: Some(entry.map.value.clone()),
                flexible: false,
                told_keys: Vec::new(),
                first: entry.map.span,
                fixed_by: Some(entry.defined_by.clone()),
                declared: Some(Declaration { kind: entry.kind, max_entries: entry.max_entries }),
            };
            environment.maps.insert(entry.map.name.clone(), info);
        }
        environment
    }

    /// Takes over `let @name = …` of earlier cells, for maps that do not exist yet.
    pub fn declare(&mut self, declarations: &[(String, Declaration)]) {
        for (name, declared) in declarations {
            let map = self.map(name, Span::default());
            if map.fixed_by.is_none() {
                map.declared = Some(*declared);
            }
        }
    }

    /// Makes the functions of C sources known.
    pub fn declare_c_functions(&mut self, code: &[CCode]) {
        let functions = code.iter().flat_map(|code| &code.functions);
        self.c_functions = functions.map(|one| (one.function.name.clone(), one.clone())).collect();
    }

    /// The declarations that hold for later cells.
    pub fn declarations(&self) -> Vec<(String, Declaration)> {
        let declared = |(name, map): (&String, &MapInfo)| {
            let declared = map.declared.filter(|_| map.fixed_by.is_none())?;
            Some((name.clone(), declared))
        };
        self.maps.iter().filter_map(declared).collect()
    }

    /// Whether something unknown is an error. If not, there will be another round.
    pub fn unknown_is_final(&mut self) -> bool {
        self.met_unknown = true;
        self.last_round
    }

    /// What a round finds out anew.
    pub fn begin_round(&mut self) {
        self.changed = false;
        self.learned = false;
        self.met_unknown = false;
        self.reads_untyped = false;
        self.calls.clear();
        self.warned_of.clear();
        self.failed_maps.clear();
    }

    /// The map's entry, made at its first use.
    pub fn map(&mut self, name: &str, span: Span) -> &mut MapInfo {
        self.learned |= !self.maps.contains_key(name);
        self.maps.entry(name.to_string()).or_insert_with(|| MapInfo {
            key: KeyInfo::Unknown,
            value: None,
            flexible: true,
            told_keys: Vec::new(),
            first: span,
            fixed_by: None,
            declared: None,
        })
    }

    pub fn variable(&self, program: usize, declared: NodeId) -> Option<&Type> {
        self.variables.get(&(program, declared))
    }

    /// Widens a variable's type to hold `ty` as well; `Err` gives the type it has. A `flexible`
    /// type is that of a non-negative literal, which takes on the sign of what else is assigned.
    pub fn widen_variable(&mut self, program: usize, declared: NodeId, ty: &Type, flexible: bool) -> Result<(), Type> {
        let key = (program, declared);
        let slot = self.variables.entry(key).or_insert(Type::Void);
        let was_flexible = *slot == Type::Void && flexible || self.flexible.contains(&key);
        let (old, new) = widen::agree_on_sign((slot, was_flexible), (ty, flexible));
        if was_flexible && flexible {
            self.flexible.insert(key);
        } else if *ty != Type::Void {
            self.changed |= self.flexible.remove(&key);
        }
        match widen::join(&old, &new) {
            Some(joined) if joined == *slot => Ok(()),
            Some(joined) => {
                let is_first = *slot == Type::Void;
                self.learned |= is_first;
                self.changed |= !is_first;
                *slot = joined;
                Ok(())
            }
            None => Err(slot.clone()),
        }
    }
}
