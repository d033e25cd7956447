//! From clang's cursors to declarations: what has a name at the top level, and in structures.

// Clang's own names of kinds.
#![allow(non_upper_case_globals)]

use std::collections::HashSet;
use std::ffi::CString;
use std::sync::Arc;

use clang_sys::*;
use probebook_compiler::c_compiler::{CDeclarations, CField, CFunction, CMacro, CStructure, CType, Kind};
use probebook_compiler::semantics::c_types::structure_of;
use probebook_compiler::types::{AddressSpace, EnumType, StructType, Type};

use super::libclang::{Parsed, children, is_in_file, is_in_text, name_place, string};

/// How deep types may lie in one another.
const DEEPEST: u32 = 64;
/// More members than this no structure has.
const MOST_ELEMENTS: i64 = 1 << 28;

/// Everything that a text declares.
pub fn of(parsed: &Parsed) -> CDeclarations {
    let mut reader = Reader { found: CDeclarations::default(), known: HashSet::new(), depth: 0 };
    for cursor in children(parsed.root()) {
        match kind(cursor) {
            CXCursor_MacroDefinition => {
                // SAFETY: the cursor is of a unit that is alive.
                let builtin = unsafe { clang_Cursor_isMacroBuiltin(cursor) } != 0;
                if !builtin && let Some((text, place)) = parsed.text_of(cursor) {
                    reader.found.macros.push(CMacro { text, place });
                }
            }
            CXCursor_FunctionDecl if is_in_text(cursor) => reader.function(cursor),
            _ if is_in_file(cursor) => reader.declaration(cursor),
            _ => {}
        }
    }
    reader.found.problems = parsed.problems();
    reader.found
}

struct Reader {
    found: CDeclarations,
    /// Structures that have been read.
    known: HashSet<String>,
    depth: u32,
}

impl Reader {
    fn declaration(&mut self, cursor: CXCursor) {
        match kind(cursor) {
            CXCursor_StructDecl | CXCursor_UnionDecl => {
                // SAFETY: the cursor is of a unit that is alive.
                let ty = unsafe { clang_getCursorType(cursor) };
                if is_unnamed(ty) {
                    return;
                }
                self.found.declared.push(record_name(ty));
                if is_complete(ty) {
                    self.record(ty, &record_name(ty));
                }
            }
            CXCursor_EnumDecl => {
                // SAFETY: as above.
                let ty = unsafe { clang_getCursorType(cursor) };
                let info = enumeration(ty, "");
                if !info.variants.is_empty() {
                    self.found.enums.push(info);
                }
            }
            CXCursor_TypedefDecl => {
                let name = spelling(cursor);
                // SAFETY: as above.
                let ty = unsafe { clang_getTypedefDeclUnderlyingType(cursor) };
                let ty = self.c_type(ty, &name);
                self.found.typedefs.push((name, ty));
            }
            _ => {}
        }
    }

    fn function(&mut self, cursor: CXCursor) {
        // SAFETY: the cursor is of a unit that is alive.
        let (defined, ty, count) = unsafe {
            (clang_isCursorDefinition(cursor) != 0, clang_getCursorType(cursor), clang_Cursor_getNumArguments(cursor))
        };
        // Functions that are the source's own may be gone once it is translated.
        // SAFETY: as above.
        if !defined || unsafe { clang_getCursorLinkage(cursor) } != CXLinkage_External {
            return;
        }
        // SAFETY: the type is a function's, and the arguments are below their number.
        let (returns, parameters) = unsafe {
            let parameter = |index| clang_getCursorType(clang_Cursor_getArgument(cursor, index));
            (clang_getResultType(ty), (0..count.max(0) as u32).map(parameter).collect::<Vec<_>>())
        };
        let parameters = parameters.into_iter().map(|ty| self.c_type(ty, "").ty).collect();
        let returns = self.c_type(returns, "").ty;
        let place = name_place(cursor);
        self.found.functions.push(CFunction { name: spelling(cursor), parameters, returns, place });
    }

    /// A structure's members; `name` is what it is called where it has no name of its own.
    fn record(&mut self, ty: CXType, name: &str) -> Arc<StructType> {
        let mut one = CStructure { name: name.to_owned(), size: size(ty), align: alignment(ty), fields: Vec::new() };
        if self.depth < DEEPEST {
            self.depth += 1;
            // SAFETY: the type is of a unit that is alive.
            let declaration = unsafe { clang_getTypeDeclaration(ty) };
            self.members(declaration, ty, &mut one);
            self.depth -= 1;
        }
        let info = Arc::new(structure_of(&one));
        if self.known.insert(name.to_owned()) {
            self.found.structures.push(one);
        }
        info
    }

    /// Adds the members of a structure, or of one without a name inside of it.
    fn members(&mut self, declaration: CXCursor, whole: CXType, into: &mut CStructure) {
        for member in children(declaration) {
            match kind(member) {
                CXCursor_FieldDecl => self.member(member, whole, into),
                CXCursor_StructDecl | CXCursor_UnionDecl => {
                    // SAFETY: the cursor is of a unit that is alive.
                    let unnamed = unsafe { clang_Cursor_isAnonymousRecordDecl(member) } != 0;
                    if unnamed {
                        self.members(member, whole, into);
                    } else {
                        self.declaration(member);
                    }
                }
                CXCursor_EnumDecl => self.declaration(member),
                _ => {}
            }
        }
    }

    fn member(&mut self, member: CXCursor, whole: CXType, into: &mut CStructure) {
        let name = spelling(member);
        let Ok(c_name) = CString::new(name.as_str()) else { return };
        // SAFETY: the cursor and the type are of a unit that is alive; the name outlives the call.
        let (ty, offset, width) = unsafe {
            let width = (clang_Cursor_isBitField(member) != 0).then(|| clang_getFieldDeclBitWidth(member));
            (clang_getCursorType(member), clang_Type_getOffsetOf(whole, c_name.as_ptr()), width)
        };
        // Unnamed bitfields are padding.
        let (Ok(bit_offset), false) = (u64::try_from(offset), name.is_empty()) else { return };
        let parent = into.name.rsplit(' ').next().unwrap_or_default();
        let ty = self.c_type(ty, &format!("{parent}::{name}")).ty;
        into.fields.push(CField { name, bit_offset, ty, bits: width.and_then(|width| u32::try_from(width).ok()) });
    }

    /// A type as the language has it; `unnamed` is what a structure without a name is called.
    fn c_type(&mut self, ty: CXType, unnamed: &str) -> CType {
        // SAFETY: the type is of a unit that is alive.
        let ty = unsafe { clang_getCanonicalType(ty) };
        let object = |ty: Type, size, align| CType { ty, size, align, kind: Kind::Object };
        match ty.kind {
            CXType_Void => CType::void(),
            CXType_Bool => object(Type::Bool, 1, 1),
            CXType_Char_S | CXType_Char_U => CType { kind: Kind::Char, ..CType::integer(8, true) },
            CXType_SChar | CXType_Short | CXType_Int | CXType_Long | CXType_LongLong => {
                CType::integer((size(ty) * 8) as u8, true)
            }
            CXType_UChar | CXType_UShort | CXType_UInt | CXType_ULong | CXType_ULongLong => {
                CType::integer((size(ty) * 8) as u8, false)
            }
            CXType_Enum => {
                let info = Arc::new(enumeration(ty, unnamed));
                CType::object(Type::Enum { info }, size(ty))
            }
            CXType_Record => self.record_type(ty, unnamed),
            CXType_Pointer => {
                // SAFETY: as above.
                let to = unsafe { clang_getPointeeType(ty) };
                self.pointee(to, unnamed)
            }
            CXType_ConstantArray | CXType_IncompleteArray => self.array(ty, unnamed),
            CXType_FunctionProto | CXType_FunctionNoProto => CType::function(),
            // Floating point, vectors: they take their room.
            _ => object(Type::Void, size(ty), alignment(ty)),
        }
    }

    /// Structures behind pointers are known by name only, or types would have no end.
    fn pointee(&mut self, to: CXType, unnamed: &str) -> CType {
        // SAFETY: the type is of a unit that is alive.
        let canonical = unsafe { clang_getCanonicalType(to) };
        if canonical.kind == CXType_Record && !is_unnamed(canonical) {
            return CType::incomplete(&record_name(canonical)).pointer(false);
        }
        if self.depth >= DEEPEST {
            return CType::object(Type::pointer(Type::Void, AddressSpace::Unknown), 8);
        }
        self.depth += 1;
        let to = self.c_type(to, unnamed);
        self.depth -= 1;
        to.pointer(false)
    }

    fn record_type(&mut self, ty: CXType, unnamed: &str) -> CType {
        let name = if is_unnamed(ty) { unnamed.to_owned() } else { record_name(ty) };
        // A typedef's own name stands alone.
        let name = match name.split_once("::") {
            Some(_) if !name.contains(' ') => format!("{} {name}", keyword(ty)),
            _ => name,
        };
        if !is_complete(ty) {
            return CType::incomplete(&name);
        }
        let info = self.record(ty, &name);
        CType { ty: Type::Struct(info), size: size(ty), align: alignment(ty), kind: Kind::Object }
    }

    fn array(&mut self, ty: CXType, unnamed: &str) -> CType {
        // SAFETY: the type is an array's.
        let (element, count) = unsafe { (clang_getArrayElementType(ty), clang_getArraySize(ty)) };
        let element = self.c_type(element, unnamed);
        let align = element.align;
        let length = count.clamp(0, MOST_ELEMENTS) as u32;
        element.array(length).unwrap_or(CType { ty: Type::Void, size: size(ty), align, kind: Kind::Object })
    }
}

fn kind(cursor: CXCursor) -> CXCursorKind {
    // SAFETY: any cursor has a kind.
    unsafe { clang_getCursorKind(cursor) }
}

fn spelling(cursor: CXCursor) -> String {
    // SAFETY: the cursor is of a unit that is alive.
    string(unsafe { clang_getCursorSpelling(cursor) })
}

fn size(ty: CXType) -> u32 {
    // SAFETY: any type may be asked; negative answers mean that it has none.
    u32::try_from(unsafe { clang_Type_getSizeOf(ty) }).unwrap_or(0)
}

fn alignment(ty: CXType) -> u32 {
    // SAFETY: as for the size.
    u32::try_from(unsafe { clang_Type_getAlignOf(ty) }).unwrap_or(1).max(1)
}

fn is_complete(ty: CXType) -> bool {
    // SAFETY: as for the size.
    unsafe { clang_Type_getSizeOf(ty) >= 0 }
}

fn is_unnamed(ty: CXType) -> bool {
    // SAFETY: any type may be asked for its declaration.
    let declaration = unsafe { clang_getTypeDeclaration(ty) };
    let name = spelling(declaration);
    // Newer versions make up a name: `struct (unnamed at …)`; a typedef's is the typedef's own.
    name.is_empty() || name.contains('(') || tag_is_missing(declaration, &name)
}

/// The structure of `typedef struct { … } name` is spelled like the typedef.
fn tag_is_missing(declaration: CXCursor, name: &str) -> bool {
    // SAFETY: any cursor may be asked for its type.
    let spelled = string(unsafe { clang_getTypeSpelling(clang_getCursorType(declaration)) });
    spelled == name
}

fn keyword(ty: CXType) -> &'static str {
    // SAFETY: any type may be asked for its declaration.
    match kind(unsafe { clang_getTypeDeclaration(ty) }) {
        CXCursor_UnionDecl => "union",
        _ => "struct",
    }
}

/// `struct name` or `union name`.
fn record_name(ty: CXType) -> String {
    // SAFETY: any type may be asked for its declaration.
    format!("{} {}", keyword(ty), spelling(unsafe { clang_getTypeDeclaration(ty) }))
}

fn enumeration(ty: CXType, unnamed: &str) -> EnumType {
    // SAFETY: the type is an enumeration's, of a unit that is alive.
    let (declaration, integer) = unsafe {
        let declaration = clang_getTypeDeclaration(ty);
        (declaration, clang_getCanonicalType(clang_getEnumDeclIntegerType(declaration)))
    };
    let signed = matches!(
        integer.kind,
        CXType_Char_S | CXType_SChar | CXType_Short | CXType_Int | CXType_Long | CXType_LongLong
    );
    let constants = children(declaration).into_iter().filter(|child| kind(*child) == CXCursor_EnumConstantDecl);
    // SAFETY: the cursor is a constant's.
    let variants = constants.map(|one| (spelling(one), unsafe { clang_getEnumConstantDeclValue(one) })).collect();
    let name = if is_unnamed(ty) { unnamed.to_owned() } else { spelling(declaration) };
    EnumType { name, bits: (size(integer) * 8) as u8, signed, variants }
}
