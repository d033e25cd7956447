//! Members of structures that lie in memory: where they are, bitfields, and alignment.

use crate::ir::{Conversion, Expr as Ir, Op, Scalar, Stmt};
use crate::syntax::ast::Span;
use crate::types::{AddressSpace, StructField, Type};

use super::{Lowered, Lowerer, Operand, Repr};

impl Lowerer<'_> {
    /// A member of a structure that lies in memory. `align`: how the structure is aligned at
    /// least, where BPF may access it directly.
    pub(super) fn member(&mut self, object: Repr, align: u32, member: &StructField, span: Span) -> Lowered<Operand> {
        let ty = self.complete(&member.ty);
        if ty == Type::Void {
            let message =
                format!("'{}' has a type that the language does not have, such as a floating-point one", member.name);
            return Err(self.error("unsupported-type", span, message));
        }
        let (address, space) = match object {
            Repr::Remote { address, space } => {
                let address = Ir::binary(Op::Add, address, Ir::int(i64::from(member.offset)));
                (self.bind(Scalar::I64, address), space)
            }
            Repr::Memory(base) => {
                let align = offset_align(address_align(&base, align), member.offset);
                let address = base.offset(member.offset);
                let address = if is_crossing(member) { address } else { self.aligned(address, align, &ty) };
                (Ir::convert(Conversion::ToInteger, Scalar::I64, address), AddressSpace::Bpf)
            }
            _ => return Ok(Operand::void(span)),
        };
        if let Some((offset, width)) = member.bitfield {
            let register = if is_crossing(member) {
                self.crossing_bits(address, space, offset, width)
            } else {
                self.read_scalar(&ty, address, space)?
            };
            let offset = if is_crossing(member) { 0 } else { offset };
            return Ok(self.bitfield(ty, register, offset, width, span));
        }
        match (char_array(&ty), &ty) {
            (Some(capacity), _) => Ok(self.string_at(address, space, capacity, span)),
            (None, Type::String { capacity }) => Ok(self.terminated_string(address, space, *capacity, span)),
            _ => self.place(ty, address, space, span),
        }
    }

    /// As bpftrace reads it: without a sign, though C gives signed ones one.
    fn bitfield(&mut self, ty: Type, register: Ir, offset: u8, width: u8, span: Span) -> Operand {
        let left = Ir::int(64 - i64::from(offset) - i64::from(width));
        let right = Ir::int(64 - i64::from(width));
        let result = self.bind(Scalar::I64, Ir::binary(Op::LShr, Ir::binary(Op::Shl, register, left), right));
        Operand::scalar(ty, result, span)
    }

    /// The bits of a packed bitfield that reaches beyond the unit of its type, as the lowest ones.
    /// Not a byte more than it has is read.
    fn crossing_bits(&mut self, address: Ir, space: AddressSpace, offset: u8, width: u8) -> Ir {
        let size = (u32::from(offset) + u32::from(width)).div_ceil(8);
        let slot = Ir::Slot(self.new_slot(16, 8));
        self.emit(Stmt::Zero { to: slot.clone(), size: 16, align: 8 });
        if space == AddressSpace::Bpf {
            let from = Ir::convert(Conversion::ToPointer, Scalar::Pointer, address);
            self.emit(Stmt::Copy { to: slot.clone(), from, size, align: 1 });
        } else {
            self.probe_read(slot.clone(), size, address, space);
        }
        let low = self.load_scalar(&Type::U64, slot.clone());
        let low = Ir::binary(Op::LShr, low, Ir::int(i64::from(offset)));
        if size <= 8 {
            return low;
        }
        let high = self.load_scalar(&Type::U64, slot.offset(8));
        let high = Ir::binary(Op::Shl, high, Ir::int(64 - i64::from(offset)));
        self.bind(Scalar::I64, Ir::binary(Op::Or, low, high))
    }

    /// The address of a value as BPF may load it: where C puts it less aligned than a value of its
    /// type is elsewhere, a copy. The verifier refuses such loads from the stack.
    pub(super) fn aligned(&mut self, address: Ir, align: u32, ty: &Type) -> Ir {
        if align >= ty.align() {
            return address;
        }
        let slot = Ir::Slot(self.slot_for(ty));
        self.emit(Stmt::Copy { to: slot.clone(), from: address, size: ty.size(), align });
        slot
    }

    /// A `char` array of a structure that C defines, with a NUL behind it: all of it may be text.
    fn terminated_string(&mut self, address: Ir, space: AddressSpace, length: u32, span: Span) -> Operand {
        let ty = Type::String { capacity: length + 1 };
        let slot = Ir::Slot(self.slot_for(&ty));
        if space == AddressSpace::Bpf {
            let from = Ir::convert(Conversion::ToPointer, Scalar::Pointer, address);
            self.emit(Stmt::Copy { to: slot.clone(), from, size: length, align: 1 });
        } else {
            self.probe_read(slot.clone(), length, address, space);
        }
        self.emit(Stmt::Zero { to: slot.clone().offset(length), size: 1, align: 1 });
        Operand::memory(ty, slot, span)
    }

    /// A fixed `char` array is a string, NUL or not.
    fn string_at(&mut self, address: Ir, space: AddressSpace, capacity: u32, span: Span) -> Operand {
        let ty = Type::String { capacity };
        if space == AddressSpace::Bpf {
            return Operand::memory(ty, Ir::convert(Conversion::ToPointer, Scalar::Pointer, address), span);
        }
        let slot = Ir::Slot(self.slot_for(&ty));
        self.probe_read(slot.clone(), capacity, address, space);
        Operand::memory(ty, slot, span)
    }
}

/// A bitfield that does not lie in one unit of its type.
fn is_crossing(member: &StructField) -> bool {
    member.bitfield.is_some_and(|(offset, width)| u32::from(offset) + u32::from(width) > member.ty.size() * 8)
}

/// How an address is aligned: slots of a word or more start at words.
fn address_align(address: &Ir, least: u32) -> u32 {
    match address {
        Ir::Context => 8,
        Ir::MapValue { offset, .. } => offset_align(8, *offset),
        _ => least,
    }
}

fn offset_align(align: u32, offset: u32) -> u32 {
    if offset == 0 { align } else { align.min(1 << offset.trailing_zeros().min(3)) }
}

fn char_array(ty: &Type) -> Option<u32> {
    match ty {
        Type::Array { element, length } if **element == Type::I8 && *length > 0 => Some(*length),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_takes_alignment_away() {
        assert_eq!([0, 4, 6, 16, 3].map(|offset| offset_align(8, offset)), [8, 4, 2, 8, 1]);
        assert_eq!(offset_align(1, 8), 1);
    }
}
