//! The bytes of BTF: type records and names
//! (<https://docs.kernel.org/bpf/btf.html>).

use std::sync::Arc;

/// `BTF_KIND_*` of `linux/btf.h`.
pub mod kind {
    pub const INT: u8 = 1;
    pub const PTR: u8 = 2;
    pub const ARRAY: u8 = 3;
    pub const STRUCT: u8 = 4;
    pub const UNION: u8 = 5;
    pub const ENUM: u8 = 6;
    pub const FWD: u8 = 7;
    pub const TYPEDEF: u8 = 8;
    pub const VOLATILE: u8 = 9;
    pub const CONST: u8 = 10;
    pub const RESTRICT: u8 = 11;
    pub const FUNC: u8 = 12;
    pub const FUNC_PROTO: u8 = 13;
    pub const VAR: u8 = 14;
    pub const DATASEC: u8 = 15;
    pub const FLOAT: u8 = 16;
    pub const DECL_TAG: u8 = 17;
    pub const TYPE_TAG: u8 = 18;
    pub const ENUM64: u8 = 19;
}

const MAGIC: u16 = 0xeb9f;
/// A record's fixed part: name, kind and count, size or type.
const RECORD: usize = 12;

/// BTF as read from a file, with the place of each type.
#[derive(Debug, Default)]
pub struct Raw {
    data: Vec<u8>,
    strings: usize,
    strings_length: usize,
    /// Where each type's record starts; type 0 is `void` and has none.
    offsets: Vec<u32>,
    /// What a module's description builds upon: the kernel's. Ids and offsets of strings count on
    /// from there (<https://docs.kernel.org/bpf/btf.html>, "split BTF").
    base: Option<Arc<Raw>>,
}

/// One type's record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub id: u32,
    pub kind: u8,
    /// `kind_flag`: bitfields, signed enums, unions behind `FWD`.
    pub flag: bool,
    /// How many elements follow.
    pub count: usize,
    /// Size in bytes, or the id of another type.
    pub size_or_type: u32,
    pub name: &'a str,
    elements: &'a [u8],
}

impl Raw {
    /// `None` if these bytes are not BTF of this machine's byte order.
    pub fn parse(data: Vec<u8>) -> Option<Raw> {
        Raw::parse_split(data, None)
    }

    /// The same for a module's, which refers to the kernel's.
    pub fn parse_split(data: Vec<u8>, base: Option<Arc<Raw>>) -> Option<Raw> {
        let word = |at: usize| u32_at(&data, at).map(|word| word as usize);
        let magic = u16::from_ne_bytes(data.first_chunk().copied()?);
        if magic != MAGIC {
            return None;
        }
        let header = word(4)?;
        let (types, types_length) = (header + word(8)?, word(12)?);
        let (strings, strings_length) = (header + word(16)?, word(20)?);
        let mut offsets = if base.is_some() { Vec::new() } else { vec![0] };
        let mut at = types;
        while at < types + types_length {
            offsets.push(u32::try_from(at).ok()?);
            let info = u32_at(&data, at + 4)?;
            at += RECORD + elements_size(kind_of(info), count_of(info))?;
        }
        Some(Raw { data, strings, strings_length, offsets, base })
    }

    /// How many types there are, `void` and those of the base included.
    pub fn len(&self) -> usize {
        self.first() + self.offsets.len()
    }

    /// The id of the first type that is described here.
    fn first(&self) -> usize {
        self.base.as_ref().map_or(0, |base| base.len())
    }

    /// A type by its id; `None` for `void` and ids that do not exist.
    pub fn record(&self, id: u32) -> Option<Record<'_>> {
        let Some(index) = (id as usize).checked_sub(self.first()) else { return self.base.as_ref()?.record(id) };
        let at = *self.offsets.get(index).filter(|at| **at != 0)? as usize;
        let info = u32_at(&self.data, at + 4)?;
        let (kind, count) = (kind_of(info), count_of(info));
        let elements = at + RECORD;
        Some(Record {
            id,
            kind,
            flag: info >> 31 != 0,
            count,
            size_or_type: u32_at(&self.data, at + 8)?,
            name: self.string(u32_at(&self.data, at)?),
            elements: self.data.get(elements..elements + elements_size(kind, count)?)?,
        })
    }

    /// All types that are described here.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        (self.first().max(1)..self.len()).filter_map(|id| self.record(u32::try_from(id).ok()?))
    }

    pub fn string(&self, offset: u32) -> &str {
        let first = self.base.as_ref().map_or(0, |base| base.strings_end());
        let offset = match ((offset as usize).checked_sub(first), &self.base) {
            (None, Some(base)) => return base.string(offset),
            (offset, _) => offset.unwrap_or_default(),
        };
        let bytes = self.data.get(self.strings + offset..).unwrap_or_default();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
        bytes.get(..end).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
    }
}

impl Raw {
    /// Where the strings of what builds upon this one go on.
    fn strings_end(&self) -> usize {
        self.base.as_ref().map_or(0, |base| base.strings_end()) + self.strings_length
    }
}

impl Record<'_> {
    /// Word `index` of the elements, or of what describes an `INT` or `ARRAY`.
    pub fn word(&self, index: usize) -> u32 {
        u32_at(self.elements, index * 4).unwrap_or(0)
    }
}

fn kind_of(info: u32) -> u8 {
    (info >> 24 & 0x1f) as u8
}

fn count_of(info: u32) -> usize {
    (info & 0xffff) as usize
}

/// Bytes behind a record's fixed part; `None` for kinds that are not known.
fn elements_size(kind: u8, count: usize) -> Option<usize> {
    Some(match kind {
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * count,
        kind::ENUM | kind::FUNC_PROTO => 8 * count,
        kind::PTR | kind::FWD | kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT => 0,
        kind::FUNC | kind::FLOAT | kind::TYPE_TAG => 0,
        _ => return None,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}
