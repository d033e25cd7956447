//! Integer operations, without the undefined behaviour that LLVM attaches to them.
//!
//! Division follows the BPF instruction set (RFC 9669, section 4.1): x / 0 is 0 and x % 0 is x;
//! the smallest integer divided by -1 is itself, remainder 0. Shift amounts are taken modulo the
//! width.

use inkwell::IntPredicate;
use inkwell::intrinsics::Intrinsic;
use inkwell::values::{BasicValueEnum, IntValue};

use super::function::Function;
use super::{CodegenError, Cpu, Result};
use crate::ir::Op;

impl<'ctx> Function<'_, 'ctx, '_> {
    pub fn binary(&self, op: Op, left: BasicValueEnum<'ctx>, right: BasicValueEnum<'ctx>) -> Result<IntValue<'ctx>> {
        use BasicValueEnum::{IntValue as Integer, PointerValue as Pointer};
        match (left, right) {
            (Integer(left), Integer(right)) if left.get_type() == right.get_type() => {
                self.integer_operation(op, left, right)
            }
            (Pointer(left), Pointer(right)) => match predicate(op) {
                Some(predicate) => Ok(self.builder.build_int_compare(predicate, left, right, "")?),
                None => Err(CodegenError::malformed(format!("{op:?} of two pointers"))),
            },
            _ => Err(CodegenError::malformed(format!("{op:?} of {} and {}", left.get_type(), right.get_type()))),
        }
    }

    fn integer_operation(&self, op: Op, left: IntValue<'ctx>, right: IntValue<'ctx>) -> Result<IntValue<'ctx>> {
        if let Some(predicate) = predicate(op) {
            return Ok(self.builder.build_int_compare(predicate, left, right, "")?);
        }
        let builder = &self.builder;
        Ok(match op {
            Op::Add => builder.build_int_add(left, right, "")?,
            Op::Sub => builder.build_int_sub(left, right, "")?,
            Op::Mul => builder.build_int_mul(left, right, "")?,
            Op::And => builder.build_and(left, right, "")?,
            Op::Or => builder.build_or(left, right, "")?,
            Op::Xor => builder.build_xor(left, right, "")?,
            Op::Shl => builder.build_left_shift(left, self.shift_amount(right)?, "")?,
            Op::LShr => builder.build_right_shift(left, self.shift_amount(right)?, false, "")?,
            Op::AShr => builder.build_right_shift(left, self.shift_amount(right)?, true, "")?,
            Op::UDiv | Op::SDiv => self.quotient(left, right, op == Op::SDiv)?,
            _ => self.remainder(left, right, op == Op::SRem)?,
        })
    }

    fn shift_amount(&self, amount: IntValue<'ctx>) -> Result<IntValue<'ctx>> {
        let ty = amount.get_type();
        let mask = ty.const_int(u64::from(ty.get_bit_width()) - 1, false);
        Ok(self.builder.build_and(amount, mask, "")?)
    }

    fn quotient(&self, left: IntValue<'ctx>, right: IntValue<'ctx>, signed: bool) -> Result<IntValue<'ctx>> {
        let zero = right.get_type().const_zero();
        if !signed {
            let quotient = self.builder.build_int_unsigned_div(left, self.non_zero(right)?, "")?;
            return self.unless_zero(right, quotient, zero);
        }
        let quotient = if self.shared.unit.cpu == Cpu::V3 {
            let (left_sign, left_size) = self.sign_and_size(left)?;
            let (right_sign, right_size) = self.sign_and_size(right)?;
            let size = self.builder.build_int_unsigned_div(left_size, self.non_zero(right_size)?, "")?;
            let sign = self.builder.build_xor(left_sign, right_sign, "")?;
            self.with_sign(size, sign)?
        } else {
            let (divisor, is_minus_one) = self.safe_divisor(right)?;
            let quotient = self.builder.build_int_signed_div(left, divisor, "")?;
            let negated = self.builder.build_int_neg(left, "")?;
            self.builder.build_select(is_minus_one, negated, quotient, "")?.into_int_value()
        };
        self.unless_zero(right, quotient, zero)
    }

    fn remainder(&self, left: IntValue<'ctx>, right: IntValue<'ctx>, signed: bool) -> Result<IntValue<'ctx>> {
        let remainder = match (signed, self.shared.unit.cpu) {
            (false, _) => self.builder.build_int_unsigned_rem(left, self.non_zero(right)?, "")?,
            (true, Cpu::V3) => {
                let (left_sign, left_size) = self.sign_and_size(left)?;
                let (_, right_size) = self.sign_and_size(right)?;
                let size = self.builder.build_int_unsigned_rem(left_size, self.non_zero(right_size)?, "")?;
                self.with_sign(size, left_sign)?
            }
            // With -1 made 1 the remainder is 0, as it must be.
            (true, Cpu::V4) => {
                let (divisor, _) = self.safe_divisor(right)?;
                self.builder.build_int_signed_rem(left, divisor, "")?
            }
        };
        self.unless_zero(right, remainder, left)
    }

    /// `value`, but `otherwise` if `divisor` is 0.
    fn unless_zero(
        &self,
        divisor: IntValue<'ctx>,
        value: IntValue<'ctx>,
        otherwise: IntValue<'ctx>,
    ) -> Result<IntValue<'ctx>> {
        let is_zero = self.is_zero(divisor)?;
        Ok(self.builder.build_select(is_zero, otherwise, value, "")?.into_int_value())
    }

    /// The divisor, or 1 for 0.
    fn non_zero(&self, divisor: IntValue<'ctx>) -> Result<IntValue<'ctx>> {
        self.unless_zero(divisor, divisor, divisor.get_type().const_int(1, false))
    }

    /// The divisor, or 1 for 0 and -1; and whether it is -1.
    fn safe_divisor(&self, divisor: IntValue<'ctx>) -> Result<(IntValue<'ctx>, IntValue<'ctx>)> {
        let all_ones = divisor.get_type().const_all_ones();
        let is_minus_one = self.builder.build_int_compare(IntPredicate::EQ, divisor, all_ones, "")?;
        let one = divisor.get_type().const_int(1, false);
        let not_minus_one = self.builder.build_select(is_minus_one, one, divisor, "")?.into_int_value();
        Ok((self.non_zero(not_minus_one)?, is_minus_one))
    }

    /// -1 or 0, and the absolute value, unsigned.
    fn sign_and_size(&self, value: IntValue<'ctx>) -> Result<(IntValue<'ctx>, IntValue<'ctx>)> {
        let ty = value.get_type();
        let amount = ty.const_int(u64::from(ty.get_bit_width()) - 1, false);
        let sign = self.builder.build_right_shift(value, amount, true, "")?;
        Ok((sign, self.with_sign(value, sign)?))
    }

    /// The negative of `value` if `sign` is -1, itself if that is 0.
    fn with_sign(&self, value: IntValue<'ctx>, sign: IntValue<'ctx>) -> Result<IntValue<'ctx>> {
        let flipped = self.builder.build_xor(value, sign, "")?;
        Ok(self.builder.build_int_sub(flipped, sign, "")?)
    }

    fn is_zero(&self, value: IntValue<'ctx>) -> Result<IntValue<'ctx>> {
        let zero = value.get_type().const_zero();
        Ok(self.builder.build_int_compare(IntPredicate::EQ, value, zero, "")?)
    }

    pub fn is_not_zero(&self, value: IntValue<'ctx>) -> Result<IntValue<'ctx>> {
        let zero = value.get_type().const_zero();
        Ok(self.builder.build_int_compare(IntPredicate::NE, value, zero, "")?)
    }

    /// Reverses the bytes; an integer of one byte stays as it is.
    pub fn swap(&self, value: IntValue<'ctx>) -> Result<IntValue<'ctx>> {
        if value.get_type().get_bit_width() <= 8 {
            return Ok(value);
        }
        let missing = || CodegenError::malformed("llvm.bswap gave no value");
        let intrinsic = Intrinsic::find("llvm.bswap").ok_or_else(missing)?;
        let declaration = intrinsic.get_declaration(&self.shared.unit.module, &[value.get_type().into()]);
        let call = self.builder.build_call(declaration.ok_or_else(missing)?, &[value.into()], "")?;
        call.try_as_basic_value().basic().map(BasicValueEnum::into_int_value).ok_or_else(missing)
    }
}

fn predicate(op: Op) -> Option<IntPredicate> {
    Some(match op {
        Op::Eq => IntPredicate::EQ,
        Op::Ne => IntPredicate::NE,
        Op::ULt => IntPredicate::ULT,
        Op::ULe => IntPredicate::ULE,
        Op::SLt => IntPredicate::SLT,
        Op::SLe => IntPredicate::SLE,
        _ => return None,
    })
}
