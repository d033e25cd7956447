//! From DWARF's types to the language's.

use std::cell::Cell;
use std::sync::Arc;

use gimli::constants;
use probebook_compiler::types::{AddressSpace, EnumType, StructField, StructType, Type};

use super::members::{Member, number};
use super::units::{Die, Entry, Units};
use crate::system::fields;

/// Deeper nesting than this only damaged data has.
const DEEPEST: u32 = 32;
/// How many entries are looked at for one answer; damaged data can refer to itself over and over.
const MOST_ENTRIES: u32 = 200_000;
/// Nothing that a program passes around is larger; damaged data is.
const LARGEST: u64 = 1 << 26;
/// Structures without any name are called this, and where they are.
const UNNAMED: &str = "unnamed_";

/// Reads types for one answer.
pub struct TypeReader<'a> {
    units: &'a Units,
    left: Cell<u32>,
}

impl<'a> TypeReader<'a> {
    pub fn new(units: &'a Units) -> TypeReader<'a> {
        TypeReader { units, left: Cell::new(MOST_ENTRIES) }
    }

    pub fn units(&self) -> &'a Units {
        self.units
    }

    /// Whether so many more entries may be looked at.
    pub fn spend(&self, entries: u32) -> bool {
        let left = self.left.get().saturating_sub(entries);
        self.left.set(left);
        left > 0
    }

    /// The type that an entry is of; `None` is `void`.
    pub fn type_of(&self, die: &Die, entry: &Entry) -> Option<Die> {
        self.units.follow(&die.unit, entry.attr_value(constants::DW_AT_type)?)
    }

    /// What the language has no word for is `void`.
    pub fn ty(&self, die: &Die) -> Type {
        self.convert(die, None, 0)
    }

    /// `alias`: the typedef by which the type was reached.
    fn convert(&self, die: &Die, alias: Option<&str>, depth: u32) -> Type {
        let Some(entry) = die.entry().filter(|_| depth < DEEPEST && self.spend(1)) else { return Type::Void };
        match entry.tag() {
            constants::DW_TAG_base_type => base_type(&entry),
            constants::DW_TAG_enumeration_type => Type::Enum { info: Arc::new(self.enumeration(die, &entry)) },
            constants::DW_TAG_pointer_type
            | constants::DW_TAG_reference_type
            | constants::DW_TAG_rvalue_reference_type => self.pointer(die, &entry, depth),
            constants::DW_TAG_ptr_to_member_type => Type::I64,
            constants::DW_TAG_array_type => self.array(die, &entry, depth),
            constants::DW_TAG_structure_type | constants::DW_TAG_class_type | constants::DW_TAG_union_type => {
                Type::Struct(self.structure_at(die, &entry, alias, depth))
            }
            constants::DW_TAG_typedef => {
                let name = self.name(die, &entry);
                self.type_of(die, &entry).map_or(Type::Void, |to| self.convert(&to, name.as_deref(), depth + 1))
            }
            tag if is_qualifier(tag) => {
                self.type_of(die, &entry).map_or(Type::Void, |to| self.convert(&to, alias, depth + 1))
            }
            _ => Type::Void,
        }
    }

    /// A pointer; structures behind it are given by name only, and completed when they are needed.
    fn pointer(&self, die: &Die, entry: &Entry, depth: u32) -> Type {
        let Some(to) = self.type_of(die, entry) else { return Type::pointer(Type::Void, AddressSpace::User) };
        let (target, alias) = self.resolve(&to);
        let to = match target.entry().filter(is_structure) {
            Some(entry) => {
                let name = self.structure_name(&target, &entry, alias.as_deref());
                Type::Struct(Arc::new(StructType { name, size: 0, fields: Vec::new() }))
            }
            None => self.convert(&to, None, depth + 1),
        };
        Type::pointer(to, AddressSpace::User)
    }

    /// Follows typedefs and qualifiers; gives the last typedef's name as well.
    pub fn resolve(&self, die: &Die) -> (Die, Option<String>) {
        let (mut die, mut alias) = (die.clone(), None);
        for _ in 0..DEEPEST {
            let Some(entry) = die.entry().filter(|_| self.spend(1)) else { break };
            let is_typedef = entry.tag() == constants::DW_TAG_typedef;
            if !is_typedef && !is_qualifier(entry.tag()) {
                break;
            }
            if is_typedef {
                alias = self.name(&die, &entry);
            }
            match self.type_of(&die, &entry) {
                Some(next) => die = next,
                None => break,
            }
        }
        (die, alias)
    }

    /// An array; one of `char` is a string.
    fn array(&self, die: &Die, entry: &Entry, depth: u32) -> Type {
        let Some(element) = self.type_of(die, entry) else { return Type::Void };
        let mut lengths = Vec::new();
        die.each_child(|child| {
            if child.tag() == constants::DW_TAG_subrange_type {
                lengths.push(length(child));
            }
            lengths.len() < DEEPEST as usize && self.spend(1)
        });
        let last = lengths.pop().unwrap_or(0);
        let innermost = match self.convert(&element, None, depth + 1) {
            Type::Void => return Type::Void,
            _ if last > 0 && self.is_char(&element) => Type::String { capacity: bounded(last, 1) },
            ty => sized_array(ty, last),
        };
        lengths.into_iter().rev().fold(innermost, sized_array)
    }

    fn is_char(&self, element: &Die) -> bool {
        let (element, _) = self.resolve(element);
        let encoding = element.entry().and_then(|entry| encoding(&entry));
        matches!(encoding, Some(constants::DW_ATE_signed_char | constants::DW_ATE_unsigned_char))
            && element.entry().is_some_and(|entry| self.name(&element, &entry).as_deref() == Some("char"))
    }

    /// A structure or union with its members.
    pub fn structure(&self, die: &Die, alias: Option<&str>) -> Option<Arc<StructType>> {
        let entry = die.entry().filter(is_structure)?;
        Some(self.structure_at(die, &entry, alias, 0))
    }

    fn structure_at(&self, die: &Die, entry: &Entry, alias: Option<&str>, depth: u32) -> Arc<StructType> {
        let name = self.structure_name(die, entry, alias);
        // A declaration may say which type unit has the rest.
        let signature = entry.attr_value(constants::DW_AT_signature);
        if let Some(definition) = signature.and_then(|value| self.units.follow(&die.unit, value))
            && let Some(entry) = definition.entry()
            && depth < DEEPEST
        {
            return self.with_members(&definition, &entry, name, depth + 1);
        }
        self.with_members(die, entry, name, depth)
    }

    fn with_members(&self, die: &Die, entry: &Entry, name: String, depth: u32) -> Arc<StructType> {
        let size = number(entry, constants::DW_AT_byte_size).filter(|size| *size <= LARGEST).unwrap_or(0);
        let mut fields = Vec::new();
        self.add_fields(die, 0, depth, &mut fields);
        Arc::new(StructType { name, size: size as u32, fields })
    }

    /// Members of unnamed inner structures and of bases are the structure's own; those that it declares
    /// itself hide those of its bases.
    fn add_fields(&self, die: &Die, base: u64, depth: u32, fields: &mut Vec<StructField>) {
        let members = self.members(die);
        let own: Vec<String> = members.iter().filter(|it| !it.is_base).map(|it| it.name.clone()).collect();
        for member in members {
            let bits = base.saturating_add(member.bits);
            let (ty, _) = self.resolve(&member.ty);
            let is_inner = member.is_base || member.name.is_empty() && ty.entry().is_some_and(|it| is_structure(&it));
            if is_inner && depth < DEEPEST {
                let before = fields.len();
                self.add_fields(&ty, bits, depth + 1, fields);
                if member.is_base {
                    let inherited = fields.split_off(before);
                    fields.extend(inherited.into_iter().filter(|field| !own.contains(&field.name)));
                }
            } else if !member.name.is_empty() {
                fields.extend(self.field(&member, bits, depth));
            }
        }
    }

    fn field(&self, member: &Member, bits: u64, depth: u32) -> Option<StructField> {
        let ty = self.convert(&member.ty, None, depth + 1);
        let bits = u32::try_from(bits).ok()?;
        let width = u32::try_from(member.width).ok().filter(|width| *width <= 64 && ty.is_scalar()).unwrap_or(0);
        Some(fields::field(&member.name, ty, 0, bits, width))
    }

    pub fn enumeration(&self, die: &Die, entry: &Entry) -> EnumType {
        let mut variants = Vec::new();
        die.each_child(|child| {
            if child.tag() == constants::DW_TAG_enumerator
                && let Some(name) = self.name(die, child)
                && let Some(value) = child.attr_value(constants::DW_AT_const_value)
                && let Some(value) = value.sdata_value().or_else(|| value.udata_value().map(u64::cast_signed))
            {
                variants.push((name, value));
            }
            self.spend(1)
        });
        let underlying = self.type_of(die, entry).map(|die| self.resolve(&die).0).and_then(|die| die.entry());
        let signed = match underlying.and_then(|entry| encoding(&entry)) {
            Some(encoding) => is_signed(encoding),
            None => variants.iter().any(|(_, value)| *value < 0),
        };
        let bits = match number(entry, constants::DW_AT_byte_size) {
            Some(size @ (1 | 2 | 4 | 8)) => (size * 8) as u8,
            _ => 32,
        };
        EnumType { name: self.name(die, entry).unwrap_or_default(), bits, signed, variants }
    }

    /// What C calls a structure: `struct name`, or the typedef of one that has no name itself.
    fn structure_name(&self, die: &Die, entry: &Entry, alias: Option<&str>) -> String {
        let keyword = if entry.tag() == constants::DW_TAG_union_type { "union" } else { "struct" };
        if let Some(qualified) = die.unit.names(self.units).qualified.get(&die.offset) {
            return format!("{keyword} {qualified}");
        }
        match (self.name(die, entry), alias) {
            (Some(name), _) => format!("{keyword} {name}"),
            (None, Some(alias)) => alias.to_owned(),
            (None, None) => format!("{keyword} {UNNAMED}{}_{}", die.unit.number, die.offset.0),
        }
    }

    /// Where a structure is that only [`TypeReader::structure_name`] has a name for.
    pub fn unnamed(&self, name: &str) -> Option<Die> {
        let (_, place) = name.split_once(' ')?;
        let (unit, offset) = place.strip_prefix(UNNAMED)?.split_once('_')?;
        let unit = self.units.load(unit.parse().ok()?)?;
        Some(Die { unit, offset: gimli::UnitOffset(offset.parse().ok()?) })
    }

    pub fn name(&self, die: &Die, entry: &Entry) -> Option<String> {
        die.unit.text(self.units, entry.attr_value(constants::DW_AT_name)?).filter(|name| !name.is_empty())
    }

    /// Bytes of a type.
    pub fn size(&self, die: &Die) -> Option<u64> {
        let (die, _) = self.resolve(die);
        let entry = die.entry()?;
        if is_pointer(&entry) {
            return Some(u64::from(die.unit.unit.encoding().address_size));
        }
        number(&entry, constants::DW_AT_byte_size)
    }
}

pub fn is_qualifier(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        constants::DW_TAG_const_type
            | constants::DW_TAG_volatile_type
            | constants::DW_TAG_restrict_type
            | constants::DW_TAG_atomic_type
            | constants::DW_TAG_packed_type
            | constants::DW_TAG_immutable_type
            | constants::DW_TAG_subrange_type
    )
}

pub fn is_structure(entry: &Entry) -> bool {
    matches!(
        entry.tag(),
        constants::DW_TAG_structure_type | constants::DW_TAG_class_type | constants::DW_TAG_union_type
    )
}

pub fn is_pointer(entry: &Entry) -> bool {
    matches!(
        entry.tag(),
        constants::DW_TAG_pointer_type | constants::DW_TAG_reference_type | constants::DW_TAG_rvalue_reference_type
    )
}

pub fn encoding(entry: &Entry) -> Option<gimli::DwAte> {
    match entry.attr_value(constants::DW_AT_encoding)? {
        gimli::AttributeValue::Encoding(encoding) => Some(encoding),
        _ => None,
    }
}

fn is_signed(encoding: gimli::DwAte) -> bool {
    matches!(encoding, constants::DW_ATE_signed | constants::DW_ATE_signed_char)
}

/// Floating point, complex and decimal numbers, which the language does not have.
pub fn is_floating(encoding: gimli::DwAte) -> bool {
    matches!(
        encoding,
        constants::DW_ATE_float
            | constants::DW_ATE_complex_float
            | constants::DW_ATE_imaginary_float
            | constants::DW_ATE_decimal_float
    )
}

fn base_type(entry: &Entry) -> Type {
    let Some(encoding) = encoding(entry).filter(|encoding| !is_floating(*encoding)) else { return Type::Void };
    match number(entry, constants::DW_AT_byte_size) {
        Some(1) if encoding == constants::DW_ATE_boolean => Type::Bool,
        Some(size @ (1 | 2 | 4 | 8)) => Type::Integer { bits: (size * 8) as u8, signed: is_signed(encoding) },
        // Integers of 128 bits, which the language does not have.
        Some(16) => Type::Array { element: Arc::new(Type::U64), length: 2 },
        _ => Type::Void,
    }
}

/// How many elements a dimension of an array has; 0 if that is known at run time only.
fn length(range: &Entry) -> u64 {
    let bound = number(range, constants::DW_AT_upper_bound).and_then(|bound| bound.checked_add(1));
    number(range, constants::DW_AT_count).or(bound).unwrap_or(0)
}

fn sized_array(element: Type, length: u64) -> Type {
    let length = bounded(length, u64::from(element.size()));
    Type::Array { element: Arc::new(element), length }
}

/// A length, unless so many elements are more than there can be.
fn bounded(length: u64, size: u64) -> u32 {
    if length.saturating_mul(size.max(1)) > LARGEST { 0 } else { length as u32 }
}
