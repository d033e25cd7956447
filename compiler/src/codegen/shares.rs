//! Which programs of a module are compiled, and which of them together.
//!
//! Of programs that do the same, one is compiled. What LLVM does with the rest takes most of the time between a
//! script and its start, so if that is much, two threads do it, each with half of the programs and a file of its
//! own for them.

use std::collections::HashMap;

use super::division;
use crate::ir::{Module, Program};
use crate::plan::ProgramKind;

/// Nodes of the intermediate form that take LLVM several milliseconds.
const MUCH: usize = 600;
/// Nodes that take longer to compile than a thread takes to start.
const WORTHWHILE: usize = 150;

/// Programs by the thread that compiles them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// For each program, the one whose code serves for it: itself, or an earlier one.
    pub code_of: Vec<usize>,
    /// The programs that each thread compiles, in their order; at least one list.
    pub members: Vec<Vec<usize>>,
}

impl Shares {
    /// Divides a module's programs. `in_one`: all are wanted in one file.
    pub fn of(module: &Module, in_one: bool) -> Shares {
        let code_of = code_of(&module.programs);
        let compiled: Vec<usize> =
            code_of.iter().enumerate().filter(|(at, code)| at == *code).map(|(at, _)| at).collect();
        // What several programs call would have to be in both files.
        let is_apart = module.functions.is_empty() && module.c_code.is_empty();
        let halves = if in_one || !is_apart { None } else { halves(module, &compiled) };
        Shares { code_of, members: halves.map_or_else(|| vec![compiled], Vec::from) }
    }
}

/// Two lists of about the same weight, if there is enough for two.
fn halves(module: &Module, compiled: &[usize]) -> Option<[Vec<usize>; 2]> {
    let weight = |at: &usize| module.programs.get(*at).map_or(0, |program| division::block_weight(&program.body));
    let mut heaviest_first: Vec<(usize, usize)> = compiled.iter().map(|at| (weight(at), *at)).collect();
    heaviest_first.sort_by_key(|(weight, at)| (std::cmp::Reverse(*weight), *at));
    let (mut first, mut second) = ((0, Vec::new()), (0, Vec::new()));
    for (weight, at) in heaviest_first {
        let lighter = if first.0 <= second.0 { &mut first } else { &mut second };
        lighter.0 += weight;
        lighter.1.push(at);
    }
    if first.0 + second.0 < MUCH || first.0.min(second.0) < WORTHWHILE {
        return None;
    }
    first.1.sort_unstable();
    second.1.sort_unstable();
    Some([first.1, second.1])
}

fn code_of(programs: &[Program]) -> Vec<usize> {
    let mut known: HashMap<_, Vec<usize>> = HashMap::new();
    let of_program = |(at, program): (usize, &Program)| {
        let alike = known.entry((program.kind, program.body.len(), program.vars.len())).or_default();
        let same = |other: &&usize| programs.get(**other).is_some_and(|other| do_the_same(other, program));
        match alike.iter().find(same) {
            Some(other) => *other,
            None => {
                alike.push(at);
                at
            }
        }
    };
    programs.iter().enumerate().map(of_program).collect()
}

/// Whether one's instructions serve for the other. Each program has scratch memory of its own, for one may
/// interrupt the other: only programs at tracepoints do not (`bpf_prog_active` in `trace_call_bpf`).
fn do_the_same(one: &Program, other: &Program) -> bool {
    let may_share = one.kind == ProgramKind::Tracepoint || one.slots.iter().all(|slot| slot.scratch.is_none());
    may_share
        && (one.kind, &one.vars, &one.slots, &one.body, one.default_return)
            == (other.kind, &other.vars, &other.slots, &other.body, other.default_return)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Expr, SlotInfo, Stmt};

    fn program(kind: ProgramKind, scratch: Option<u32>) -> Program {
        let slots = vec![SlotInfo { size: 8, align: 8, scratch }];
        Program { symbol: "p".into(), kind, vars: vec![], slots, body: vec![], default_return: 0 }
    }

    /// A program of so many statements, which weigh two each, that is like no other number's.
    fn long(statements: usize, number: i32) -> Program {
        let body = vec![Stmt::Evaluate(Expr::int(1)); statements];
        Program { body, default_return: number, ..program(ProgramKind::Probe, None) }
    }

    fn members(programs: Vec<Program>, in_one: bool) -> Vec<Vec<usize>> {
        Shares::of(&Module { programs, ..Module::default() }, in_one).members
    }

    #[test]
    fn programs_share_code_unless_they_may_interrupt_each_other() {
        let same = |kind, scratch| do_the_same(&program(kind, scratch), &program(kind, scratch));
        assert!(same(ProgramKind::Tracepoint, Some(0)) && same(ProgramKind::Probe, None));
        assert!(!same(ProgramKind::Probe, Some(0)));
        let other = Program { default_return: 1, ..program(ProgramKind::Probe, None) };
        assert!(!do_the_same(&program(ProgramKind::Probe, None), &other));
    }

    #[test]
    fn much_is_divided_evenly() {
        let programs = || vec![long(100, 1), long(300, 2), long(150, 3), long(100, 1), long(80, 4)];
        assert_eq!(members(programs(), false), [vec![1], vec![0, 2, 4]]);
        assert_eq!(members(programs(), true), [vec![0, 1, 2, 4]]);
    }

    #[test]
    fn little_is_not_divided() {
        assert_eq!(members(vec![long(100, 1), long(100, 2)], false), [vec![0, 1]]);
        assert_eq!(members(vec![long(1000, 1), long(10, 2)], false), [vec![0, 1]]);
        assert_eq!(members(vec![], false), [vec![]]);
    }
}
