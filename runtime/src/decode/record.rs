//! Tuples, records and C structures.

use probebook_compiler::types::{StructField, Type};

use super::{decode_checked, read_u32};
use crate::value::{Resolve, Value};

/// A value of elements that lie at their own offsets.
pub(super) fn decode(ty: &Type, bytes: &[u8], resolve: &dyn Resolve) -> Option<Value> {
    let bytes = bytes.get(..ty.size() as usize)?;
    let element = |ty: &Type, offset: u32| {
        let start = offset as usize;
        decode_checked(ty, bytes.get(start..start + ty.size() as usize)?, resolve)
    };
    let offsets = ty.element_offsets();
    match ty {
        Type::Tuple(elements) => {
            let values = elements.iter().zip(offsets).map(|(ty, offset)| element(ty, offset));
            Some(Value::Tuple(values.collect::<Option<_>>()?))
        }
        Type::Record(fields) => {
            let values =
                fields.iter().zip(offsets).map(|((name, ty), offset)| Some((name.clone(), element(ty, offset)?)));
            Some(Value::Record(values.collect::<Option<_>>()?))
        }
        Type::Struct(info) => {
            let values = info.fields.iter().map(|f| (f.name.clone(), field(f, bytes, resolve).unwrap_or(Value::Null)));
            Some(Value::Record(values.collect()))
        }
        _ => None,
    }
}

fn field(field: &StructField, bytes: &[u8], resolve: &dyn Resolve) -> Option<Value> {
    let bytes_of_field = bytes.get(field.offset as usize..)?;
    if let Some((shift, width)) = field.bitfield {
        return bitfield(&field.ty, bytes_of_field, u32::from(shift), u32::from(width));
    }
    if field.data_loc {
        return data_loc(bytes, read_u32(bytes_of_field, 0)?);
    }
    decode_checked(&field.ty, bytes_of_field.get(..field.ty.size() as usize)?, resolve)
}

/// `width` bits from bit `shift` on; they may reach beyond the field's own type. As in bpftrace
/// they have no sign, though C gives signed ones one.
fn bitfield(ty: &Type, bytes: &[u8], shift: u32, width: u32) -> Option<Value> {
    let needed = (shift + width).div_ceil(8) as usize;
    let mut raw = [0u8; 16];
    raw.get_mut(..needed)?.copy_from_slice(bytes.get(..needed)?);
    let bits = u128::from_le_bytes(raw) >> shift;
    let mask = if width >= 64 { u64::MAX } else { (1 << width) - 1 };
    let number = bits as u64 & mask;
    Some(match ty {
        Type::Bool => Value::Bool(number != 0),
        Type::Enum { info } => Value::enumerator(info, number.cast_signed()),
        ty if ty.is_signed() => Value::Signed(number.cast_signed()),
        _ => Value::Unsigned(number),
    })
}

/// A tracepoint's dynamic field: `length << 16 | offset`, the offset counted from the record's
/// start (kernel: include/trace/stages/stage4_event_cb.h). The text lies behind the fixed fields;
/// a copy that ends before it has only the number.
fn data_loc(record: &[u8], location: u32) -> Option<Value> {
    let (start, length) = ((location & 0xffff) as usize, (location >> 16) as usize);
    let Some(bytes) = record.get(start..start + length) else {
        return Some(Value::Unsigned(u64::from(location)));
    };
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(length);
    Some(Value::String { bytes: bytes.get(..end)?.to_vec(), truncated: false })
}
