//! A C type with what the language's own types do not tell: alignment and completeness.

use std::sync::Arc;

use crate::types::{AddressSpace, StructType, Type};

/// The largest type: far beyond what a probe could read, far below where sizes overflow.
pub const LARGEST: u32 = 1 << 28;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CType {
    pub ty: Type,
    /// Bytes; 0 if it is not an object.
    pub size: u32,
    /// Bytes, a power of two.
    pub align: u32,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Object,
    /// Plain `char`, whose arrays are strings.
    Char,
    Void,
    /// A structure or union without its members.
    Incomplete,
    Function,
}

impl CType {
    pub fn object(ty: Type, align: u32) -> CType {
        CType { size: ty.size(), ty, align, kind: Kind::Object }
    }

    pub fn integer(bits: u8, signed: bool) -> CType {
        CType::object(Type::Integer { bits, signed }, u32::from(bits) / 8)
    }

    pub fn void() -> CType {
        CType { ty: Type::Void, size: 0, align: 1, kind: Kind::Void }
    }

    pub fn function() -> CType {
        CType { kind: Kind::Function, ..CType::void() }
    }

    /// A structure of which only the name is known.
    pub fn incomplete(name: &str) -> CType {
        CType { ty: Type::Struct(Arc::new(by_name(name))), size: 0, align: 1, kind: Kind::Incomplete }
    }

    /// A type from the kernel's type information, or one that has already been laid out.
    pub fn known(ty: Type) -> CType {
        match &ty {
            Type::Void => CType::void(),
            Type::Struct(info) if info.fields.is_empty() && info.size == 0 => CType::incomplete(&info.name),
            _ => CType { align: ty.c_align(), ..CType::object(ty, 1) },
        }
    }

    /// Whether members and elements may have this type.
    pub fn is_object(&self) -> bool {
        matches!(self.kind, Kind::Object | Kind::Char)
    }

    /// A pointer to it; structures behind pointers are given by name only.
    pub fn pointer(self, user: bool) -> CType {
        let to = match self.ty {
            Type::Struct(info) => Type::Struct(Arc::new(by_name(&info.name))),
            other => other,
        };
        let space = if user { AddressSpace::User } else { AddressSpace::Unknown };
        CType::object(Type::pointer(to, space), 8)
    }

    /// An array of it; `None` if it is too large. Arrays of `char` are strings.
    pub fn array(self, length: u32) -> Option<CType> {
        let size = self.size.checked_mul(length).filter(|size| *size <= LARGEST)?;
        let ty = match self.kind {
            Kind::Char if length > 0 => Type::String { capacity: length },
            _ => Type::Array { element: Arc::new(self.ty), length },
        };
        Some(CType { ty, size, align: self.align, kind: Kind::Object })
    }
}

fn by_name(name: &str) -> StructType {
    StructType { name: name.to_owned(), size: 0, fields: Vec::new() }
}

/// C's own integer types, by their words in any order. `None`: the words do not go together.
pub fn base(words: &[String]) -> Option<CType> {
    let count = |word: &str| words.iter().filter(|it| *it == word).count();
    let unsigned = count("unsigned");
    let signed = count("signed") + count("__signed__");
    let (longs, shorts, ints) = (count("long"), count("short"), count("int"));
    let others = words.len() - unsigned - signed - longs - shorts - ints;
    if unsigned + signed > 1 || longs > 2 || shorts > 1 || ints > 1 || longs > 0 && shorts > 0 || others > 1 {
        return None;
    }
    let is_signed = unsigned == 0;
    let has_sign = unsigned + signed > 0;
    let other = words
        .iter()
        .find(|word| !matches!(word.as_str(), "unsigned" | "signed" | "__signed__" | "long" | "short" | "int"));
    let Some(other) = other else {
        let bits = if longs > 0 {
            64
        } else if shorts > 0 {
            16
        } else {
            32
        };
        return Some(CType::integer(bits, is_signed));
    };
    match (other.as_str(), longs, shorts + ints, has_sign) {
        ("char", 0, 0, false) => Some(CType { kind: Kind::Char, ..CType::integer(8, true) }),
        ("char", 0, 0, true) => Some(CType::integer(8, is_signed)),
        ("void", 0, 0, false) => Some(CType::void()),
        ("_Bool", 0, 0, false) => Some(CType::object(Type::Bool, 1)),
        ("float", 0, 0, false) => Some(floating(4)),
        ("double", 0, 0, false) => Some(floating(8)),
        ("double", 1, 0, false) => Some(floating(16)),
        ("__int128", 0, 0, _) => {
            let ty = Type::Array { element: Arc::new(Type::U64), length: 2 };
            Some(CType::object(ty, 16))
        }
        _ => None,
    }
}

/// The language has no floating point: such members take their room and print as null.
fn floating(size: u32) -> CType {
    CType { ty: Type::Void, size, align: size, kind: Kind::Object }
}

/// The names that every script may use without a definition, as Linux on 64-bit machines has them.
pub fn standard(name: &str) -> Option<CType> {
    let integer = |bits, signed| Some(CType::integer(bits, signed));
    match name {
        "bool" => Some(CType::object(Type::Bool, 1)),
        "int8_t" | "int8" | "s8" | "__s8" => integer(8, true),
        "int16_t" | "int16" | "s16" | "__s16" => integer(16, true),
        "int32_t" | "int32" | "s32" | "__s32" | "pid_t" => integer(32, true),
        "int64_t" | "int64" | "s64" | "__s64" | "ssize_t" | "intptr_t" | "ptrdiff_t" | "intmax_t" | "off_t"
        | "loff_t" | "time_t" => integer(64, true),
        "uint8_t" | "uint8" | "u8" | "__u8" | "u_char" => integer(8, false),
        "uint16_t" | "uint16" | "u16" | "__u16" | "__le16" | "__be16" | "u_short" | "ushort" => integer(16, false),
        "uint32_t" | "uint32" | "u32" | "__u32" | "__le32" | "__be32" | "u_int" | "uint" | "uid_t" | "gid_t" => {
            integer(32, false)
        }
        "uint64_t" | "uint64" | "u64" | "__u64" | "__le64" | "__be64" | "size_t" | "uintptr_t" | "uintmax_t"
        | "u_long" | "ulong" => integer(64, false),
        _ => None,
    }
}
