//! From the tree of a C definition to types: names are looked up, members laid out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::kernel_info::KernelInfo;
use crate::syntax::ast::Span;
use crate::types::{EnumType, StructField, Type};

use super::constants::{self, Scope};
use super::ctype::{self, CType, Kind};
use super::layout::{Layout, TooLarge};
use super::parser::{self, Text};
use super::tree::*;
use super::{CTypes, LONGEST_CHAIN, Structure};

type Read<T> = Result<T, Diagnostic>;

/// Reads the definitions of one script.
pub struct Reader<'a> {
    pub types: &'a mut CTypes,
    pub info: &'a dyn KernelInfo,
    /// What this script has defined, and where: nothing may be defined twice.
    defined: BTreeMap<String, Span>,
}

impl<'a> Reader<'a> {
    pub fn new(types: &'a mut CTypes, info: &'a dyn KernelInfo) -> Reader<'a> {
        Reader { types, info, defined: BTreeMap::new() }
    }

    /// `struct …`, `union …`, `enum …` or `typedef …;`
    pub fn definition(&mut self, text: Text) -> Read<()> {
        match parser::definition(text)? {
            Definition::Standalone(specifier) => self.specifier(&specifier, None).map(|_| ()),
            Definition::Typedef { specifier, declarators, attributes } => {
                let first = declarators.first().filter(|first| first.shape.is_empty());
                let base = self.specifier(&specifier, first.map(|first| first.name.text.as_str()))?;
                let aligned = self.alignment(&[&specifier.attributes, &attributes])?;
                for declarator in &declarators {
                    let mut ty =
                        self.declared(base.clone(), specifier.user, &declarator.shape, declarator.name.span)?;
                    ty.align = ty.align.max(aligned);
                    self.typedef(&declarator.name, ty)?;
                }
                Ok(())
            }
        }
    }

    fn typedef(&mut self, name: &Name, ty: CType) -> Read<()> {
        if self.types.typedefs.get(&name.text) != Some(&ty) {
            self.define_once(format!("typedef {}", name.text), &name.text, name.span)?;
        }
        self.types.typedefs.insert(name.text.clone(), ty);
        Ok(())
    }

    fn define_once(&mut self, key: String, shown: &str, span: Span) -> Read<()> {
        match self.defined.insert(key, span) {
            None => Ok(()),
            Some(first) => {
                let message = format!("{shown} is defined twice");
                Err(Diagnostic::error("c-redefinition", span, message).also(first, "first defined here"))
            }
        }
    }

    /// The type before the declarators. `unnamed`: what a structure without a tag is called.
    fn specifier(&mut self, specifier: &Specifier, unnamed: Option<&str>) -> Read<CType> {
        match &specifier.kind {
            SpecifierKind::Aggregate(aggregate) => self.aggregate(aggregate, specifier.span, unnamed),
            SpecifierKind::Enumeration(enumeration) => self.enumeration(enumeration, specifier.span, unnamed),
            _ => known_specifier(self.scope(), specifier),
        }
    }

    fn scope(&self) -> Scope<'_> {
        Scope::new(self.types, self.info)
    }

    fn aggregate(&mut self, aggregate: &Aggregate, span: Span, unnamed: Option<&str>) -> Read<CType> {
        let keyword = if aggregate.is_union { "union" } else { "struct" };
        let name = match &aggregate.tag {
            Some(tag) => format!("{keyword} {}", tag.text),
            None => unnamed.map_or_else(|| format!("{keyword} at {}", span.start), str::to_owned),
        };
        let Some(members) = &aggregate.members else {
            self.types.declared.insert(name.clone());
            return Ok(structure(self.scope(), &name));
        };
        let place = aggregate.tag.as_ref().map_or(span, |tag| tag.span);
        if aggregate.tag.is_some() {
            self.define_once(name.clone(), &name, place)?;
        }
        let attributes = [&aggregate.attributes];
        let packed = aggregate.attributes.packed;
        let mut layout = Layout::new(aggregate.is_union, packed);
        let parent = name.rsplit(' ').next().unwrap_or_default().to_owned();
        for member in members {
            self.member(member, &parent, &mut layout)?;
        }
        no_duplicates(&layout.fields, place)?;
        let aligned = self.alignment(&attributes)?;
        let (info, align) = layout.finish(name.clone(), aligned).map_err(|error| too_large(error, place))?;
        let info = Arc::new(info);
        self.types.structures.insert(name.clone(), Structure { info: Arc::clone(&info), align });
        self.types.declared.insert(name);
        Ok(CType { size: info.size, ty: Type::Struct(info), align, kind: Kind::Object })
    }

    fn member(&mut self, member: &Member, parent: &str, layout: &mut Layout) -> Read<()> {
        let specifier = &member.specifier;
        let named = member.declarators.iter().find_map(|it| it.declarator.as_ref());
        let inner = named.map(|named| inner_name(&specifier.kind, parent, &named.name.text));
        let base = self.specifier(specifier, inner.as_deref())?;
        if member.declarators.is_empty() {
            return self.unnamed_member(specifier, &base, layout);
        }
        for declarator in &member.declarators {
            let attributes = [&specifier.attributes, &declarator.attributes];
            let packed = attributes.iter().any(|it| it.packed);
            let aligned = self.alignment(&attributes)?;
            let too_large = |error| too_large(error, declarator.span);
            match (&declarator.declarator, &declarator.width) {
                (Some(named), None) => {
                    let ty = self.declared(base.clone(), specifier.user, &named.shape, declarator.span)?;
                    require_object(&ty, named.name.span)?;
                    layout.member(&named.name.text, &ty, packed, aligned).map_err(too_large)?;
                }
                (named, Some(width)) => {
                    let width = self.width(&base, width, named.is_some())?;
                    let name = named.as_ref().map(|named| named.name.text.as_str());
                    layout.bitfield(name, &base, width).map_err(too_large)?;
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// The members of `struct { … };` without a name belong to the structure around it.
    fn unnamed_member(&mut self, specifier: &Specifier, base: &CType, layout: &mut Layout) -> Read<()> {
        let SpecifierKind::Aggregate(Aggregate { tag: None, members: Some(_), .. }) = &specifier.kind else {
            return Ok(());
        };
        let Type::Struct(info) = &base.ty else { return Ok(()) };
        let aligned = self.alignment(&[&specifier.attributes])?;
        let placed = layout.unnamed(base, info, specifier.attributes.packed, aligned);
        // Nothing can refer to it by name.
        self.types.structures.remove(&info.name);
        placed.map_err(|error| too_large(error, specifier.span))
    }

    fn width(&self, base: &CType, width: &Expression, named: bool) -> Read<u32> {
        let value = constants::evaluate(width, self.scope())?;
        let most = if base.ty == Type::Bool { 1 } else { base.size * 8 };
        let is_integer = base.ty.is_integer() || base.ty == Type::Bool;
        let least = i128::from(named);
        if !is_integer || !(least..=i128::from(most)).contains(&value) {
            let message = if is_integer {
                format!("a bitfield of {} has {least} to {most} bits, not {value}", base.ty)
            } else {
                format!("a bitfield must be an integer, not {}", base.ty)
            };
            return Err(Diagnostic::error("invalid-c-type", width.span, message));
        }
        Ok(value as u32)
    }

    fn declared(&self, base: CType, user: bool, shape: &[Shape], span: Span) -> Read<CType> {
        shaped(self.scope(), base, user, shape, span)
    }

    /// The most that attributes ask for; 1 if they ask for nothing.
    fn alignment(&self, attributes: &[&Attributes]) -> Read<u32> {
        let mut align = 1;
        for expression in attributes.iter().filter_map(|it| it.aligned.as_ref()) {
            let value = constants::evaluate(expression, self.scope())?;
            match u32::try_from(value) {
                Ok(value) if value.is_power_of_two() && value <= 4096 => align = value.max(align),
                _ => {
                    let message = "an alignment is a power of two up to 4096";
                    return Err(Diagnostic::error("invalid-c-type", expression.span, message));
                }
            }
        }
        Ok(align)
    }

    fn enumeration(&mut self, enumeration: &Enumeration, span: Span, unnamed: Option<&str>) -> Read<CType> {
        let tag = enumeration.tag.as_ref();
        let Some(enumerators) = &enumeration.enumerators else {
            let name = tag.map_or("", |tag| tag.text.as_str());
            return known_enum(self.scope(), name, span);
        };
        let name = match tag {
            Some(tag) => {
                self.define_once(format!("enum {}", tag.text), &format!("enum {}", tag.text), tag.span)?;
                tag.text.clone()
            }
            None => unnamed.map_or_else(String::new, str::to_owned),
        };
        let mut variants: Vec<(String, i64)> = Vec::new();
        let mut next: i128 = 0;
        for enumerator in enumerators {
            if let Some(value) = &enumerator.value {
                next = constants::evaluate(value, Scope { enumerators: &variants, ..self.scope() })?;
            }
            let constant = &enumerator.name;
            self.define_once(format!("constant {}", constant.text), &constant.text, constant.span)?;
            // Beyond i64::MAX it is the same 64 bits.
            variants.push((constant.text.clone(), next as i64));
            next += 1;
        }
        let info = Arc::new(enum_type(name.clone(), variants, next));
        if !name.is_empty() {
            self.types.forget_enum(&name);
            self.types.enums.insert(name, Arc::clone(&info));
        }
        for (constant, value) in &info.variants {
            self.types.constants.insert(constant.clone(), (Arc::clone(&info), *value));
        }
        Ok(CType::object(Type::Enum { info: Arc::clone(&info) }, u32::from(info.bits) / 8))
    }
}

/// GCC's choice: `unsigned int` if nothing is negative, wider if it must be.
fn enum_type(name: String, variants: Vec<(String, i64)>, past_last: i128) -> EnumType {
    let beyond = past_last > i128::from(i64::MAX) + 1;
    let signed = !beyond && variants.iter().any(|(_, value)| *value < 0);
    let fits = |value: i64| if signed { i32::try_from(value).is_ok() } else { u32::try_from(value).is_ok() };
    let bits = if variants.iter().all(|(_, value)| fits(*value)) { 32 } else { 64 };
    EnumType { name, bits, signed, variants }
}

/// What a structure without a tag is called: after the member that has it.
fn inner_name(kind: &SpecifierKind, parent: &str, member: &str) -> String {
    let keyword = match kind {
        SpecifierKind::Aggregate(aggregate) if aggregate.is_union => "union ",
        SpecifierKind::Aggregate(_) => "struct ",
        _ => "",
    };
    format!("{keyword}{parent}::{member}")
}

fn no_duplicates(fields: &[StructField], span: Span) -> Read<()> {
    let mut names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find_map(|pair| match pair {
        [a, b] if a == b => Some(*a),
        _ => None,
    }) {
        None => Ok(()),
        Some(name) => Err(Diagnostic::error("c-redefinition", span, format!("two members are called {name}"))),
    }
}

fn require_object(ty: &CType, span: Span) -> Read<()> {
    let message = match ty.kind {
        Kind::Object | Kind::Char => return Ok(()),
        Kind::Void => "a member cannot be void".to_string(),
        Kind::Function => "a member cannot be a function; a pointer to one can".to_string(),
        Kind::Incomplete => format!("the members of {} are not known here", ty.ty),
    };
    Err(Diagnostic::error("invalid-c-type", span, message))
}

fn too_large(_: TooLarge, span: Span) -> Diagnostic {
    Diagnostic::error("invalid-c-type", span, "this type is too large")
}

/// A structure by its full name, with its members if they are known.
fn structure(scope: Scope, name: &str) -> CType {
    match scope.types.structures.get(name) {
        Some(found) => {
            let ty = Type::Struct(Arc::clone(&found.info));
            CType { size: found.info.size, ty, align: found.align, kind: Kind::Object }
        }
        None => match scope.info.struct_type(name) {
            Some(info) => CType::known(Type::Struct(info)),
            None => CType::incomplete(name),
        },
    }
}

fn known_enum(scope: Scope, name: &str, span: Span) -> Read<CType> {
    match scope.types.enum_type(name, scope.info) {
        Some(info) => Ok(CType::known(Type::Enum { info })),
        None => Err(Diagnostic::error("unknown-type", span, format!("there is no enum {name}"))),
    }
}

/// A type that defines nothing.
fn known_specifier(scope: Scope, specifier: &Specifier) -> Read<CType> {
    let span = specifier.span;
    match &specifier.kind {
        SpecifierKind::Base(words) => ctype::base(words)
            .ok_or_else(|| Diagnostic::error("unknown-type", span, format!("there is no type {}", words.join(" ")))),
        SpecifierKind::Named(name) => named_type(scope, name)
            .ok_or_else(|| Diagnostic::error("unknown-type", span, format!("there is no type {name}"))),
        SpecifierKind::Aggregate(Aggregate { tag: Some(tag), members: None, is_union, .. }) => {
            let keyword = if *is_union { "union" } else { "struct" };
            Ok(structure(scope, &format!("{keyword} {}", tag.text)))
        }
        SpecifierKind::Enumeration(Enumeration { tag: Some(tag), enumerators: None }) => {
            known_enum(scope, &tag.text, span)
        }
        _ => Err(Diagnostic::error("invalid-c-type", span, "a type cannot be defined here")),
    }
}

/// A typedef, a standard name, a macro that stands for a type, or one of the kernel's typedefs.
fn named_type(scope: Scope, name: &str) -> Option<CType> {
    let found = scope.types.typedefs.get(name).cloned();
    let found = found.or_else(|| macro_type_in(scope, name)).or_else(|| ctype::standard(name));
    let found = found.or_else(|| scope.info.typedef(name).map(CType::known))?;
    // A structure that was only named when the typedef was made may be known by now.
    Some(match (&found.kind, &found.ty) {
        (Kind::Incomplete, Type::Struct(info)) => structure(scope, &info.name),
        _ => found,
    })
}

/// The type that a macro stands for, if it stands for one.
pub fn macro_type(types: &CTypes, info: &dyn KernelInfo, name: &str) -> Option<CType> {
    macro_type_in(Scope { depth: LONGEST_CHAIN, ..Scope::new(types, info) }, name)
}

fn macro_type_in(scope: Scope, name: &str) -> Option<CType> {
    let found = scope.types.macros.get(name)?;
    let depth = scope.depth.checked_sub(1)?;
    let body = parser::macro_type(Text { text: &found.text, span: found.span }).ok()?;
    type_name(Scope { depth, ..scope }, &body).ok().filter(|ty| ty.is_object())
}

fn type_name(scope: Scope, name: &TypeName) -> Read<CType> {
    let base = known_specifier(scope, &name.specifier)?;
    shaped(scope, base, name.specifier.user, &name.shape, name.specifier.span)
}

/// `sizeof(type)`
pub fn size_of(scope: Scope, name: &TypeName) -> Read<u32> {
    let ty = type_name(scope, name)?;
    require_object(&ty, name.specifier.span)?;
    Ok(ty.size)
}

/// `(type)value`
pub fn cast(scope: Scope, to: &TypeName, value: i128) -> Read<i128> {
    let ty = type_name(scope, to)?;
    let (bits, signed) = match &ty.ty {
        Type::Integer { bits, signed } => (u32::from(*bits), *signed),
        Type::Enum { info } => (u32::from(info.bits), info.signed),
        Type::Pointer { .. } => (64, false),
        Type::Bool => return Ok(i128::from(value != 0)),
        other => {
            let message = format!("cannot cast a constant to {other}");
            return Err(Diagnostic::error("invalid-cast", to.specifier.span, message));
        }
    };
    let unused = 128 - bits;
    Ok(if signed { value << unused >> unused } else { ((value as u128) << unused >> unused) as i128 })
}

/// Makes pointers, arrays and functions of a type, innermost first.
fn shaped(scope: Scope, base: CType, mut user: bool, shape: &[Shape], span: Span) -> Read<CType> {
    let mut ty = base;
    for part in shape {
        ty = match part {
            Shape::Pointer { user: behind } => {
                let pointer = ty.pointer(user);
                user = *behind;
                pointer
            }
            Shape::Function => CType::function(),
            Shape::Array(length) => {
                require_object(&ty, span)?;
                let length = match length {
                    Some(length) => array_length(scope, length)?,
                    None => 0,
                };
                ty.array(length).ok_or_else(|| too_large(TooLarge, span))?
            }
        };
    }
    Ok(ty)
}

fn array_length(scope: Scope, length: &Expression) -> Read<u32> {
    let value = constants::evaluate(length, scope)?;
    u32::try_from(value).map_err(|_| {
        let message = format!("an array cannot have {value} elements");
        Diagnostic::error("invalid-c-type", length.span, message)
    })
}
