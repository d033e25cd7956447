//! Arithmetic of literals, as it is written: exact, and refused where 64 bits do not hold it.

use crate::syntax::ast::{BinaryOp, Expr, ExprKind, UnaryOp};

/// Why a result cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    Overflow,
    Underflow,
}

/// The value of integer literals and operators on them; `None` for anything else, and for division by
/// zero, which has a message of its own.
///
/// As in bpftrace both operands are unsigned where neither is negative, and signed otherwise; what is
/// subtracted may turn out negative.
pub fn evaluate(expr: &Expr) -> Option<Result<i128, Beyond>> {
    match &expr.kind {
        ExprKind::Integer(value) => Some(Ok(i128::from(*value))),
        ExprKind::Unary { operator: UnaryOp::Negate, operand } => match operand.kind {
            ExprKind::Integer(value) => Some(in_range(-i128::from(value))),
            _ => None,
        },
        ExprKind::Binary { operator, left, right } => {
            // The right one first: a long sum of variables is done with at once.
            let right = evaluate(right)?;
            let left = evaluate(left)?;
            match (left, right) {
                (Ok(left), Ok(right)) => operate(*operator, left, right),
                (Err(beyond), _) | (_, Err(beyond)) => Some(Err(beyond)),
            }
        }
        _ => None,
    }
}

fn operate(operator: BinaryOp, left: i128, right: i128) -> Option<Result<i128, Beyond>> {
    let signed = left < 0 || right < 0;
    let is_shift = matches!(operator, BinaryOp::ShiftLeft | BinaryOp::ShiftRight);
    if signed && !is_shift && left.max(right) > i128::from(i64::MAX) {
        return Some(Err(Beyond::Overflow));
    }
    let exact = match operator {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => match left.checked_mul(right) {
            Some(product) => product,
            None => return Some(Err(Beyond::Overflow)),
        },
        BinaryOp::Divide => left.checked_div(right)?,
        BinaryOp::Modulo => left.checked_rem(right)?,
        BinaryOp::BitAnd => left & right,
        BinaryOp::BitOr => left | right,
        BinaryOp::BitXor => left ^ right,
        BinaryOp::ShiftLeft | BinaryOp::ShiftRight => return Some(shift(operator, left, right)),
        _ => return None,
    };
    Some(match in_range(exact) {
        Ok(value) if signed && value > i128::from(i64::MAX) => Err(Beyond::Overflow),
        other => other,
    })
}

/// Bits that are shifted out are lost, as everywhere.
fn shift(operator: BinaryOp, left: i128, right: i128) -> Result<i128, Beyond> {
    let Some(by) = u32::try_from(right).ok().filter(|by| *by < 64) else { return Err(Beyond::Overflow) };
    let value = match operator {
        BinaryOp::ShiftRight => left >> by,
        _ if left < 0 => i128::from((left << by) as i64),
        _ => i128::from((left << by) as u64),
    };
    Ok(value)
}

fn in_range(value: i128) -> Result<i128, Beyond> {
    match value {
        _ if value < i128::from(i64::MIN) => Err(Beyond::Underflow),
        _ if value > i128::from(u64::MAX) => Err(Beyond::Overflow),
        _ => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::ast::{Item, SourceId, StmtKind};

    fn value(text: &str) -> Option<Result<i128, Beyond>> {
        let script = crate::syntax::parse(&format!("begin {{ {text}; }}"), SourceId(0)).unwrap();
        let Some(Item::Probe(probe)) = script.items.first() else { return None };
        match probe.body.statements.first().map(|statement| &statement.kind) {
            Some(StmtKind::Expr(expr)) => evaluate(expr),
            _ => None,
        }
    }

    #[test]
    fn literals_are_computed_exactly() {
        assert_eq!(value("9223372036854775807 + 1"), Some(Ok(1 << 63)));
        assert_eq!(value("0x7fffffffffffffff - 0x8000000000000000"), Some(Ok(-1)));
        assert_eq!(value("1 << 63"), Some(Ok(1 << 63)));
        assert_eq!(value("0x8000000000000000 << 1"), Some(Ok(0)));
        assert_eq!(value("-1 << 63"), Some(Ok(i128::from(i64::MIN))));
        assert_eq!(value("-8 >> 2"), Some(Ok(-2)));
        assert_eq!(value("2 + 3 * -4"), Some(Ok(-10)));
        assert_eq!(value("0xffffffff ^ -0xf"), Some(Ok(-4294967282)));
        assert_eq!(value("1 / 0"), None);
        assert_eq!(value("pid + 1"), None);
    }

    #[test]
    fn what_64_bits_do_not_hold_is_told() {
        for text in ["0xffffffffffffffff + 1", "0x8000000000000000 + (-1)", "0x7fffffffffffffff - (-1)"] {
            assert_eq!(value(text), Some(Err(Beyond::Overflow)), "{text}");
        }
        assert_eq!(value("0xffffffffffffffff * 0xffffffffffffffff"), Some(Err(Beyond::Overflow)));
        for text in ["0x8000000000000000 * 2", "-1 & 0xffffffffffffffff", "1 << 64", "1 >> 64"] {
            assert_eq!(value(text), Some(Err(Beyond::Overflow)), "{text}");
        }
        for text in ["0 - 0x8000000000000001", "1 - 0xffffffffffffffff", "0 - 0xffffffffffffffff"] {
            assert_eq!(value(text), Some(Err(Beyond::Underflow)), "{text}");
        }
    }
}
