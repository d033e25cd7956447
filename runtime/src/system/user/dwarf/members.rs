//! Members of structures as DWARF describes them: where they lie, bitfields, bases of C++ classes.

use gimli::{AttributeValue, DwAt, Operation, constants};

use super::reader::TypeReader;
use super::units::{Die, Entry};

/// A member of a structure, or a class that it inherits from.
pub struct Member {
    /// Empty if it has none, as an inner structure may.
    pub name: String,
    pub ty: Die,
    /// Where it lies, in bits from the structure's start.
    pub bits: u64,
    /// Of a bitfield, how many bits it has; 0 of others.
    pub width: u64,
    pub is_base: bool,
}

/// Offsets beyond this are damage.
const LARGEST: u64 = 1 << 31;

impl TypeReader<'_> {
    /// Bases first, then members in the order of their declaration. Static members are none.
    pub fn members(&self, structure: &Die) -> Vec<Member> {
        let mut members = Vec::new();
        structure.each_child(|child| {
            if !self.spend(1) {
                return false;
            }
            let is_base = child.tag() == constants::DW_TAG_inheritance;
            if is_base || child.tag() == constants::DW_TAG_member {
                members.extend(self.member(structure, child, is_base));
            }
            true
        });
        members
    }

    fn member(&self, structure: &Die, entry: &Entry, is_base: bool) -> Option<Member> {
        let is_static =
            entry.attr(constants::DW_AT_external).is_some() || entry.attr(constants::DW_AT_declaration).is_some();
        if is_static {
            return None;
        }
        let ty = self.units().follow(&structure.unit, entry.attr_value(constants::DW_AT_type)?)?;
        let name = entry.attr_value(constants::DW_AT_name);
        let name = name.and_then(|name| structure.unit.text(self.units(), name)).unwrap_or_default();
        let width = number(entry, constants::DW_AT_bit_size).unwrap_or(0);
        let bits = self.place(structure, entry, &ty, width).filter(|bits| *bits < LARGEST)?;
        Some(Member { name, ty, bits, width, is_base })
    }

    /// `None` if it is computed at run time, as of virtual bases.
    fn place(&self, structure: &Die, entry: &Entry, ty: &Die, width: u64) -> Option<u64> {
        if let Some(bits) = number(entry, constants::DW_AT_data_bit_offset) {
            return Some(bits);
        }
        let bytes = match entry.attr_value(constants::DW_AT_data_member_location) {
            None => 0,
            Some(AttributeValue::Exprloc(place)) => {
                match place.operations(structure.unit.unit.encoding()).next().ok()?? {
                    Operation::PlusConstant { value } | Operation::UnsignedConstant { value } => value,
                    _ => return None,
                }
            }
            Some(value) => value.udata_value()?,
        };
        let bits = bytes.checked_mul(8)?;
        // Before DWARF 4 bits were counted from the end that is highest in memory.
        match number(entry, constants::DW_AT_bit_offset) {
            Some(from_top) if width > 0 => {
                let unit = number(entry, constants::DW_AT_byte_size).or_else(|| self.size(ty))?.checked_mul(8)?;
                bits.checked_add(unit)?.checked_sub(from_top)?.checked_sub(width)
            }
            _ => Some(bits),
        }
    }
}

/// An attribute that is a constant.
pub fn number(entry: &Entry, name: DwAt) -> Option<u64> {
    let value = entry.attr_value(name)?;
    value.udata_value().or_else(|| u64::try_from(value.sdata_value()?).ok())
}
