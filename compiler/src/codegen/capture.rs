//! What the callbacks of a program's loops share with it, and where in the shared frame it lies.
//!
//! `bpf_loop` and `bpf_for_each_map_elem` call a function with one pointer of the caller's choice.
//! Here it is always the address of one frame on the main program's stack. The frame holds what
//! more than one of these functions uses, and nothing else: variables, slots, the context, the
//! scratch pointer, and how a `return` inside a callback reaches the main program.
//!
//! A *region* is the main program (0), the body of a loop that becomes a callback, or a part of a long program
//! that has a function of its own ([`Stmt::Apart`]).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::walk;
use crate::ir::{Expr, Program, Slot, Stmt, Var};

/// The region of the main program.
pub(super) const MAIN: usize = 0;
/// Every field but a slot takes one 8-byte word, so that the verifier tracks what is spilled there.
const WORD: u32 = 8;

/// The regions of a program, and the layout of the frame that they share.
#[derive(Debug, Default)]
pub(super) struct Captures {
    /// The region that each callback loop's body becomes, by the statement's address.
    regions: HashMap<*const Stmt, usize>,
    /// In which region each variable lives that is not in the frame.
    pub homes: BTreeMap<Var, usize>,
    /// Those of them that one statement sets, before whatever reads them: they need no memory, their value has
    /// a name of its own.
    pub named: HashSet<Var>,
    /// Offsets of captured variables in the frame.
    pub vars: BTreeMap<Var, u32>,
    /// Offsets of captured slots in the frame.
    pub slots: BTreeMap<Slot, u32>,
    /// The part of the program that each region belongs to: 0, or a region that [`Stmt::Apart`] makes.
    pub parts: Vec<usize>,
    /// The callback that alone uses a slot, and has it on its own stack. Left in the frame, its contents
    /// would differ from run to run, and the verifier would follow the callback once for each difference.
    pub slot_homes: BTreeMap<Slot, usize>,
    pub context: Option<u32>,
    pub scratch: Option<u32>,
    /// Two words: whether the program returns, and what.
    pub returned: Option<u32>,
    /// The captured variables that a callback, or one inside it, may change.
    pub changed: BTreeMap<usize, BTreeSet<Var>>,
    /// The first index of each range loop whose start is not constant, by region.
    pub starts: BTreeMap<usize, u32>,
    /// Bytes before the first slot.
    pub words_size: u32,
    /// Bytes; 0 if nothing is captured.
    pub frame_size: u32,
}

impl Captures {
    /// The region of a loop's body, if the loop calls back.
    pub fn region(&self, stmt: &Stmt) -> Option<usize> {
        self.regions.get(&std::ptr::from_ref(stmt)).copied()
    }

    pub fn has_parts(&self) -> bool {
        self.parts.iter().any(|part| *part != MAIN)
    }

    /// The part that alone uses a slot, 0 if there is no such.
    pub fn part_of(&self, slot: Slot) -> usize {
        let home = self.slot_homes.get(&slot).copied().unwrap_or(MAIN);
        self.parts.get(home).copied().unwrap_or(MAIN)
    }
}

/// Finds the regions of `program` and lays out its frame. Slots that lie in scratch memory need
/// only the scratch pointer there.
pub(super) fn analyse(program: &Program) -> Captures {
    let mut survey = Survey { parts: vec![MAIN], ..Survey::default() };
    survey.block(&program.body, MAIN, &mut Assigned::default());
    survey.layout(program)
}

/// The variables that are certainly set at a point of the walk. What a branch adds can be taken back,
/// so that no branch copies all of them: programs may have thousands of both.
#[derive(Default)]
struct Assigned {
    /// By the variable's number.
    set: Vec<bool>,
    order: Vec<Var>,
}

impl Assigned {
    fn insert(&mut self, var: Var) {
        let index = var.0 as usize;
        if index >= self.set.len() {
            self.set.resize(index + 1, false);
        }
        if let Some(set) = self.set.get_mut(index).filter(|set| !**set) {
            *set = true;
            self.order.push(var);
        }
    }

    fn contains(&self, var: Var) -> bool {
        self.set.get(var.0 as usize).copied().unwrap_or(false)
    }

    /// Runs `walk`, and takes back what it adds: returned with the walk's result.
    fn apart<R>(&mut self, walk: impl FnOnce(&mut Self) -> R) -> (R, Vec<Var>) {
        let before = self.order.len();
        let result = walk(self);
        let added = self.order.split_off(before);
        for var in &added {
            if let Some(set) = self.set.get_mut(var.0 as usize) {
                *set = false;
            }
        }
        (result, added)
    }
}

/// What a walk over the program gathers.
#[derive(Default)]
struct Survey {
    captures: Captures,
    /// The region around each callback's, in the order of regions from 1.
    parents: Vec<usize>,
    /// The variables that a region, or one inside it, sets.
    changed: BTreeMap<usize, BTreeSet<Var>>,
    /// The regions that use each variable.
    var_regions: BTreeMap<Var, BTreeSet<usize>>,
    /// Variables read in a callback that this run of it may not have set: they keep a value from
    /// one run to the next.
    carried: BTreeSet<Var>,
    /// Variables that several statements set, or that are read where they may not be set.
    vague: HashSet<Var>,
    set_once: HashSet<Var>,
    /// As [`Captures::parts`].
    parts: Vec<usize>,
    /// The regions that use each slot.
    slots: BTreeMap<Slot, BTreeSet<usize>>,
    context: bool,
    returned: bool,
    starts: Vec<usize>,
}

impl Survey {
    /// Walks statements of a region; `set` holds the variables certainly set in this run of it.
    /// Returns whether control never reaches the end.
    fn block(&mut self, stmts: &[Stmt], region: usize, set: &mut Assigned) -> bool {
        let mut ends = false;
        for stmt in stmts {
            // What is never reached is generated too, so it is looked at as well.
            ends |= self.statement(stmt, region, set);
        }
        ends
    }

    /// The same for one statement.
    fn statement(&mut self, stmt: &Stmt, region: usize, set: &mut Assigned) -> bool {
        walk::expressions(stmt, |expr| self.reads(expr, region, set));
        if let Stmt::Set(_, value) | Stmt::Store { value, .. } = stmt
            && self.parts.get(region) != Some(&MAIN)
        {
            self.keeps_addresses(value);
        }
        match stmt {
            Stmt::Set(var, _) => self.sets(*var, region, set),
            Stmt::If { then, otherwise, .. } => return self.branches(then, otherwise, region, set),
            Stmt::Loop { body } => {
                set.apart(|set| self.block(body, region, set));
            }
            Stmt::Range { .. } | Stmt::ForEach { .. } => self.repeats(stmt, region, set),
            Stmt::Apart { body } => {
                let inner = self.enter(stmt, region);
                if let Some(part) = self.parts.last_mut() {
                    *part = inner;
                }
                // It runs once, in its place: what is set before it is set in it, and the other way round.
                return self.block(body, inner, set);
            }
            Stmt::Return(_) => self.returned |= region != MAIN,
            _ => {}
        }
        matches!(stmt, Stmt::Return(_) | Stmt::Break | Stmt::Continue)
    }

    fn branches(&mut self, then: &[Stmt], otherwise: &[Stmt], region: usize, set: &mut Assigned) -> bool {
        let (first_ends, first) = set.apart(|set| self.block(then, region, set));
        let (second_ends, second) = set.apart(|set| self.block(otherwise, region, set));
        let second_vars: HashSet<Var> = second.iter().copied().collect();
        let certain = match (first_ends, second_ends) {
            (true, true) => return true,
            (true, false) => second,
            (false, true) => first,
            (false, false) => first.into_iter().filter(|var| second_vars.contains(var)).collect(),
        };
        certain.into_iter().for_each(|var| set.insert(var));
        false
    }

    /// A range or for-each loop: a region of its own unless it is unrolled.
    fn repeats(&mut self, stmt: &Stmt, region: usize, set: &mut Assigned) {
        let (vars, body) = match stmt {
            Stmt::Range { index, body, .. } => (vec![*index], body),
            Stmt::ForEach { key, value, body, .. } => (vec![*key, *value], body),
            _ => return,
        };
        if walk::unrolled_bounds(stmt).is_some() {
            set.apart(|set| self.body(&vars, body, region, set));
        } else {
            let inner = self.enter(stmt, region);
            self.body(&vars, body, inner, &mut Assigned::default());
        }
    }

    fn body(&mut self, vars: &[Var], body: &[Stmt], region: usize, set: &mut Assigned) {
        vars.iter().for_each(|var| self.sets(*var, region, set));
        self.block(body, region, set);
    }

    /// The new region of a loop that calls back.
    fn enter(&mut self, stmt: &Stmt, region: usize) -> usize {
        self.parents.push(region);
        self.parts.push(self.parts.get(region).copied().unwrap_or(MAIN));
        let inner = self.parents.len();
        self.captures.regions.insert(std::ptr::from_ref(stmt), inner);
        if matches!(stmt, Stmt::Range { start, .. } if !matches!(start, Expr::Const { .. })) {
            self.starts.push(inner);
        }
        inner
    }

    fn sets(&mut self, var: Var, region: usize, set: &mut Assigned) {
        self.var_regions.entry(var).or_default().insert(region);
        if !self.set_once.insert(var) {
            self.vague.insert(var);
        }
        set.insert(var);
        let mut around = region;
        while around != MAIN {
            self.changed.entry(around).or_default().insert(var);
            around = self.parents.get(around - 1).copied().unwrap_or(MAIN);
        }
    }

    fn reads(&mut self, expr: &Expr, region: usize, set: &Assigned) {
        walk::nodes(expr, &mut |node| match node {
            Expr::Var(var) => {
                self.var_regions.entry(*var).or_default().insert(region);
                if !set.contains(*var) {
                    self.vague.insert(*var);
                    if !self.runs_once(region) {
                        self.carried.insert(*var);
                    }
                }
            }
            Expr::Slot(slot) => {
                self.slots.entry(*slot).or_default().insert(region);
            }
            Expr::Context => self.context |= region != MAIN,
            _ => {}
        });
    }

    /// A slot whose address is kept may be used when the part that it is of has ended: it is the whole program's.
    fn keeps_addresses(&mut self, value: &Expr) {
        match value {
            Expr::Slot(slot) => _ = self.slots.entry(*slot).or_default().insert(MAIN),
            Expr::Offset { base: operand, .. } | Expr::Convert { value: operand, .. } | Expr::Opaque(operand) => {
                self.keeps_addresses(operand);
            }
            Expr::Binary { left: first, right: second, .. } | Expr::Select { then: first, otherwise: second, .. } => {
                self.keeps_addresses(first);
                self.keeps_addresses(second);
            }
            _ => {}
        }
    }

    /// The main program and its parts.
    fn runs_once(&self, region: usize) -> bool {
        self.parts.get(region) == Some(&region)
    }

    fn layout(self, program: &Program) -> Captures {
        let mut captures = self.captures;
        let mut size = 0;
        let mut take = |bytes: u32| {
            let offset = size;
            size += bytes.next_multiple_of(WORD);
            offset
        };
        for (var, regions) in self.var_regions {
            match regions.first() {
                Some(home) if regions.len() == 1 && !self.carried.contains(&var) => {
                    captures.homes.insert(var, *home);
                    if !self.vague.contains(&var) {
                        captures.named.insert(var);
                    }
                }
                _ => {
                    captures.vars.insert(var, take(WORD));
                }
            }
        }
        captures.parts = self.parts;
        captures.changed = self.changed;
        for changed in captures.changed.values_mut() {
            changed.retain(|var| captures.vars.contains_key(var));
        }
        captures.context = self.context.then(|| take(WORD));
        captures.returned = self.returned.then(|| take(2 * WORD));
        captures.starts = self.starts.iter().map(|region| (*region, take(WORD))).collect();
        let info = |slot: &Slot| program.slots.get(slot.0 as usize).copied();
        let in_callbacks = self.slots.into_iter().filter(|(_, regions)| regions.last() > Some(&MAIN));
        let (far, near): (Vec<_>, Vec<_>) =
            in_callbacks.partition(|(slot, _)| info(slot).is_some_and(|info| info.scratch.is_some()));
        if !far.is_empty() {
            captures.scratch = Some(take(WORD));
        }
        captures.words_size = take(0);
        for (slot, regions) in near {
            match (regions.first(), info(&slot)) {
                (Some(home), _) if regions.len() == 1 => _ = captures.slot_homes.insert(slot, *home),
                (_, Some(info)) => _ = captures.slots.insert(slot, take(info.size)),
                _ => {}
            }
        }
        captures.frame_size = size;
        captures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Conversion, Scalar, SlotInfo};
    use crate::plan::ProgramKind;

    fn program(body: Vec<Stmt>) -> Program {
        Program {
            symbol: "p".into(),
            kind: ProgramKind::Run,
            vars: vec![Scalar::I64; 8],
            slots: vec![SlotInfo { size: 12, align: 4, scratch: None }; 2],
            body,
            default_return: 0,
        }
    }

    fn constant(value: i64) -> Expr {
        Expr::Const { ty: Scalar::I64, value }
    }

    fn long_range(index: u32, body: Vec<Stmt>) -> Stmt {
        Stmt::Range { index: Var(index), start: constant(0), end: constant(1000), body }
    }

    #[test]
    fn only_what_is_shared_is_captured() {
        let program = program(vec![
            Stmt::Set(Var(0), constant(1)),
            Stmt::Set(Var(1), constant(1)),
            long_range(
                2,
                vec![
                    Stmt::Set(Var(3), Expr::Var(Var(2))),
                    Stmt::Evaluate(Expr::Var(Var(3))),
                    Stmt::Evaluate(Expr::Var(Var(0))),
                ],
            ),
        ]);
        let captures = analyse(&program);
        assert_eq!(captures.vars.keys().collect::<Vec<_>>(), [&Var(0)]);
        assert_eq!(captures.homes, BTreeMap::from([(Var(1), 0), (Var(2), 1), (Var(3), 1)]));
        assert_eq!(captures.frame_size, 8);
    }

    #[test]
    fn what_is_set_once_before_it_is_read_needs_no_memory() {
        let read = |var: u32| Stmt::Evaluate(Expr::Var(Var(var)));
        let program = program(vec![
            Stmt::Set(Var(0), constant(1)),
            Stmt::If {
                condition: Expr::Const { ty: Scalar::Bool, value: 1 },
                then: vec![Stmt::Set(Var(1), constant(1)), read(0), Stmt::Set(Var(2), constant(1))],
                otherwise: vec![Stmt::Set(Var(2), constant(2))],
            },
            read(1),
            read(2),
            Stmt::Loop { body: vec![Stmt::Set(Var(3), constant(1)), read(3), Stmt::Break] },
        ]);
        assert_eq!(analyse(&program).named, HashSet::from([Var(0), Var(3)]));
    }

    #[test]
    fn parts_share_what_both_use_and_nothing_else() {
        let part = |stmts| Stmt::Apart { body: stmts };
        let program = program(vec![
            part(vec![Stmt::Set(Var(0), constant(1)), Stmt::Set(Var(1), constant(1))]),
            part(vec![Stmt::Evaluate(Expr::Var(Var(0))), Stmt::Evaluate(Expr::Slot(Slot(0)))]),
        ]);
        let captures = analyse(&program);
        assert_eq!(captures.vars.keys().collect::<Vec<_>>(), [&Var(0)]);
        assert_eq!(captures.homes, BTreeMap::from([(Var(1), 1)]));
        assert_eq!((captures.part_of(Slot(0)), captures.part_of(Slot(1))), (2, 0));
    }

    #[test]
    fn a_slot_whose_address_is_kept_outlives_the_part() {
        let keep =
            |slot| Stmt::Set(Var(slot), Expr::convert(Conversion::ToInteger, Scalar::I64, Expr::Slot(Slot(slot))));
        let read = Stmt::Evaluate(Expr::load(Scalar::I64, Expr::Slot(Slot(1))));
        let captures = analyse(&program(vec![Stmt::Apart { body: vec![keep(0), read] }]));
        assert_eq!((captures.part_of(Slot(0)), captures.part_of(Slot(1))), (0, 1));
        assert_eq!(captures.slots.keys().collect::<Vec<_>>(), [&Slot(0)]);
    }

    #[test]
    fn what_one_iteration_leaves_to_the_next_is_captured() {
        let maybe = Stmt::If {
            condition: Expr::Const { ty: Scalar::Bool, value: 1 },
            then: vec![Stmt::Set(Var(1), constant(1))],
            otherwise: Vec::new(),
        };
        let program = program(vec![long_range(0, vec![maybe, Stmt::Evaluate(Expr::Var(Var(1)))])]);
        assert_eq!(analyse(&program).vars.keys().collect::<Vec<_>>(), [&Var(1)]);
    }

    #[test]
    fn slots_context_and_return_have_room() {
        let program = program(vec![
            Stmt::Evaluate(Expr::Slot(Slot(1))),
            long_range(
                0,
                vec![
                    Stmt::Evaluate(Expr::Slot(Slot(0))),
                    Stmt::Evaluate(Expr::Slot(Slot(1))),
                    Stmt::Evaluate(Expr::Context),
                    Stmt::Return(None),
                ],
            ),
        ]);
        let captures = analyse(&program);
        assert_eq!((captures.context, captures.returned), (Some(0), Some(8)));
        assert_eq!(captures.slots, BTreeMap::from([(Slot(1), 24)]));
        assert_eq!(captures.slot_homes, BTreeMap::from([(Slot(0), 1)]));
        assert_eq!(captures.frame_size, 40);
    }
}
