//! Walking the intermediate form: the parts of a statement, of an expression, and how much they are.

use crate::ir::{Expr, Helper, Scalar, Stmt};
use crate::syntax::ast::Span;

/// Trip counts up to this are candidates for unrolling.
const UNROLL_TRIPS: i64 = 16;
/// The most nodes that unrolling may produce.
const UNROLL_NODES: i64 = 256;

/// Calls `visit` with each expression that the statement itself evaluates, not those of its bodies.
pub(crate) fn expressions<'a>(stmt: &'a Stmt, mut visit: impl FnMut(&'a Expr)) {
    match stmt {
        Stmt::Set(_, value) | Stmt::Evaluate(value) | Stmt::Return(Some(value)) => visit(value),
        Stmt::Store { address, value, .. } | Stmt::AtomicAdd { address, value, .. } => {
            visit(address);
            visit(value);
        }
        Stmt::Copy { to, from, .. } => {
            visit(to);
            visit(from);
        }
        Stmt::Zero { to, .. } | Stmt::Bytes { to, .. } => visit(to),
        Stmt::If { condition, .. } => visit(condition),
        Stmt::Range { start, end, .. } => {
            visit(start);
            visit(end);
        }
        Stmt::At(_) | Stmt::Loop { .. } | Stmt::ForEach { .. } | Stmt::Apart { .. } => {}
        Stmt::Break | Stmt::Continue | Stmt::Return(None) => {}
    }
}

/// The statement lists inside a statement; those that it does not have are empty.
pub(crate) fn bodies(stmt: &Stmt) -> [&[Stmt]; 2] {
    match stmt {
        Stmt::If { then, otherwise, .. } => [then, otherwise],
        Stmt::Loop { body } | Stmt::Range { body, .. } | Stmt::ForEach { body, .. } | Stmt::Apart { body } => {
            [body, &[]]
        }
        _ => [&[], &[]],
    }
}

/// As [`expressions`], to change them.
pub(crate) fn expressions_mut(stmt: &mut Stmt, mut visit: impl FnMut(&mut Expr)) {
    match stmt {
        Stmt::Set(_, value) | Stmt::Evaluate(value) | Stmt::Return(Some(value)) => visit(value),
        Stmt::Store { address: left, value: right, .. }
        | Stmt::AtomicAdd { address: left, value: right, .. }
        | Stmt::Copy { to: left, from: right, .. }
        | Stmt::Range { start: left, end: right, .. } => {
            visit(left);
            visit(right);
        }
        Stmt::Zero { to: operand, .. } | Stmt::Bytes { to: operand, .. } | Stmt::If { condition: operand, .. } => {
            visit(operand);
        }
        Stmt::At(_) | Stmt::Loop { .. } | Stmt::ForEach { .. } | Stmt::Apart { .. } => {}
        Stmt::Break | Stmt::Continue | Stmt::Return(None) => {}
    }
}

/// As [`bodies`], to change them.
pub(crate) fn bodies_mut(stmt: &mut Stmt) -> Vec<&mut Vec<Stmt>> {
    match stmt {
        Stmt::If { then, otherwise, .. } => vec![then, otherwise],
        Stmt::Loop { body } | Stmt::Range { body, .. } | Stmt::ForEach { body, .. } | Stmt::Apart { body } => {
            vec![body]
        }
        _ => Vec::new(),
    }
}

/// Calls `visit` with each operand of an expression.
pub(crate) fn operands<'a>(expr: &'a Expr, visit: &mut impl FnMut(&'a Expr)) {
    match expr {
        Expr::Const { .. } | Expr::Var(_) | Expr::Slot(_) | Expr::Context => {}
        Expr::Map(_) | Expr::MapValue { .. } => {}
        Expr::Load { address: operand, .. }
        | Expr::Convert { value: operand, .. }
        | Expr::Opaque(operand)
        | Expr::Swap(operand) => visit(operand),
        Expr::Offset { base: left, by: right } | Expr::Binary { left, right, .. } => {
            visit(left);
            visit(right);
        }
        Expr::Select { condition, then, otherwise } => {
            [condition, then, otherwise].into_iter().for_each(|operand| visit(operand));
        }
        Expr::Helper { arguments, .. } | Expr::Call { arguments, .. } => arguments.iter().for_each(visit),
        Expr::CallC { arguments, .. } => arguments.iter().for_each(|(argument, _)| visit(argument)),
    }
}

/// As [`operands`], to change them.
pub(crate) fn operands_mut(expr: &mut Expr, visit: &mut impl FnMut(&mut Expr)) {
    match expr {
        Expr::Const { .. } | Expr::Var(_) | Expr::Slot(_) | Expr::Context => {}
        Expr::Map(_) | Expr::MapValue { .. } => {}
        Expr::Load { address: operand, .. }
        | Expr::Convert { value: operand, .. }
        | Expr::Opaque(operand)
        | Expr::Swap(operand) => visit(operand),
        Expr::Offset { base: left, by: right } | Expr::Binary { left, right, .. } => {
            visit(left);
            visit(right);
        }
        Expr::Select { condition, then, otherwise } => {
            [condition, then, otherwise].into_iter().for_each(|operand| visit(operand));
        }
        Expr::Helper { arguments, .. } | Expr::Call { arguments, .. } => arguments.iter_mut().for_each(visit),
        Expr::CallC { arguments, .. } => arguments.iter_mut().for_each(|(argument, _)| visit(argument)),
    }
}

/// Puts what `by` gives in the place of an expression's nodes. What is put there is not looked at again.
pub(super) fn replace(expr: &mut Expr, by: &mut impl FnMut(&Expr) -> Option<Expr>) {
    match by(expr) {
        Some(other) => *expr = other,
        None => operands_mut(expr, &mut |operand| replace(operand, by)),
    }
}

/// Calls `visit` with an expression and, after it, each of its operands at any depth.
pub(crate) fn nodes<'a>(expr: &'a Expr, visit: &mut impl FnMut(&'a Expr)) {
    visit(expr);
    operands(expr, &mut |operand| nodes(operand, visit));
}

/// The bounds of a [`Stmt::Range`] that is emitted in place, its body once for each index, rather
/// than through `bpf_loop`: few iterations, a small body, and no callback inside.
pub(super) fn unrolled_bounds(stmt: &Stmt) -> Option<(i64, i64)> {
    let Stmt::Range { start, end, body, .. } = stmt else { return None };
    let (start, end) = (constant(start)?, constant(end)?);
    let trips = end.saturating_sub(start).max(0);
    let small = trips <= UNROLL_TRIPS && trips.saturating_mul(weight(body)?) <= UNROLL_NODES;
    small.then_some((start, end))
}

/// The place that the first located statement comes from.
pub(super) fn first_span(stmts: &[Stmt]) -> Option<Span> {
    stmts.iter().find_map(|stmt| match stmt {
        Stmt::At(span) => Some(*span),
        _ => bodies(stmt).into_iter().find_map(first_span),
    })
}

/// Whether a statement list has loops over ranges or maps, or parts, at any depth: they may become functions.
pub(super) fn has_regions(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|stmt| match stmt {
        Stmt::Range { .. } | Stmt::ForEach { .. } | Stmt::Apart { .. } => true,
        _ => bodies(stmt).into_iter().any(has_regions),
    })
}

/// Whether a statement list has a `return` at any depth.
pub(super) fn returns(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|stmt| match stmt {
        Stmt::Return(_) => true,
        _ => bodies(stmt).into_iter().any(returns),
    })
}

/// Whether statements inside a loop, at any depth, send events.
pub(super) fn sends_in_loops(stmts: &[Stmt]) -> bool {
    let sends = |expr: &Expr| matches!(expr, Expr::Helper { id: Helper::RINGBUF_OUTPUT, .. });
    stmts.iter().any(|stmt| match stmt {
        Stmt::If { .. } | Stmt::Apart { .. } => bodies(stmt).into_iter().any(sends_in_loops),
        _ => bodies(stmt).into_iter().any(|body| any(body, &sends)),
    })
}

/// Whether an expression at any depth of a statement list is as wanted.
pub(crate) fn any(stmts: &[Stmt], wanted: &impl Fn(&Expr) -> bool) -> bool {
    stmts.iter().any(|stmt| {
        let mut found = false;
        expressions(stmt, |expr| nodes(expr, &mut |node| found |= wanted(node)));
        found || bodies(stmt).into_iter().any(|body| any(body, wanted))
    })
}

/// How many nodes a statement list comes to, or `None` if it has a loop that is not unrolled.
fn weight(stmts: &[Stmt]) -> Option<i64> {
    let mut total = 0i64;
    for stmt in stmts {
        let repeats = match stmt {
            Stmt::Loop { .. } | Stmt::ForEach { .. } => return None,
            Stmt::Range { .. } => unrolled_bounds(stmt).map(|(start, end)| (end - start).max(0))?,
            _ => 1,
        };
        expressions(stmt, |expr| nodes(expr, &mut |_| total += 1));
        for body in bodies(stmt) {
            total += weight(body)?.saturating_mul(repeats);
        }
        total += 1;
    }
    Some(total)
}

fn constant(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Const { ty: Scalar::I64, value } => Some(*value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Var;

    fn range(start: i64, end: i64, body: Vec<Stmt>) -> Stmt {
        let constant = |value| Expr::Const { ty: Scalar::I64, value };
        Stmt::Range { index: Var(0), start: constant(start), end: constant(end), body }
    }

    #[test]
    fn events_are_found_in_loops_only() {
        let send = Expr::Helper { id: Helper::RINGBUF_OUTPUT, arguments: vec![], returns: Scalar::I64 };
        let send = Stmt::Set(Var(1), send);
        assert!(!sends_in_loops(std::slice::from_ref(&send)));
        let branch = |then| Stmt::If { condition: Expr::Var(Var(0)), then, otherwise: vec![] };
        assert!(!sends_in_loops(&[branch(vec![send.clone()])]));
        let looped = range(0, 100, vec![branch(vec![send])]);
        assert!(sends_in_loops(&[branch(vec![looped])]));
        assert!(!sends_in_loops(&[range(0, 100, vec![Stmt::Break])]));
    }

    #[test]
    fn short_ranges_are_unrolled_and_long_ones_are_not() {
        let body = vec![Stmt::Set(Var(1), Expr::Var(Var(0)))];
        assert_eq!(unrolled_bounds(&range(-2, 3, body.clone())), Some((-2, 3)));
        assert_eq!(unrolled_bounds(&range(5, 3, body.clone())), Some((5, 3)));
        assert_eq!(unrolled_bounds(&range(0, 17, body.clone())), None);
        assert_eq!(unrolled_bounds(&range(i64::MIN, i64::MAX, body)), None);
    }

    #[test]
    fn nested_ranges_count_as_often_as_they_run() {
        let inner = |trips| range(0, trips, vec![Stmt::Set(Var(1), Expr::Var(Var(0)))]);
        assert!(unrolled_bounds(&range(0, 4, vec![inner(4)])).is_some());
        assert!(unrolled_bounds(&range(0, 16, vec![inner(16)])).is_none());
        assert!(unrolled_bounds(&range(0, 2, vec![Stmt::Loop { body: vec![Stmt::Break] }])).is_none());
    }
}
