//! What calling conventions ask of a type.

use gimli::{AttributeValue, constants};
use probebook_compiler::user_info::{Passing, Word};

use super::reader::{TypeReader, encoding, is_floating, is_pointer, is_structure};
use super::units::{Die, Entry};

/// Values of more bytes are not passed in registers.
const TWO_WORDS: u64 = 16;
const DEEPEST: u32 = 16;
/// The most numbers of a homogeneous floating-point aggregate (AAPCS64, section 5.9.5).
const MOST_FLOATS: u32 = 4;

/// What was seen of a value's parts.
#[derive(Default)]
struct Parts {
    words: [Word; 2],
    align: u64,
    /// Size and number of its floating-point numbers, while they are all of one size.
    floats: Option<(u64, u32)>,
    is_mixed: bool,
    in_memory: bool,
}

impl TypeReader<'_> {
    /// How a value of a type is passed; `None` is `void`.
    pub fn passing(&self, ty: Option<&Die>) -> Passing {
        let Some((die, _)) = ty.map(|ty| self.resolve(ty)) else { return Passing::default() };
        let Some(entry) = die.entry() else { return Passing::default() };
        let size = self.size(&die).unwrap_or(0);
        let mut parts = Parts::default();
        self.look_at(&die, 0, 0, &mut parts);
        let floats = parts.floats.filter(|(_, count)| !parts.is_mixed && *count <= MOST_FLOATS);
        Passing {
            size: u32::try_from(size).unwrap_or(u32::MAX),
            align: u32::try_from(parts.align).unwrap_or(8),
            words: parts.words,
            floats: floats.map_or(0, |(_, count)| count as u8),
            is_composite: is_structure(&entry),
            by_reference: self.is_passed_by_reference(&die, &entry, 0),
            in_memory: parts.in_memory || size > TWO_WORDS,
        }
    }

    /// Adds a part that lies so many bytes into the value.
    fn look_at(&self, die: &Die, offset: u64, depth: u32, parts: &mut Parts) {
        let (die, _) = self.resolve(die);
        let Some(entry) = die.entry().filter(|_| depth < DEEPEST && self.spend(1)) else { return };
        let size = self.size(&die).unwrap_or(0);
        match entry.tag() {
            constants::DW_TAG_base_type => match encoding(&entry) {
                Some(encoding) if is_floating(encoding) => self.floating(&die, &entry, offset, size, parts),
                _ => parts.add(offset, size, Word::Integer),
            },
            constants::DW_TAG_enumeration_type => parts.add(offset, size, Word::Integer),
            constants::DW_TAG_ptr_to_member_type => parts.add(offset, 8, Word::Integer),
            constants::DW_TAG_unspecified_type => parts.add(offset, 8, Word::Integer),
            constants::DW_TAG_array_type => self.elements(&die, &entry, offset, depth, parts),
            _ if is_pointer(&entry) => parts.add(offset, 8, Word::Integer),
            _ if is_structure(&entry) => {
                // The parts of large values matter only if they are a few floating-point numbers.
                for member in self.members(&die).iter().take(64) {
                    if member.width > 0 {
                        // Bitfields lie where they like.
                        parts.add(offset.saturating_add(member.bits / 64 * 8), 1, Word::Integer);
                    } else {
                        self.look_at(&member.ty, offset.saturating_add(member.bits / 8), depth + 1, parts);
                    }
                }
            }
            _ => parts.is_mixed = true,
        }
    }

    fn elements(&self, die: &Die, entry: &Entry, offset: u64, depth: u32, parts: &mut Parts) {
        let Some(element) = self.type_of(die, entry) else { return };
        let Some(size) = self.size(&element).filter(|size| *size > 0) else {
            parts.is_mixed = true;
            return;
        };
        let total = u64::from(self.ty(die).size());
        for at in (0..total).step_by(size as usize).take(2 * TWO_WORDS as usize) {
            self.look_at(&element, offset.saturating_add(at), depth + 1, parts);
        }
    }

    fn floating(&self, die: &Die, entry: &Entry, offset: u64, size: u64, parts: &mut Parts) {
        let is_complex = encoding(entry) == Some(constants::DW_ATE_complex_float);
        let single = if is_complex { size / 2 } else { size };
        let count = if is_complex { 2 } else { 1 };
        match parts.floats {
            None if !parts.is_mixed => parts.floats = Some((single, count)),
            Some((known, before)) if known == single => parts.floats = Some((known, before.saturating_add(count))),
            _ => parts.is_mixed = true,
        }
        let name = self.name(die, entry).unwrap_or_default();
        // x86's own numbers of 80 bits; those of 128 bits take one register.
        parts.in_memory |= single > 8 && name.contains("long double");
        parts.place(offset, single, if single > 8 { 8 } else { size }, Word::Float);
    }
}

impl Parts {
    fn add(&mut self, offset: u64, size: u64, word: Word) {
        self.is_mixed = true;
        self.place(offset, size.min(TWO_WORDS), size, word);
    }

    fn place(&mut self, offset: u64, align: u64, size: u64, word: Word) {
        self.align = self.align.max(align.clamp(1, TWO_WORDS));
        self.in_memory |= align > 0 && !offset.is_multiple_of(align);
        let (first, last) = (offset / 8, offset.saturating_add(size.saturating_sub(1)) / 8);
        for (at, known) in (0u64..).zip(&mut self.words) {
            let is_covered = size > 0 && (first..=last).contains(&at);
            if is_covered && *known != Word::Integer {
                *known = word;
            }
        }
    }
}

impl TypeReader<'_> {
    /// Whether values of a class are passed by their address, because they cannot be copied bytewise. Some
    /// compilers say so; of the others' classes those are not that are destroyed by a function, or have
    /// virtual functions, or parts of such a class.
    fn is_passed_by_reference(&self, die: &Die, entry: &Entry, depth: u32) -> bool {
        if let Some(AttributeValue::CallingConvention(convention)) =
            entry.attr_value(constants::DW_AT_calling_convention)
        {
            return convention == constants::DW_CC_pass_by_reference;
        }
        if !is_structure(entry) || depth >= DEEPEST || !self.spend(1) {
            return false;
        }
        let mut is_destroyed = false;
        die.each_child(|child| {
            let name = || self.name(die, child).unwrap_or_default();
            is_destroyed |= child.tag() == constants::DW_TAG_subprogram
                && child.attr(constants::DW_AT_defaulted).is_none()
                && name().starts_with('~');
            self.spend(1) && !is_destroyed
        });
        is_destroyed
            || self.members(die).iter().take(64).any(|member| {
                let (part, _) = self.resolve(&member.ty);
                let is_table = member.name.starts_with("_vptr");
                is_table || part.entry().is_some_and(|entry| self.is_passed_by_reference(&part, &entry, depth + 1))
            })
    }
}
