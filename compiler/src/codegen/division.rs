//! The pass that divides long programs into parts with functions of their own ([`Stmt::Apart`]).
//!
//! What LLVM does to a function takes time that grows faster than the function does, and a jump of BPF before
//! version 4 does not reach across a long one. Parts of a bounded size are compiled in linear time. Programs
//! of ordinary length stay as they are: a part costs a call, and what parts share lies in memory.
//!
//! A block is divided where statements of the script begin. Loops are left in one piece: their bodies jump.

use std::collections::{BTreeSet, HashMap};

use super::{capture, walk};
use crate::ir::{Conversion, Expr, Module, Program, Scalar, Slot, SlotInfo, Stmt, Var};

/// Programs of so many nodes are divided.
const LONG: usize = 24_000;
/// Nodes of a part.
const PART: usize = 8_000;
/// The kernel takes 256 functions in a program (`BPF_MAX_SUBPROGS`), callbacks of loops among them.
const MOST_PARTS: usize = 128;
/// As many words of stack hold what parts share; what is more lies in slots.
const SHARED_WORDS: usize = 16;
/// Bytes that one piece of a block operation handles.
const PIECE: usize = 8;

/// Divides each program that is too long.
pub fn divide(module: &mut Module) {
    module.programs.iter_mut().for_each(divide_program);
}

fn divide_program(program: &mut Program) {
    let weight = block_weight(&program.body);
    if weight < LONG {
        return;
    }
    block(&mut program.body, PART.max(weight / MOST_PARTS));
    keep_in_slots(program);
}

/// Divides a block, those inside first. Returns what is left of its weight, and whether it must stay where it is.
fn block(stmts: &mut Vec<Stmt>, part: usize) -> (usize, bool) {
    let mut weights = Vec::with_capacity(stmts.len());
    for stmt in stmts.iter_mut() {
        let mut weight = statement_weight(stmt);
        let mut divided = false;
        if let Stmt::If { then, otherwise, .. } = stmt
            && weight > part
        {
            let (left, right) = (block(then, part), block(otherwise, part));
            weight = left.0 + right.0 + 1;
            divided = left.1 || right.1;
        }
        weights.push((weight, !divided && !jumps(std::slice::from_ref(stmt))));
    }
    let total: usize = weights.iter().map(|(weight, _)| weight).sum();
    if total <= part {
        return (total, weights.iter().any(|(_, movable)| !movable));
    }
    gather(stmts, &weights, part);
    (stmts.len(), true)
}

/// Moves runs of movable statements into parts.
fn gather(stmts: &mut Vec<Stmt>, weights: &[(usize, bool)], part: usize) {
    let mut divided = Vec::new();
    let mut run = Vec::new();
    let mut weight = 0;
    for (stmt, (own, movable)) in std::mem::take(stmts).into_iter().zip(weights) {
        let begins = matches!(stmt, Stmt::At(_));
        if !movable || begins && weight >= part {
            close(&mut divided, &mut run, weight > part / 2);
            weight = 0;
        }
        if *movable {
            weight += own;
            run.push(stmt);
        } else {
            divided.push(stmt);
        }
    }
    close(&mut divided, &mut run, weight > part / 2);
    *stmts = divided;
}

/// Ends a run: a part of its own, unless it is not worth the call.
fn close(divided: &mut Vec<Stmt>, run: &mut Vec<Stmt>, worthwhile: bool) {
    let body = std::mem::take(run);
    match worthwhile {
        true => divided.push(Stmt::Apart { body }),
        false => divided.extend(body),
    }
}

/// Whether control may leave the statements for a loop around them.
fn jumps(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|stmt| match stmt {
        Stmt::Break | Stmt::Continue => true,
        Stmt::If { then, otherwise, .. } => jumps(then) || jumps(otherwise),
        _ => false,
    })
}

/// How much there is to compile, in nodes of the intermediate form.
pub(super) fn block_weight(stmts: &[Stmt]) -> usize {
    stmts.iter().map(statement_weight).sum()
}

fn statement_weight(stmt: &Stmt) -> usize {
    let mut weight = match stmt {
        Stmt::Copy { size, .. } | Stmt::Zero { size, .. } => 1 + *size as usize / PIECE,
        Stmt::Bytes { bytes, .. } => 1 + bytes.len() / PIECE,
        _ => 1,
    };
    walk::expressions(stmt, |expr| walk::nodes(expr, &mut |_| weight += 1));
    weight + walk::bodies(stmt).into_iter().map(block_weight).sum::<usize>()
}

/// Variables that parts share lie in the frame on the stack, a word each. If there are many, integers
/// move to slots, which find room in scratch memory.
fn keep_in_slots(program: &mut Program) {
    let shared = capture::analyse(program).vars;
    if shared.len() <= SHARED_WORDS {
        return;
    }
    let mut addresses = BTreeSet::new();
    find_addresses(&program.body, &mut addresses);
    let is_integer = |var: &&Var| program.vars.get(var.0 as usize) == Some(&Scalar::I64) && !addresses.contains(*var);
    let moved: Vec<Var> = shared.keys().filter(is_integer).copied().skip(SHARED_WORDS).collect();
    let slots: HashMap<Var, Slot> = moved
        .into_iter()
        .map(|var| {
            program.slots.push(SlotInfo { size: 8, align: 8, scratch: None });
            (var, Slot(program.slots.len() as u32 - 1))
        })
        .collect();
    if !slots.is_empty() {
        program.body.iter_mut().for_each(|stmt| move_to_slots(stmt, &slots));
    }
}

/// Variables that may hold an address of BPF's own: in memory other than the stack the verifier would forget it.
fn find_addresses(stmts: &[Stmt], found: &mut BTreeSet<Var>) {
    for stmt in stmts {
        if let Stmt::Set(var, value) = stmt {
            walk::nodes(value, &mut |node| {
                let is_address = matches!(node, Expr::Convert { op: Conversion::ToInteger, .. });
                if is_address || matches!(node, Expr::Var(from) if found.contains(from)) {
                    found.insert(*var);
                }
            });
        }
        walk::bodies(stmt).into_iter().for_each(|body| find_addresses(body, found));
    }
}

fn move_to_slots(stmt: &mut Stmt, slots: &HashMap<Var, Slot>) {
    walk::expressions_mut(stmt, |expr| {
        walk::replace(expr, &mut |node| match node {
            Expr::Var(var) => Some(Expr::load(Scalar::I64, Expr::Slot(*slots.get(var)?))),
            _ => None,
        });
    });
    if let Stmt::Set(var, value) = stmt
        && let Some(slot) = slots.get(var)
    {
        let value = std::mem::replace(value, Expr::int(0));
        *stmt = Stmt::Store { ty: Scalar::I64, address: Expr::Slot(*slot), value };
    }
    walk::bodies_mut(stmt).into_iter().flatten().for_each(|stmt| move_to_slots(stmt, slots));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ProgramKind;
    use crate::syntax::ast::Span;

    fn program(body: Vec<Stmt>, vars: usize) -> Program {
        Program {
            symbol: "p".into(),
            kind: ProgramKind::Run,
            vars: vec![Scalar::I64; vars],
            slots: Vec::new(),
            body,
            default_return: 0,
        }
    }

    /// So many statements of the script, ten nodes each, of which each sets a variable.
    fn statements(count: u32) -> Vec<Stmt> {
        let sum = (0..4).fold(Expr::int(1), |sum, _| Expr::binary(crate::ir::Op::Add, sum, Expr::int(1)));
        (0..count).flat_map(|number| [Stmt::At(Span::default()), Stmt::Set(Var(number), sum.clone())]).collect()
    }

    fn parts(stmts: &[Stmt]) -> usize {
        let own = stmts.iter().filter(|stmt| matches!(stmt, Stmt::Apart { .. })).count();
        own + stmts.iter().flat_map(walk::bodies).map(parts).sum::<usize>()
    }

    fn divided(body: Vec<Stmt>) -> Program {
        let mut program = program(body, 6000);
        divide_program(&mut program);
        program
    }

    #[test]
    fn only_long_programs_are_divided() {
        assert_eq!(parts(&divided(statements(1000)).body), 0);
        assert_eq!(parts(&divided(statements(5000)).body), 7);
    }

    #[test]
    fn blocks_inside_are_divided_and_loops_are_not() {
        let condition = Expr::Const { ty: Scalar::Bool, value: 1 };
        let inner = Stmt::If { condition, then: statements(5000), otherwise: Vec::new() };
        let program = divided(vec![inner]);
        assert_eq!(parts(&program.body), 7);
        assert!(matches!(program.body.as_slice(), [Stmt::If { .. }]));
        let program = divided(vec![Stmt::Loop { body: statements(5000) }]);
        assert!(matches!(program.body.as_slice(), [Stmt::Apart { body }] if parts(body) == 0));
    }

    #[test]
    fn what_leaves_a_loop_stays_in_it() {
        assert!(jumps(&[Stmt::If { condition: Expr::int(1), then: vec![Stmt::Break], otherwise: Vec::new() }]));
        assert!(!jumps(&[Stmt::Loop { body: vec![Stmt::Break] }]));
    }

    #[test]
    fn of_many_shared_integers_most_move_to_slots() {
        let mut body = statements(5000);
        body.extend((0..100).map(|var| Stmt::Evaluate(Expr::Var(Var(var)))));
        body.push(Stmt::Set(Var(5001), Expr::convert(Conversion::ToInteger, Scalar::I64, Expr::Context)));
        let program = divided(body);
        assert_eq!(program.slots.len(), 100 - SHARED_WORDS);
        assert_eq!(capture::analyse(&program).vars.len(), SHARED_WORDS);
    }
}
