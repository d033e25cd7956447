//! Known types as C again, for a C compiler that lacks them: the kernel's, and those of earlier cells.
//!
//! Members are put where they lie, not where C would put them: a structure is a union of one packed
//! structure for each member, which begins with the bytes before it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use crate::kernel_info::KernelInfo;
use crate::types::{EnumType, StructField, StructType, Type};

use super::{CTypes, ctype};

/// How deep structures may lie in one another.
const DEEPEST: usize = 64;

/// Definitions by name, each once and behind those that it needs.
pub struct Prelude<'a> {
    types: &'a CTypes,
    info: &'a dyn KernelInfo,
    text: String,
    written: BTreeSet<String>,
    depth: usize,
}

impl<'a> Prelude<'a> {
    pub fn new(types: &'a CTypes, info: &'a dyn KernelInfo) -> Prelude<'a> {
        Prelude { types, info, text: String::new(), written: BTreeSet::new(), depth: 0 }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Adds what a name means: `struct x`, `union x`, `enum x`, a typedef, a constant of an enumeration.
    /// Whether that gave something new.
    pub fn add(&mut self, name: &str) -> bool {
        let before = self.text.len();
        match name.split_once(' ') {
            Some(("struct" | "union", _)) => self.structure(name),
            Some(("enum", bare)) => {
                if let Some(info) = self.types.enum_type(bare, self.info) {
                    self.enumeration(&info);
                }
            }
            _ => self.plain(name),
        }
        self.text.len() > before
    }

    fn plain(&mut self, name: &str) {
        let typedef = self.types.typedef(name, self.info);
        if let Some(ty) = typedef.or_else(|| ctype::standard(name).map(|found| found.ty)) {
            self.typedef(name, &ty);
        } else if let Some((info, _)) = self.types.enum_constant(name, self.info) {
            self.enumeration(&info);
        } else if let Some(found) = self.types.find_macro(name)
            && self.written.insert(format!("macro {name}"))
        {
            let parameters =
                found.parameters.as_ref().map(|names| format!("({})", names.join(","))).unwrap_or_default();
            self.line(format_args!("#define {name}{parameters} {}", found.text));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn typedef(&mut self, name: &str, ty: &Type) {
        if !self.written.insert(format!("typedef {name}")) {
            return;
        }
        let declaration = self.declare(ty, name);
        self.line(format_args!("typedef {declaration};"));
    }

    fn structure(&mut self, name: &str) {
        if let Some(info) = self.types.struct_type(name, self.info) {
            self.complete(&info);
        }
    }

    /// Writes a structure that is needed as a whole.
    fn complete(&mut self, info: &Arc<StructType>) {
        let tag = tag(&info.name);
        if self.depth >= DEEPEST || info.size == 0 && info.fields.is_empty() || !self.written.insert(tag.clone()) {
            return;
        }
        let body = self.body(info);
        self.line(format_args!("{tag} {{ {body} }};"));
    }

    fn body(&mut self, info: &StructType) -> String {
        self.depth += 1;
        let members = info.fields.iter().enumerate();
        let fields: Vec<String> = members.filter_map(|(index, field)| self.member(index, field)).collect();
        self.depth -= 1;
        let align = if fields.iter().any(|field| !field.is_empty()) { natural_alignment(info) } else { 1 };
        format!("union {{ char __size[{}]; {} }} __attribute__((aligned({align})));", info.size, fields.concat())
    }

    fn member(&mut self, index: usize, field: &StructField) -> Option<String> {
        // What the language has no type for, and what takes no room.
        let is_empty = matches!(&field.ty, Type::Struct(info) if info.size == 0);
        if field.ty == Type::Void || is_empty || field.name.is_empty() {
            return None;
        }
        // Names of unnamed structures' members are the whole one's, so each is of its own.
        let before = format!("char __before{index}[{}];", field.offset);
        let member = match field.bitfield {
            None => self.declare(&field.ty, &identifier(&field.name)),
            Some((skip, width)) => {
                let padding = if skip > 0 { format!("unsigned long :{skip}; ") } else { String::new() };
                format!("{padding}{}:{width}", self.declare(&field.ty, &identifier(&field.name)))
            }
        };
        Some(format!("struct {{ {before} {member}; }} __attribute__((packed));"))
    }

    /// `type name` as C writes it; what the type needs is written before.
    fn declare(&mut self, ty: &Type, name: &str) -> String {
        match ty {
            Type::Void => format!("void {name}"),
            Type::Bool => format!("_Bool {name}"),
            Type::Integer { bits, signed } => format!("{} {name}", integer(*bits, *signed)),
            Type::Enum { info } if info.name.is_empty() => format!("{} {name}", integer(info.bits, info.signed)),
            Type::Enum { info } => {
                self.enumeration(info);
                format!("enum {} {name}", identifier(&info.name))
            }
            Type::String { capacity } => format!("char {name}[{capacity}]"),
            Type::Array { element, length } => self.declare(element, &format!("{name}[{length}]")),
            Type::Pointer { to, .. } => match to.as_ref() {
                Type::Struct(info) => format!("{} *{name}", tag(&info.name)),
                to @ (Type::Array { .. } | Type::String { .. }) => self.declare(to, &format!("(*{name})")),
                to => self.declare(to, &format!("*{name}")),
            },
            Type::Struct(info) => {
                self.complete(info);
                format!("{} {name}", tag(&info.name))
            }
            other => format!("unsigned char {name}[{}]", other.size()),
        }
    }

    fn enumeration(&mut self, info: &EnumType) {
        let name = if info.name.is_empty() { String::new() } else { format!("{} ", identifier(&info.name)) };
        let first = info.variants.first().map_or("", |(first, _)| first.as_str());
        if !self.written.insert(format!("enum {name}{first}")) {
            return;
        }
        let variants: Vec<String> = info.variants.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        self.line(format_args!("enum {name}{{ {} }};", variants.join(", ")));
    }
}

/// The largest power of two up to 8 that all members and the size keep to.
fn natural_alignment(info: &StructType) -> u32 {
    let wanted = info.fields.iter().map(|field| field.ty.c_align()).max().unwrap_or(1).clamp(1, 16);
    [16, 8, 4, 2].into_iter().find(|align| *align <= wanted && info.size.is_multiple_of(*align)).unwrap_or(1)
}

fn integer(bits: u8, signed: bool) -> &'static str {
    match (bits, signed) {
        (8, true) => "signed char",
        (8, false) => "unsigned char",
        (16, true) => "short",
        (16, false) => "unsigned short",
        (32, true) => "int",
        (32, false) => "unsigned int",
        (_, true) => "long",
        (_, false) => "unsigned long",
    }
}

/// `struct name` of which the name can be written. A structure that has only the name of its typedef
/// gets another, since headers may have a typedef of that name.
fn tag(name: &str) -> String {
    match name.split_once(' ') {
        Some((keyword, bare)) => format!("{keyword} {}", identifier(bare)),
        None => format!("struct __typedef_{}", identifier(name)),
    }
}

fn identifier(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::fake::FakeKernel;

    #[test]
    fn members_are_put_where_they_lie() {
        let field = |name: &str, offset, ty, bitfield| StructField {
            name: name.to_owned(),
            offset,
            ty,
            bitfield,
            data_loc: false,
        };
        let inner = StructType { name: "struct in".into(), size: 4, fields: vec![field("x", 0, Type::I32, None)] };
        let next = StructType { name: "struct far".into(), size: 0, fields: Vec::new() };
        let pointer = Type::pointer(Type::Struct(Arc::new(next)), crate::types::AddressSpace::Unknown);
        let fields = vec![
            field("in", 8, Type::Struct(Arc::new(inner)), None),
            field("flags", 12, Type::U32, Some((3, 5))),
            field("next", 16, pointer, None),
        ];
        let info = Arc::new(StructType { name: "struct out".into(), size: 24, fields });
        let mut types = CTypes::default();
        types.structures.insert("struct out".into(), super::super::Structure { info, align: 8 });
        let kernel = FakeKernel::default();
        let mut prelude = Prelude::new(&types, &kernel);
        assert!(prelude.add("struct out"));
        assert!(!prelude.add("struct out"));
        assert_eq!(
            prelude.text(),
            "struct in { union { char __size[4]; struct { char __before0[0]; int x; } __attribute__((packed)); } \
             __attribute__((aligned(4))); };\n\
             struct out { union { char __size[24]; struct { char __before0[8]; struct in in; } \
             __attribute__((packed));struct { char __before1[12]; unsigned long :3; unsigned int flags:5; } \
             __attribute__((packed));struct { char __before2[16]; struct far *next; } __attribute__((packed)); } \
             __attribute__((aligned(8))); };\n"
        );
        assert!(prelude.add("u64") && !prelude.add("nothing_t"));
    }
}
