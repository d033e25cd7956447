//! Reads a tracepoint's `format` file (kernel: `Documentation/trace/events.rst`).
//!
//! ```text
//! field:const char * filename; offset:24; size:8; signed:0;
//! ```

use crate::kernel_info::KernelInfo;
use crate::types::{AddressSpace, StructField, Type};

/// The fields of a record, the common ones included.
pub fn parse(text: &str, space: AddressSpace, info: &dyn KernelInfo) -> Vec<StructField> {
    text.lines().filter_map(|line| field(line.trim(), space, info)).collect()
}

fn field(line: &str, space: AddressSpace, info: &dyn KernelInfo) -> Option<StructField> {
    let mut declaration = "";
    let (mut offset, mut size, mut signed) = (None, None, false);
    for part in line.split(';') {
        match part.trim().split_once(':')? {
            ("field", value) => declaration = value.trim(),
            ("offset", value) => offset = value.parse().ok(),
            ("size", value) => size = value.parse().ok(),
            ("signed", value) => {
                signed = value == "1";
                break;
            }
            _ => return None,
        }
    }
    let (ty, name) = declarator(declaration)?;
    let data_loc = declaration.starts_with("__data_loc");
    let ty = field_type(ty, size?, signed, data_loc, space, info);
    Some(StructField { name: name.to_string(), offset: offset?, ty, bitfield: None, data_loc })
}

/// Type and name: `char comm[16]` is `char[16]` and `comm`.
fn declarator(text: &str) -> Option<(String, &str)> {
    let (text, array) = match text.rfind('[') {
        Some(at) if text.ends_with(']') && !text.starts_with("__data_loc") => text.split_at(at),
        _ => (text, ""),
    };
    let at = text.trim_end().rfind([' ', '*', ']'])?;
    let (ty, name) = text.split_at_checked(at + 1)?;
    Some((format!("{}{array}", ty.trim()), name.trim()))
}

fn field_type(
    text: String,
    size: u32,
    signed: bool,
    data_loc: bool,
    space: AddressSpace,
    info: &dyn KernelInfo,
) -> Type {
    if data_loc {
        let element = if text.contains("char") { Type::I8 } else { Type::U8 };
        return Type::Array { element: element.into(), length: 0 };
    }
    if let Some((element, count)) = text.strip_suffix(']').and_then(|text| text.rsplit_once('[')) {
        return array_type(element.trim(), count, size, signed);
    }
    if let Some(to) = text.strip_suffix('*') {
        return Type::pointer(pointee(to, info), space);
    }
    if let Some(name) = text.strip_prefix("enum ")
        && let Some(info) = info.enum_type(name.trim())
    {
        return Type::Enum { info };
    }
    integer(size, signed).unwrap_or(Type::Array { element: Type::U8.into(), length: size })
}

fn array_type(element: &str, count: &str, size: u32, signed: bool) -> Type {
    let is_char = element.trim_start_matches("const ").trim_start_matches("unsigned ") == "char";
    let length = count.parse::<u32>().ok().filter(|n| *n > 0);
    let each = length.map_or(1, |n| size / n);
    let element =
        if is_char && !element.contains("unsigned") { Type::I8 } else { integer(each, signed).unwrap_or(Type::U8) };
    Type::Array { length: size / element.size().max(1), element: element.into() }
}

fn pointee(text: &str, info: &dyn KernelInfo) -> Type {
    let name = text.replace("const ", "").trim().to_string();
    match name.as_str() {
        "char" => Type::I8,
        "void" => Type::Void,
        _ if name.ends_with('*') => Type::pointer(pointee(name.trim_end_matches('*'), info), AddressSpace::Unknown),
        _ if name.starts_with("struct ") => match info.struct_type(&name) {
            Some(info) => Type::Struct(info),
            None => Type::Void,
        },
        _ => info.typedef(&name).unwrap_or(match name.as_str() {
            "int" => Type::I32,
            "unsigned int" | "u32" => Type::U32,
            "long" => Type::I64,
            "unsigned long" | "u64" | "size_t" => Type::U64,
            _ => Type::U8,
        }),
    }
}

fn integer(size: u32, signed: bool) -> Option<Type> {
    matches!(size, 1 | 2 | 4 | 8).then_some(Type::Integer { bits: (size * 8) as u8, signed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::fake::FakeKernel;

    #[test]
    fn reads_integers_pointers_arrays_and_data_locations() {
        let text = "name: x\nID: 7\nformat:\n\
            \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
            \tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;\n\
            \tfield:char comm[16];\toffset:32;\tsize:16;\tsigned:0;\n\
            \tfield:__data_loc char[] name;\toffset:48;\tsize:4;\tsigned:0;\n\
            \tfield:unsigned long args[6];\toffset:56;\tsize:48;\tsigned:0;\n";
        let fields = parse(text, AddressSpace::User, &FakeKernel::default());
        let named = |name: &str| fields.iter().find(|field| field.name == name).unwrap().clone();
        assert_eq!(named("common_type").ty, Type::U16);
        assert_eq!(named("filename").ty, Type::pointer(Type::I8, AddressSpace::User));
        assert_eq!(named("comm").ty, Type::Array { element: Type::I8.into(), length: 16 });
        assert!(named("name").data_loc);
        assert_eq!(named("args").ty, Type::Array { element: Type::U64.into(), length: 6 });
        assert_eq!(named("args").offset, 56);
    }
}
