//! What is allowed, but hardly meant: unreachable statements, unused values, values that change
//! when they are converted without a cast.

use crate::diagnostics::Diagnostic;
use crate::plan::Unstable;
use crate::semantics::widen;
use crate::syntax::ast::{Block, Expr, ExprKind, Span, Stmt, StmtKind};
use crate::types::Type;

use super::{Lowered, Lowerer, Operand};

/// Why a control flow statement may make the rest of its block unreachable.
fn leaves(statement: &Stmt) -> bool {
    match &statement.kind {
        StmtKind::Return(_) | StmtKind::Break | StmtKind::Continue => true,
        StmtKind::Expr(expr) => leaves_expr(expr),
        StmtKind::If { then, otherwise: Some(otherwise), .. } => block_leaves(then) && block_leaves(otherwise),
        StmtKind::Block(block) => block_leaves(block),
        _ => false,
    }
}

fn leaves_expr(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Call { name, .. } => name.name == "exit",
        ExprKind::Block(block) => block_leaves(block),
        ExprKind::If { then, otherwise: Some(otherwise), .. } => block_leaves(then) && block_leaves(otherwise),
        _ => false,
    }
}

fn block_leaves(block: &Block) -> bool {
    block.statements.iter().any(leaves) || block.result.as_deref().is_some_and(leaves_expr)
}

/// Whether control never reaches a block's end.
pub(super) fn always_leaves(block: &Block) -> bool {
    block_leaves(block)
}

impl Lowerer<'_> {
    pub fn warn(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// A feature that may still change: refused, warned about once, or taken.
    pub fn require_stable(&mut self, feature: &str, setting: &str, state: Unstable, span: Span) -> Lowered<()> {
        match state {
            Unstable::Enable => {}
            Unstable::Error => {
                let message = format!(
                    "{feature} feature is not enabled by default. To enable this unstable feature, set the config flag to enable. {setting}=enable"
                );
                let hint = format!("config = {{ {setting}=enable }}");
                return Err(self.report(Diagnostic::error("unstable-feature", span, message).hint(hint)));
            }
            Unstable::Warn if self.unevaluated == 0 && self.env.warned_of.insert(feature.to_string()) => {
                let message = format!(
                    "Script is using an unstable feature: {feature}. To prevent this warning you must explicitly enable it in the config e.g. {setting}=enable"
                );
                // As bpftrace tells it: of the script, not of a place.
                self.warn(Diagnostic::warning("unstable-feature", Span::NOWHERE, message));
            }
            Unstable::Warn => {}
        }
        Ok(())
    }

    /// What follows `return`, `break`, `continue` and `exit()` never runs.
    pub(super) fn warn_unreachable(&mut self, block: &Block) {
        let Some(end) = block.statements.iter().position(leaves) else { return };
        let span = match (block.statements.get(end + 1), &block.result) {
            (Some(next), _) => next.span,
            (None, Some(result)) => result.span,
            (None, None) => return,
        };
        self.warn(Diagnostic::warning("unreachable", span, "Unreachable statement."));
    }

    /// A value that a statement computes and nobody takes.
    pub(super) fn warn_discarded(&mut self, expr: &Expr, value: &Operand) {
        if value.ty == Type::Void || matches!(expr.kind, ExprKind::Step { .. }) {
            return;
        }
        let warning = Diagnostic::warning("unused-value", expr.span, "Return value discarded.");
        self.warn(warning.hint("write _ = … if that is meant"));
    }

    /// An integer that may not survive an implicit conversion. A literal that does not is an error.
    pub(super) fn warn_conversion(&mut self, value: &Operand, to: &Type, span: Span) {
        let is_huge = value.constant().is_some_and(|constant| constant < 0) && value.ty == Type::U64;
        if is_huge && value.flexible && to.is_signed() {
            let message = format!("Type mismatch: {} does not fit {to}", value.constant().unwrap_or(0) as u64);
            self.report(Diagnostic::error("literal-out-of-range", span, message));
        }
        if is_literal(value) || survives(&value.ty, to) {
            return;
        }
        let message = format!(
            "Expression of type: {} being cast to type: {to}. This may cause unexpected results. Use an explicit cast to suppress this warning.",
            value.ty
        );
        self.warn(Diagnostic::warning("implicit-conversion", span, message));
    }
}

impl Lowerer<'_> {
    /// Operands of a comparison that have no type in common: one may change its value.
    pub(super) fn warn_comparison(&mut self, left: &Operand, right: &Operand, types: (&Type, &Type), span: Span) {
        if let (Type::Pointer { to: l, .. }, Type::Pointer { to: r, .. }) = (&left.ty, &right.ty)
            && l.to_string() != r.to_string()
        {
            let message = format!("comparison of distinct pointer types: {l}, {r}");
            let warning = Diagnostic::warning("distinct-pointers", span, message);
            self.warn(warning.also(left.span, format!("left ({l})")).also(right.span, format!("right ({r})")));
        }
        if let Some(joined) = widen::join(types.0, types.1).filter(Type::is_integer) {
            self.warn_conversion(left, &joined, left.span);
            self.warn_conversion(right, &joined, right.span);
        }
    }
}

/// A number as it is written: cast, it is what it is cast to.
fn is_literal(value: &Operand) -> bool {
    let smallest = |value: i64| [8u8, 16, 32].into_iter().find(|bits| value >= -(1i64 << (bits - 1))).unwrap_or(64);
    match (value.constant(), &value.ty) {
        _ if value.flexible => true,
        (Some(constant), Type::Integer { bits, signed: true }) => constant < 0 && *bits == smallest(constant),
        (Some(constant), Type::Integer { signed: false, .. }) => constant < 0,
        _ => false,
    }
}

/// Whether an integer keeps its value; what is none always does.
fn survives(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (Type::Integer { bits: from, signed: was }, Type::Integer { bits: to, signed: is }) => {
            if was == is {
                from <= to
            } else {
                !was && from < to
            }
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_survives_in_a_wider_type_that_has_its_sign() {
        assert!(survives(&Type::U32, &Type::I64));
        assert!(survives(&Type::I8, &Type::I64));
        assert!(!survives(&Type::U64, &Type::I64));
        assert!(!survives(&Type::I8, &Type::U64));
    }
}
