//! Loads, stores, and blocks of memory: copied, cleared and filled without library calls, which
//! BPF does not have.

use inkwell::IntPredicate;
use inkwell::types::IntType;
use inkwell::values::{BasicValueEnum, IntValue, PointerValue};

use super::function::Function;
use super::{CodegenError, Result};
use crate::ir::{Expr, Scalar};

/// Larger blocks are copied and cleared in a loop, whose every run the verifier follows.
const STRAIGHT_LINE: u32 = 512;
/// Bytes that one run of such a loop handles.
const STRIDE: u32 = 64;
/// So are blocks of more pieces: LLVM would keep all of them in registers for the next copy, and run out of
/// stack for them.
const MOST_PIECES: u32 = 64;

impl<'ctx> Function<'_, 'ctx, '_> {
    pub fn load(&self, address: PointerValue<'ctx>, ty: Scalar) -> Result<BasicValueEnum<'ctx>> {
        let loaded = self.builder.build_load(self.shared.unit.types.memory(ty), address, "")?;
        self.loaded_value(ty, loaded)
    }

    /// Makes a truth value of the byte that holds it.
    pub fn loaded_value(&self, ty: Scalar, loaded: BasicValueEnum<'ctx>) -> Result<BasicValueEnum<'ctx>> {
        match (ty, loaded) {
            (Scalar::Bool, BasicValueEnum::IntValue(byte)) => Ok(self.is_not_zero(byte)?.into()),
            _ => Ok(loaded),
        }
    }

    pub fn store(&self, address: PointerValue<'ctx>, value: BasicValueEnum<'ctx>) -> Result<()> {
        let types = &self.shared.unit.types;
        let value = match value {
            BasicValueEnum::IntValue(truth) if truth.get_type() == types.bool => {
                self.builder.build_int_z_extend(truth, types.i8, "")?.into()
            }
            other => other,
        };
        self.builder.build_store(address, value)?;
        Ok(())
    }

    pub fn offset(&self, base: PointerValue<'ctx>, by: IntValue<'ctx>) -> Result<PointerValue<'ctx>> {
        let types = &self.shared.unit.types;
        if by.get_type() != types.i64 {
            return Err(CodegenError::malformed("an offset is not a 64-bit integer"));
        }
        // SAFETY: the instruction is not marked `inbounds`, so it is plain addition: its result is
        // defined whatever the operands are.
        Ok(unsafe { self.builder.build_gep(types.i8, base, &[by], "")? })
    }

    pub fn constant_offset(&self, base: PointerValue<'ctx>, by: u32) -> Result<PointerValue<'ctx>> {
        if by == 0 {
            return Ok(base);
        }
        self.offset(base, self.shared.unit.types.i64.const_int(u64::from(by), false))
    }

    /// What is known of an address's alignment from its form: 1 if nothing.
    pub fn alignment(&self, address: &Expr) -> u32 {
        let of_number = |number: i64| 1 << number.trailing_zeros().min(3);
        match address {
            Expr::Slot(_) => 8,
            Expr::MapValue { offset, .. } => of_number(i64::from(*offset)),
            Expr::Offset { base, by } => match by.as_ref() {
                Expr::Const { value, .. } => self.alignment(base).min(of_number(*value)),
                _ => 1,
            },
            _ => 1,
        }
    }

    pub fn copy(&self, to: PointerValue<'ctx>, from: PointerValue<'ctx>, size: u32, align: u32) -> Result<()> {
        self.in_pieces(size, align, [to, from], |function, width, [to, from]| {
            let piece = function.builder.build_load(width, from, "")?.into_int_value();
            set_alignment(piece.as_instruction(), width)?;
            function.store_piece(to, piece)
        })
    }

    pub fn zero(&self, to: PointerValue<'ctx>, size: u32, align: u32) -> Result<()> {
        self.in_pieces(size, align, [to], |function, width, [to]| function.store_piece(to, width.const_zero()))
    }

    pub fn bytes(&self, to: PointerValue<'ctx>, bytes: &[u8], align: u32) -> Result<()> {
        let mut rest = bytes;
        let mut offset = 0;
        while !rest.is_empty() {
            let width = piece_width(rest.len() as u32, align);
            let (piece, tail) = rest.split_at(width as usize);
            let value = piece.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
            let piece = self.integer_of(width).const_int(value, false);
            self.store_piece(self.constant_offset(to, offset)?, piece)?;
            offset += width;
            rest = tail;
        }
        Ok(())
    }

    /// Handles a block in the widest pieces that its alignment allows: a loop over whole strides
    /// if there are many, then one piece after another. `each` gets the places of one piece.
    fn in_pieces<const N: usize>(
        &self,
        size: u32,
        align: u32,
        places: [PointerValue<'ctx>; N],
        each: impl Fn(&Self, IntType<'ctx>, [PointerValue<'ctx>; N]) -> Result<()>,
    ) -> Result<()> {
        let straight = |places: [PointerValue<'ctx>; N], from: u32, until: u32| -> Result<()> {
            let mut offset = from;
            while offset < until {
                let width = piece_width(until - offset, align);
                each(self, self.integer_of(width), self.displaced(places, |p| self.constant_offset(p, offset))?)?;
                offset += width;
            }
            Ok(())
        };
        if size <= STRAIGHT_LINE && size / piece_width(size, align) <= MOST_PIECES {
            return straight(places, 0, size);
        }
        let looped = size - size % STRIDE;
        let word = self.shared.unit.types.i64;
        let (head, after) = (self.append("block"), self.append("endblock"));
        let before = self.builder.get_insert_block().ok_or_else(|| CodegenError::malformed("no block"))?;
        self.builder.build_unconditional_branch(head)?;
        self.builder.position_at_end(head);
        let phi = self.builder.build_phi(word, "")?;
        let position = phi.as_basic_value().into_int_value();
        straight(self.displaced(places, |place| self.offset(place, position))?, 0, STRIDE)?;
        let stride = word.const_int(u64::from(STRIDE), false);
        let next = self.builder.build_int_add(position, stride, "")?;
        phi.add_incoming(&[(&word.const_zero(), before), (&next, head)]);
        let end = word.const_int(u64::from(looped), false);
        let more = self.builder.build_int_compare(IntPredicate::ULT, next, end, "")?;
        self.builder.build_conditional_branch(more, head, after)?;
        self.builder.position_at_end(after);
        straight(places, looped, size)
    }

    fn displaced<const N: usize>(
        &self,
        mut places: [PointerValue<'ctx>; N],
        by: impl Fn(PointerValue<'ctx>) -> Result<PointerValue<'ctx>>,
    ) -> Result<[PointerValue<'ctx>; N]> {
        for place in &mut places {
            *place = by(*place)?;
        }
        Ok(places)
    }

    fn integer_of(&self, bytes: u32) -> IntType<'ctx> {
        let types = &self.shared.unit.types;
        match bytes {
            1 => types.i8,
            2 => types.i16,
            4 => types.i32,
            _ => types.i64,
        }
    }

    fn store_piece(&self, to: PointerValue<'ctx>, piece: IntValue<'ctx>) -> Result<()> {
        let store = self.builder.build_store(to, piece)?;
        set_alignment(Some(store), piece.get_type())
    }
}

/// The widest piece of at most `left` bytes at a place that is a multiple of `align`.
fn piece_width(left: u32, align: u32) -> u32 {
    let fits = 1 << left.max(1).ilog2();
    align.max(1).min(fits).min(8)
}

/// Pieces are as wide as their alignment allows, so each is aligned to its own width.
fn set_alignment(instruction: Option<inkwell::values::InstructionValue<'_>>, width: IntType<'_>) -> Result<()> {
    let Some(instruction) = instruction else { return Ok(()) };
    instruction.set_alignment(width.get_bit_width() / 8).map_err(|error| CodegenError::malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_respect_alignment_and_size() {
        assert_eq!(
            [(16, 8), (7, 8), (3, 8), (1, 8), (16, 1), (16, 4), (2, 4)].map(|(l, a)| piece_width(l, a)),
            [8, 4, 2, 1, 1, 4, 2]
        );
    }
}
