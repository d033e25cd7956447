//! Where the members of a structure lie: the layout of GCC on x86-64 and arm64 (System V ABI).

use crate::types::{StructField, StructType, Type};

use super::ctype::{CType, LARGEST};

/// A structure or union whose members are being placed.
#[derive(Debug)]
pub struct Layout {
    is_union: bool,
    packed: bool,
    /// Bits that the members take so far.
    end: u64,
    align: u32,
    pub fields: Vec<StructField>,
}

/// A type does not fit what the language can handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl Layout {
    pub fn new(is_union: bool, packed: bool) -> Layout {
        Layout { is_union, packed, end: 0, align: 1, fields: Vec::new() }
    }

    /// Places a member. `aligned` is what an attribute asks for at least.
    pub fn member(&mut self, name: &str, of: &CType, packed: bool, aligned: u32) -> Result<(), TooLarge> {
        let offset = self.place(of, packed, aligned)?;
        self.fields.push(StructField {
            name: name.to_owned(),
            offset,
            ty: of.ty.clone(),
            bitfield: None,
            data_loc: false,
        });
        Ok(())
    }

    /// Places an unnamed structure, whose members become this one's.
    pub fn unnamed(&mut self, of: &CType, info: &StructType, packed: bool, aligned: u32) -> Result<(), TooLarge> {
        let base = self.place(of, packed, aligned)?;
        let moved = info.fields.iter().map(|field| StructField { offset: base + field.offset, ..field.clone() });
        self.fields.extend(moved);
        Ok(())
    }

    fn place(&mut self, of: &CType, packed: bool, aligned: u32) -> Result<u32, TooLarge> {
        let natural = if packed || self.packed { 1 } else { of.align };
        let align = natural.max(aligned);
        self.align = self.align.max(align);
        let start = if self.is_union { 0 } else { self.end.div_ceil(8).next_multiple_of(u64::from(align)) };
        self.grow((start + u64::from(of.size)) * 8)?;
        Ok(start as u32)
    }

    /// Places a bitfield of `width` bits; a width of 0 ends the storage unit, a name of `None` is
    /// padding.
    pub fn bitfield(&mut self, name: Option<&str>, of: &CType, width: u32) -> Result<(), TooLarge> {
        let unit = u64::from(of.size.max(1)) * 8;
        let mut start = if self.is_union { 0 } else { self.end };
        if width == 0 {
            start = start.next_multiple_of(unit);
        } else if !self.packed && start % unit + u64::from(width) > unit {
            start = start.next_multiple_of(u64::from(of.align) * 8);
        }
        // On x86-64 padding does not align the structure; on arm64 it does.
        if !self.packed && (name.is_some() || cfg!(target_arch = "aarch64")) {
            self.align = self.align.max(of.align);
        }
        self.grow(start + u64::from(width))?;
        if let Some(name) = name {
            self.fields.push(bitfield(name, of.ty.clone(), start, width));
        }
        Ok(())
    }

    fn grow(&mut self, end: u64) -> Result<(), TooLarge> {
        self.end = self.end.max(end);
        if self.end > u64::from(LARGEST) * 8 { Err(TooLarge) } else { Ok(()) }
    }

    /// The structure and its alignment.
    pub fn finish(mut self, name: String, aligned: u32) -> Result<(StructType, u32), TooLarge> {
        let align = self.align.max(aligned);
        let size = self.end.div_ceil(8).next_multiple_of(u64::from(align));
        self.grow(size * 8)?;
        Ok((StructType { name, size: size as u32, fields: self.fields }, align))
    }
}

/// A member that lies so many bits from the structure's beginning, perhaps a bitfield.
pub fn field(name: &str, ty: Type, bit_offset: u64, bits: Option<u32>) -> StructField {
    match bits {
        Some(width) => bitfield(name, ty, bit_offset, width),
        None => {
            let offset = (bit_offset / 8) as u32;
            StructField { name: name.to_owned(), offset, ty, bitfield: None, data_loc: false }
        }
    }
}

/// A bitfield is read as its whole storage unit, or from its first byte on if it crosses units.
fn bitfield(name: &str, ty: Type, bits: u64, width: u32) -> StructField {
    let unit = u64::from(ty.size().max(1)) * 8;
    let unit_start = bits / unit * unit;
    let start = if bits - unit_start + u64::from(width) > unit { bits / 8 * 8 } else { unit_start };
    StructField {
        name: name.to_owned(),
        offset: (start / 8) as u32,
        ty,
        bitfield: Some(((bits - start) as u8, width as u8)),
        data_loc: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offset, and offset and width in bits.
    type Place = (u32, Option<(u8, u8)>);

    fn places(layout: Layout) -> (u32, Vec<Place>) {
        let (info, _) = layout.finish("struct s".into(), 1).unwrap();
        (info.size, info.fields.iter().map(|field| (field.offset, field.bitfield)).collect())
    }

    #[test]
    fn bitfields_share_units_and_do_not_cross_them() {
        let int = CType::integer(32, false);
        let mut layout = Layout::new(false, false);
        for (name, width) in [("a", 3), ("b", 30), ("c", 1)] {
            layout.bitfield(Some(name), &int, width).unwrap();
        }
        assert_eq!(places(layout), (8, vec![(0, Some((0, 3))), (4, Some((0, 30))), (4, Some((30, 1)))]));
    }

    #[test]
    fn packed_bitfields_cross_units() {
        let int = CType::integer(32, false);
        let mut layout = Layout::new(false, true);
        layout.bitfield(Some("a"), &int, 7).unwrap();
        layout.bitfield(Some("b"), &int, 30).unwrap();
        assert_eq!(places(layout), (5, vec![(0, Some((0, 7))), (0, Some((7, 30)))]));
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let huge = CType::integer(8, false).array(LARGEST).unwrap();
        let mut layout = Layout::new(false, false);
        assert_eq!(layout.member("a", &huge, false, 1), Ok(()));
        assert_eq!(layout.member("b", &huge, false, 1), Err(TooLarge));
    }
}
