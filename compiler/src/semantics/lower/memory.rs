//! Values in memory: loading, probe-reading, and storing with conversion.

use crate::ir::{Conversion, Expr as Ir, Helper, Scalar, Stmt};
use crate::semantics::widen;
use crate::syntax::ast::Span;
use crate::types::{AddressSpace, Type};

use super::{Lowered, Lowerer, Operand, Repr};

impl Lowerer<'_> {
    /// Loads a scalar from memory that BPF may access, as an I64.
    pub fn load_scalar(&mut self, ty: &Type, address: Ir) -> Ir {
        let scalar = Scalar::of_bits((ty.size() * 8) as u8);
        let value = Ir::load(scalar, address);
        let wide = if scalar == Scalar::I64 {
            value
        } else {
            let extend = if ty.is_signed() { Conversion::SignExtend } else { Conversion::ZeroExtend };
            Ir::convert(extend, Scalar::I64, value)
        };
        self.bind(Scalar::I64, wide)
    }

    /// Probe-reads a scalar, as an I64; a failed read gives 0.
    pub fn read_scalar(&mut self, ty: &Type, address: Ir, space: AddressSpace) -> Lowered<Ir> {
        if space == AddressSpace::Bpf {
            let pointer = Ir::convert(Conversion::ToPointer, Scalar::Pointer, address);
            return Ok(self.load_scalar(ty, pointer));
        }
        let slot = Ir::Slot(self.new_slot(8, 8));
        self.probe_read(slot.clone(), ty.size(), address, space);
        Ok(self.load_scalar(ty, slot))
    }

    /// Copies `size` bytes from kernel or user memory; what cannot be read becomes zeros.
    pub fn probe_read(&mut self, to: Ir, size: u32, address: Ir, space: AddressSpace) {
        let space = if space == AddressSpace::Unknown { self.probe.address_space } else { space };
        let helper = match space {
            AddressSpace::User => Helper::PROBE_READ_USER,
            _ => Helper::PROBE_READ_KERNEL,
        };
        let result = self.helper(helper, vec![to, Ir::int(i64::from(size)), address]);
        self.check_read(helper, &result);
    }

    /// The address of the value's bytes, in memory that BPF may access directly.
    pub fn materialize(&mut self, operand: &Operand) -> Lowered<Ir> {
        if let Repr::Memory(address) = &operand.repr {
            return Ok(address.clone());
        }
        let ty = operand.ty.clone();
        let slot = Ir::Slot(self.slot_for(&ty));
        self.store(slot.clone(), operand, &ty)?;
        Ok(slot)
    }

    /// The address of a value as an integer, for `&$x` and casts to pointers.
    pub fn address_of(&mut self, operand: &Operand) -> Lowered<Ir> {
        let address = self.materialize(operand)?;
        Ok(Ir::convert(Conversion::ToInteger, Scalar::I64, address))
    }

    /// The address of a literal, with the room that `ty` has, among the constants.
    pub fn constant_text_in(&mut self, text: &str, ty: &Type) -> Ir {
        let (map, offset) = self.plan.constant(padded(text, ty.size() as usize));
        Ir::MapValue { map, offset }
    }

    /// Writes a value at `address` in the layout of `ty`, converting as far as [`widen::fits`].
    pub fn store(&mut self, address: Ir, operand: &Operand, ty: &Type) -> Lowered<()> {
        if operand.is_unknown() {
            return self.unknown(operand);
        }
        match (&operand.repr, ty) {
            (_, ty) if ty.is_scalar() => {
                let value = self.register(operand.clone())?;
                self.store_scalar(address, value, ty);
            }
            (Repr::Text(text), Type::String { capacity }) => {
                let bytes = padded(text, *capacity as usize);
                self.emit(Stmt::Bytes { to: address, bytes, align: ty.align() });
            }
            (Repr::Memory(from), _) => self.copy(address, from.clone(), &operand.ty, ty, operand.span)?,
            (Repr::Remote { address: from, space }, _) => {
                self.probe_read(address, ty.size().min(operand.ty.size()), from.clone(), *space);
            }
            _ => {
                let message = format!("cannot store a value of type {} as {ty}", operand.ty);
                return Err(self.error("type-mismatch", operand.span, message));
            }
        }
        Ok(())
    }

    pub fn store_scalar(&mut self, address: Ir, value: Ir, ty: &Type) {
        let scalar = Scalar::of_bits((ty.size() * 8) as u8);
        let value = match value {
            Ir::Const { value, .. } => Ir::Const { ty: scalar, value },
            value if scalar == Scalar::I64 => value,
            value => Ir::convert(Conversion::Truncate, scalar, value),
        };
        self.emit(Stmt::Store { ty: scalar, address, value });
    }

    /// Copies a value in memory into another layout of it.
    fn copy(&mut self, to: Ir, from: Ir, from_ty: &Type, to_ty: &Type, span: Span) -> Lowered<()> {
        match (from_ty, to_ty) {
            (Type::String { capacity: have }, Type::String { capacity: want })
            | (Type::Buffer { capacity: have }, Type::Buffer { capacity: want }) => {
                let lead = if matches!(to_ty, Type::Buffer { .. }) { 4 } else { 0 };
                let size = lead + have.min(want);
                let align = shared_align(from_ty, to_ty);
                self.emit(Stmt::Copy { to: to.clone(), from, size, align });
                if want > have {
                    self.emit(Stmt::Zero { to: to.offset(size), size: want - have, align: 1 });
                }
                Ok(())
            }
            (from_ty, to_ty) if from_ty == to_ty => {
                self.emit(Stmt::Copy { to, from, size: to_ty.size(), align: to_ty.align() });
                Ok(())
            }
            (Type::Tuple(_), Type::Tuple(_)) | (Type::Record(_), Type::Record(_)) => {
                self.copy_elements(to, from, from_ty, to_ty, span)
            }
            (from_ty, to_ty) if from_ty.size() == to_ty.size() => {
                self.emit(Stmt::Copy { to, from, size: to_ty.size(), align: 1 });
                Ok(())
            }
            _ => {
                let message = format!("cannot store a value of type {from_ty} as {to_ty}");
                Err(self.error("type-mismatch", span, message))
            }
        }
    }

    fn copy_elements(&mut self, to: Ir, from: Ir, from_ty: &Type, to_ty: &Type, span: Span) -> Lowered<()> {
        self.zero_padding(to.clone(), to_ty);
        for (from_element, to_element) in pair_elements(from_ty, to_ty) {
            let (from_offset, from_ty) = from_element;
            let (to_offset, to_ty) = to_element;
            let source = from.clone().offset(from_offset);
            let target = to.clone().offset(to_offset);
            if to_ty.is_scalar() {
                let value = self.load_scalar(&from_ty, source);
                self.store_scalar(target, value, &to_ty);
            } else {
                self.copy(target, source, &from_ty, &to_ty, span)?;
            }
        }
        Ok(())
    }

    /// Zeroes the gaps between a tuple's elements: keys are compared bytewise.
    pub fn zero_padding(&mut self, address: Ir, ty: &Type) {
        for (start, end) in gaps(ty) {
            self.emit(Stmt::Zero { to: address.clone().offset(start), size: end - start, align: 1 });
        }
    }

    /// Builds a tuple or record of the given type from its elements' values, in memory.
    pub fn build(&mut self, address: Ir, ty: &Type, elements: &[Operand]) -> Lowered<()> {
        self.zero_padding(address.clone(), ty);
        let types = element_types(ty);
        for ((offset, ty), element) in ty.element_offsets().into_iter().zip(types).zip(elements) {
            self.store(address.clone().offset(offset), element, &ty)?;
        }
        Ok(())
    }

    /// Checks that a value can be put where a type is wanted, and says what does not fit.
    pub fn require_fit(&mut self, operand: &Operand, ty: &Type, what: &str) -> Lowered<()> {
        if operand.is_unknown() || widen::fits(&operand.ty, ty) {
            return Ok(());
        }
        let message = format!(
            "type mismatch for {what}: trying to assign a value of type '{}' when it already contains a value of type '{ty}'",
            operand.ty
        );
        Err(self.error("type-mismatch", operand.span, message))
    }
}

/// The types of a tuple's or a record's elements.
pub fn element_types(ty: &Type) -> Vec<Type> {
    match ty {
        Type::Tuple(elements) => elements.to_vec(),
        Type::Record(fields) => fields.iter().map(|(_, ty)| ty.clone()).collect(),
        _ => Vec::new(),
    }
}

type Element = (u32, Type);

/// Offsets and types of what corresponds in two tuples or (by name) in two records.
fn pair_elements(from: &Type, to: &Type) -> Vec<(Element, Element)> {
    let place = |ty: &Type| -> Vec<Element> { ty.element_offsets().into_iter().zip(element_types(ty)).collect() };
    let (from_places, to_places) = (place(from), place(to));
    if let (Type::Record(from_fields), Type::Record(to_fields)) = (from, to) {
        return to_fields
            .iter()
            .zip(to_places)
            .filter_map(|((name, _), to_place)| {
                let index = from_fields.iter().position(|(n, _)| n == name)?;
                Some((from_places.get(index)?.clone(), to_place))
            })
            .collect();
    }
    from_places.into_iter().zip(to_places).collect()
}

/// The byte ranges of a tuple that belong to no element.
pub fn gaps(ty: &Type) -> Vec<(u32, u32)> {
    let mut result = Vec::new();
    let mut end = 0;
    for (offset, element) in ty.element_offsets().into_iter().zip(element_types(ty)) {
        if offset > end {
            result.push((end, offset));
        }
        end = offset + element.size();
    }
    if ty.size() > end && !element_types(ty).is_empty() {
        result.push((end, ty.size()));
    }
    result
}

fn shared_align(a: &Type, b: &Type) -> u32 {
    a.align().min(b.align())
}

/// A string's bytes, cut so that a NUL fits, padded with zeros.
fn padded(text: &str, capacity: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.truncate(capacity.saturating_sub(1));
    bytes.resize(capacity, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_lies_between_the_elements() {
        let ty = Type::tuple(vec![Type::U8, Type::U32, Type::U8]);
        assert_eq!(gaps(&ty), [(1, 4), (9, 12)]);
        assert_eq!(gaps(&Type::tuple(vec![Type::U64])), []);
    }
}
