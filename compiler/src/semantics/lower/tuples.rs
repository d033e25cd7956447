//! Tuples of literals: what is known of them without running the script.

use crate::syntax::ast::{Expr, ExprKind};

use super::literals;
use super::typeinfo::bare;

/// What a literal, or a tuple of such, stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known<'a> {
    Number(i128),
    Bool(bool),
    Text(&'a str),
    Tuple(Vec<Known<'a>>),
}

/// The value of a tuple of literals.
pub(super) fn known(expr: &Expr) -> Option<Known<'_>> {
    let ExprKind::Tuple(elements) = &bare(expr).kind else { return None };
    elements.iter().map(value).collect::<Option<_>>().map(Known::Tuple)
}

fn value(expr: &Expr) -> Option<Known<'_>> {
    match &bare(expr).kind {
        ExprKind::Bool(value) => Some(Known::Bool(*value)),
        ExprKind::String(text) => Some(Known::Text(text)),
        ExprKind::Tuple(_) => known(expr),
        _ => literals::evaluate(bare(expr))?.ok().map(Known::Number),
    }
}

/// An element of a tuple of literals, which then need not be made.
pub(super) fn element(expr: &Expr, index: u32) -> Option<&Expr> {
    known(expr)?;
    let ExprKind::Tuple(elements) = &bare(expr).kind else { return None };
    elements.get(index as usize)
}
