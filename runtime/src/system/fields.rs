//! Members of C structures, as programs read them.

use probebook_compiler::types::{StructField, Type};

/// A bitfield is read as its whole storage unit, which lies where C puts it.
pub fn field(name: &str, ty: Type, base: u32, bits: u32, width: u32) -> StructField {
    let name = name.to_owned();
    if width == 0 {
        return StructField { name, offset: base + bits / 8, ty, bitfield: None, data_loc: false };
    }
    let unit = ty.size().max(1) * 8;
    let start = bits / unit * unit;
    // A packed bitfield may cross the border of its unit; then it starts at its own first byte.
    let start = if bits - start + width > unit { bits / 8 * 8 } else { start };
    let bitfield = Some(((bits - start) as u8, width as u8));
    StructField { name, offset: base + start / 8, ty, bitfield, data_loc: false }
}
