//! What is known when the script is compiled: folding, and branches that cannot be taken.

use crate::ir::{Conversion, Expr as Ir, Op, Scalar};

impl Ir {
    /// The value, if it is the same every time; a truth value is 0 or 1.
    pub fn constant(&self) -> Option<i64> {
        match self {
            Ir::Const { value, .. } => Some(*value),
            Ir::Binary { op, left, right } => fold(*op, left.constant()?, right.constant()?),
            Ir::Convert { op: Conversion::ZeroExtend, to: Scalar::I64, value } if value.is_bool() => value.constant(),
            _ => None,
        }
    }
}

/// The result for two 64-bit constants, computed as BPF would.
pub fn fold(op: Op, l: i64, r: i64) -> Option<i64> {
    let truth = |holds: bool| i64::from(holds);
    Some(match op {
        Op::Add => l.wrapping_add(r),
        Op::Sub => l.wrapping_sub(r),
        Op::Mul => l.wrapping_mul(r),
        Op::SDiv => l.checked_div(r).unwrap_or(if r == 0 { 0 } else { l }),
        Op::UDiv => (l as u64).checked_div(r as u64)? as i64,
        Op::SRem => l.checked_rem(r).unwrap_or(0),
        Op::URem => (l as u64).checked_rem(r as u64)? as i64,
        Op::And => l & r,
        Op::Or => l | r,
        Op::Xor => l ^ r,
        Op::Shl => l.wrapping_shl(r as u32),
        Op::AShr => l.wrapping_shr(r as u32),
        Op::LShr => (l as u64).wrapping_shr(r as u32) as i64,
        Op::Eq => truth(l == r),
        Op::Ne => truth(l != r),
        Op::ULt => truth((l as u64) < r as u64),
        Op::ULe => truth(l as u64 <= r as u64),
        Op::SLt => truth(l < r),
        Op::SLe => truth(l <= r),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_of_constants_are_constants() {
        let less = Ir::binary(Op::SLt, Ir::int(-1), Ir::int(1)).bool_to_int();
        assert_eq!(less.constant(), Some(1));
        let unsigned = Ir::binary(Op::ULt, Ir::int(-1), Ir::int(1)).bool_to_int();
        assert_eq!(unsigned.constant(), Some(0));
        assert_eq!(Ir::binary(Op::Eq, Ir::int(1), Ir::Context).constant(), None);
        assert_eq!(Ir::Opaque(Box::new(Ir::int(1))).constant(), None);
    }
}
