//! The state of a script in the making: what is in scope, how deep it is, what has been covered.

use std::collections::BTreeMap;

use crate::random::Random;
use crate::types::{Map, Shape, Ty};

/// One way to make something: an expression of a kind, a statement.
pub struct Production<T: 'static> {
    /// Counted under this name; the run fails if one of them is never made.
    pub name: &'static str,
    /// Whether it contains no other expressions or blocks.
    pub leaf: bool,
    /// `None` where it cannot stand.
    pub make: fn(&mut Generator) -> Option<T>,
}

pub const fn leaf<T>(name: &'static str, make: fn(&mut Generator) -> Option<T>) -> Production<T> {
    Production { name, leaf: true, make }
}

pub const fn node<T>(name: &'static str, make: fn(&mut Generator) -> Option<T>) -> Production<T> {
    Production { name, leaf: false, make }
}

/// A scratch variable, `name` with its `$`.
#[derive(Clone, Debug)]
pub struct Variable {
    pub name: String,
    pub ty: Ty,
    /// Written after `let $x:`; what is assigned is cast to it.
    pub annotation: Option<String>,
    /// Loop variables are only read.
    pub assignable: bool,
}

/// What is around a statement.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    pub loops: usize,
    /// An unrolled block knows no `break`.
    pub unrolled: bool,
    /// Whether the kernel lets programs of this probe send signals.
    pub signals: bool,
}

pub struct Generator {
    pub random: Random,
    pub covered: BTreeMap<&'static str, usize>,
    pub maps: Vec<Map>,
    pub scopes: Vec<Vec<Variable>>,
    pub place: Place,
    /// What the probe adds to the integers and strings of the language.
    pub probe_integers: &'static [&'static str],
    pub probe_texts: &'static [&'static str],
    /// Nesting of expressions.
    depth: usize,
    /// Statements that may still be made in this probe.
    pub budget: usize,
    names: usize,
}

/// Expressions nest no deeper.
const DEEPEST: usize = 4;

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator {
            random: Random::new(seed),
            covered: BTreeMap::new(),
            maps: Vec::new(),
            scopes: Vec::new(),
            place: Place::default(),
            probe_integers: &[],
            probe_texts: &[],
            depth: 0,
            budget: 0,
            names: 0,
        }
    }

    pub fn cover(&mut self, name: &'static str) {
        *self.covered.entry(name).or_default() += 1;
    }

    /// One of a table's productions; `fallback` where none of those tried can stand here.
    pub fn choose<T>(&mut self, table: &'static [Production<T>], fallback: impl FnOnce() -> T) -> T {
        for _ in 0..24 {
            let production = &table[self.random.below(table.len())];
            if self.depth >= DEEPEST && !production.leaf {
                continue;
            }
            self.depth += 1;
            let made = (production.make)(self);
            self.depth -= 1;
            if let Some(made) = made {
                self.cover(production.name);
                return made;
            }
        }
        fallback()
    }

    pub fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    pub fn declare(&mut self, name: &str, ty: Ty, annotation: Option<String>, assignable: bool) {
        let variable = Variable { name: name.to_owned(), ty, annotation, assignable };
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(variable);
        }
    }

    /// Some variable in scope for which `wanted` holds.
    pub fn variable(&mut self, wanted: impl Fn(&Variable) -> bool) -> Option<Variable> {
        let fitting: Vec<Variable> = self.scopes.iter().flatten().filter(|one| wanted(one)).cloned().collect();
        (!fitting.is_empty()).then(|| self.random.pick(&fitting))
    }

    pub fn map(&mut self, wanted: impl Fn(&Map) -> bool) -> Option<Map> {
        let fitting: Vec<Map> = self.maps.iter().filter(|map| wanted(map)).cloned().collect();
        (!fitting.is_empty()).then(|| self.random.pick(&fitting))
    }

    /// `@name` or `@name[key]`.
    pub fn entry(&mut self, map: &Map) -> String {
        match &map.key {
            None => map.name.clone(),
            Some(key) => format!("{}[{}]", map.name, self.key(&key.clone())),
        }
    }

    /// A key; the elements of a tuple may stand without parentheses.
    pub fn key(&mut self, ty: &Ty) -> String {
        let key = self.value(ty);
        match ty {
            Ty::Tuple(elements) if elements.len() > 1 && key.starts_with('(') && self.random.chance(70) => {
                let elements: Vec<String> = elements.iter().map(|element| self.value(element)).collect();
                elements.join(", ")
            }
            _ => key,
        }
    }

    /// A map that can be read as a value of this type.
    pub fn stored(&mut self, ty: &Ty) -> Option<String> {
        let map = self.map(|map| map.value == Shape::Plain(ty.clone()))?;
        Some(self.entry(&map))
    }
}
