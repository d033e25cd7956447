//! From BTF types to the language's.

use std::sync::Arc;

use probebook_compiler::types::{AddressSpace, EnumType, StructField, StructType, Type};

use super::Btf;
use super::raw::{Record, kind};
use crate::system::fields::field;

/// `BTF_INT_SIGNED` and `BTF_INT_BOOL`.
const SIGNED: u32 = 1;
const BOOL: u32 = 4;
/// Deeper nesting than this only malformed data has.
const DEEPEST: u32 = 32;

impl Btf {
    /// The type with this id; what the language has no word for is `void`.
    pub fn ty(&self, id: u32) -> Type {
        self.convert(id, 0)
    }

    fn convert(&self, id: u32, depth: u32) -> Type {
        let Some(record) = self.resolve(id).filter(|_| depth < DEEPEST) else { return Type::Void };
        match record.kind {
            kind::INT => integer(&record),
            kind::FLOAT => Type::Integer { bits: u8::try_from(record.size_or_type * 8).unwrap_or(64), signed: false },
            kind::PTR => self.pointer(record.size_or_type, depth),
            kind::ARRAY => self.array(&record, depth),
            kind::STRUCT | kind::UNION => Type::Struct(self.structure(&record, self.name_of(id, &record), depth)),
            kind::FWD => Type::Struct(Arc::new(by_name(self.name_of(id, &record)))),
            kind::ENUM | kind::ENUM64 => Type::Enum { info: Arc::new(self.enumeration(&record)) },
            _ => Type::Void,
        }
    }

    /// Follows typedefs and qualifiers.
    fn resolve(&self, id: u32) -> Option<Record<'_>> {
        let mut record = self.raw().record(id)?;
        for _ in 0..DEEPEST {
            match record.kind {
                kind::TYPEDEF | kind::CONST | kind::VOLATILE | kind::RESTRICT | kind::TYPE_TAG => {
                    record = self.raw().record(record.size_or_type)?;
                }
                _ => return Some(record),
            }
        }
        None
    }

    /// A pointer; structures behind it are given by name only.
    fn pointer(&self, to: u32, depth: u32) -> Type {
        let space = if self.is_user(to) { AddressSpace::User } else { AddressSpace::Kernel };
        let target = match self.resolve(to) {
            Some(record) if is_structure(&record) => Type::Struct(Arc::new(by_name(self.name_of(to, &record)))),
            _ => self.convert(to, depth + 1),
        };
        Type::pointer(target, space)
    }

    /// Whether a type is tagged `__user`.
    fn is_user(&self, mut id: u32) -> bool {
        for _ in 0..DEEPEST {
            match self.raw().record(id) {
                Some(tag) if tag.kind == kind::TYPE_TAG && tag.name == "user" => return true,
                Some(tag) if matches!(tag.kind, kind::TYPE_TAG | kind::CONST | kind::VOLATILE) => id = tag.size_or_type,
                _ => return false,
            }
        }
        false
    }

    /// An array; one of `char` is a string.
    fn array(&self, record: &Record<'_>, depth: u32) -> Type {
        let (element, length) = (record.word(0), record.word(2));
        let is_char = self.resolve(element).is_some_and(|record| record.kind == kind::INT && record.name == "char");
        if is_char && length > 0 {
            return Type::String { capacity: length };
        }
        Type::Array { element: Arc::new(self.convert(element, depth + 1)), length }
    }

    /// A structure with its fields, those of unnamed inner ones among them.
    pub(super) fn structure(&self, record: &Record<'_>, name: String, depth: u32) -> Arc<StructType> {
        let mut fields = Vec::with_capacity(record.count);
        self.add_fields(record, 0, depth, &mut fields);
        Arc::new(StructType { name, size: record.size_or_type, fields })
    }

    fn add_fields(&self, record: &Record<'_>, base: u32, depth: u32, fields: &mut Vec<StructField>) {
        for index in 0..record.count {
            let name = self.raw().string(record.word(index * 3));
            let (id, place) = (record.word(index * 3 + 1), record.word(index * 3 + 2));
            let (bits, width) = if record.flag { (place & 0xff_ffff, place >> 24) } else { (place, 0) };
            match self.resolve(id) {
                Some(inner) if name.is_empty() && is_structure(&inner) && depth < DEEPEST => {
                    self.add_fields(&inner, base + bits / 8, depth + 1, fields);
                }
                _ if name.is_empty() => {}
                _ => fields.push(field(name, self.convert(id, depth + 1), base, bits, width)),
            }
        }
    }

    pub(super) fn enumeration(&self, record: &Record<'_>) -> EnumType {
        let variants = self.variants(record).map(|(name, value)| (name.to_owned(), value)).collect();
        EnumType {
            name: record.name.to_owned(),
            bits: u8::try_from(record.size_or_type * 8).unwrap_or(32),
            signed: record.flag,
            variants,
        }
    }

    /// An enumeration's constants.
    pub(super) fn variants<'a>(&'a self, record: &Record<'a>) -> impl Iterator<Item = (&'a str, i64)> + use<'a> {
        let record = *record;
        let stride = if record.kind == kind::ENUM64 { 3 } else { 2 };
        (0..record.count).map(move |index| {
            let low = record.word(index * stride + 1);
            let value = match record.kind {
                kind::ENUM64 => (u64::from(record.word(index * stride + 2)) << 32 | u64::from(low)).cast_signed(),
                _ if record.flag => i64::from(low.cast_signed()),
                _ => i64::from(low),
            };
            (self.raw().string(record.word(index * stride)), value)
        })
    }

    /// What C calls a structure: `struct name`, or the typedef of one that has no name itself.
    fn name_of(&self, id: u32, structure: &Record<'_>) -> String {
        let keyword = if structure.kind == kind::UNION || structure.kind == kind::FWD && structure.flag {
            "union"
        } else {
            "struct"
        };
        if !structure.name.is_empty() {
            return format!("{keyword} {}", structure.name);
        }
        match self.raw().record(id) {
            Some(alias) if alias.kind == kind::TYPEDEF => alias.name.to_owned(),
            _ => format!("{keyword} {}{}", super::UNNAMED, structure.id),
        }
    }
}

fn is_structure(record: &Record<'_>) -> bool {
    matches!(record.kind, kind::STRUCT | kind::UNION | kind::FWD)
}

/// A structure of which only the name is told.
fn by_name(name: String) -> StructType {
    StructType { name, size: 0, fields: Vec::new() }
}

fn integer(record: &Record<'_>) -> Type {
    let encoding = record.word(0) >> 24 & 0xf;
    match record.size_or_type {
        1 if encoding & BOOL != 0 => Type::Bool,
        // Integers of 128 bits, which the language does not have.
        size @ 9.. => Type::Array { element: Arc::new(Type::U64), length: size / 8 },
        size => Type::Integer { bits: (size * 8) as u8, signed: encoding & SIGNED != 0 },
    }
}
