//! Types, constants and macros that scripts define in C: `struct`, `union`, `enum`, `typedef`,
//! `#define`, and the conditionals around them.
//!
//! [`read`] takes a script's definitions in their order; what they define holds for later cells
//! too. Whoever looks up a name asks [`CTypes`], which knows the kernel's types as well: the
//! script's own win.

mod c_text;
pub mod compiled;
mod constants;
mod ctype;
mod known_headers;
mod layout;
mod parser;
mod preprocessor;
mod reader;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostics::{Diagnostic, Sources};
use crate::kernel_info::KernelInfo;
use crate::syntax::ast::{CDefinition, SourceId, Span};
use crate::types::{EnumType, StructType, Type};

pub use compiled::structure_of;
pub use ctype::{CType, Kind};

/// How many macros may stand for one another.
const LONGEST_CHAIN: u32 = 32;

/// How many traced binaries are searched for types that other probes name.
const MOST_BINARIES: usize = 32;

/// What scripts have defined in C so far.
#[derive(Clone, Debug, Default)]
pub struct CTypes {
    /// By `struct name`, `union name`, or the typedef of one without a name.
    structures: BTreeMap<String, Structure>,
    /// Structures of which only the name has been told.
    declared: BTreeSet<String>,
    enums: BTreeMap<String, Arc<EnumType>>,
    constants: BTreeMap<String, (Arc<EnumType>, i64)>,
    typedefs: BTreeMap<String, CType>,
    macros: BTreeMap<String, Macro>,
    /// Programs and libraries that scripts have traced: what their debug information names is known in
    /// other probes and later cells too.
    binaries: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug)]
struct Structure {
    info: Arc<StructType>,
    align: u32,
}

/// What `#define` gave a name, as text: it is read when it is used.
#[derive(Clone, Debug)]
pub struct Macro {
    /// `None`: it stands alone, without parentheses.
    pub parameters: Option<Vec<String>>,
    pub text: String,
    /// Where the text stands; of a header's macro the `#include`.
    pub span: Span,
    /// `file:line:column`, if the text is not among the sources.
    pub place: Option<String>,
}

impl Macro {
    /// One that stands for a constant.
    fn constant(text: &str, span: Span) -> Macro {
        Macro { parameters: None, text: text.to_owned(), span, place: None }
    }
}

/// What definitions may refer to.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    pub sources: &'a Sources,
    pub info: &'a dyn KernelInfo,
    /// Folders in which headers are looked for first.
    pub include_dirs: &'a [PathBuf],
}

/// Folders of kernel headers, whose types BTF gives.
const KERNEL_HEADERS: [&str; 6] = ["linux/", "net/", "uapi/", "asm/", "asm-generic/", "scsi/"];

impl Surroundings<'_> {
    /// Whether a header's types are known from the kernel itself.
    fn is_described(&self, header: &str) -> bool {
        self.have_btf() && KERNEL_HEADERS.iter().any(|folder| header.starts_with(folder))
    }

    /// Whether the kernel describes its types.
    fn have_btf(&self) -> bool {
        self.info.struct_type("struct task_struct").is_some()
    }
}

/// What a macro stands for in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MacroValue {
    Integer(i128),
    Text(String),
}

/// Reads a script's C definitions; all that is wrong with them is reported together. What is beyond
/// the reader here is read by a C compiler. Gives warnings.
pub fn read(
    definitions: &[CDefinition],
    types: &mut CTypes,
    around: &Surroundings,
) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    if definitions.is_empty() {
        return Ok(Vec::new());
    }
    let mut own = types.clone();
    let mut problems = match preprocessor::read(definitions, &mut own, around) {
        Ok(()) => {
            *types = own;
            return Ok(Vec::new());
        }
        Err(problems) if !problems.beyond => return Err(problems.diagnostics),
        Err(problems) => problems.diagnostics,
    };
    match compiled::read(definitions, types, around) {
        Ok(told) if !told.iter().any(Diagnostic::is_error) => Ok(told),
        // What both find wrong is said in the words of the reader here.
        Ok(told) if problems.iter().any(|problem| problem.id == "needs-libclang") => Err(told),
        Ok(_) => Err(problems),
        Err(unavailable) => {
            if let Some(first) = problems.iter_mut().find(|problem| problem.hint.is_none()) {
                *first = first.clone().hint(unavailable.to_string());
            }
            if problems.iter().any(Diagnostic::is_error) {
                return Err(problems);
            }
            *types = own;
            Ok(problems)
        }
    }
}

impl CTypes {
    /// A structure or union with its members, by `struct name` or `union name`.
    pub fn struct_type(&self, name: &str, info: &dyn KernelInfo) -> Option<Arc<StructType>> {
        let known = self.own_struct(name).or_else(|| info.struct_type(name));
        known.or_else(|| self.binaries.iter().find_map(|path| info.user_struct(path, 0, name)))
    }

    /// A structure that scripts define themselves.
    pub fn own_struct(&self, name: &str) -> Option<Arc<StructType>> {
        self.structures.get(name).map(|structure| Arc::clone(&structure.info))
    }

    /// A binary is traced; its types count after the script's and the kernel's.
    pub fn add_binary(&mut self, path: &Path) {
        // A wildcard may stand for every library there is.
        if self.binaries.len() < MOST_BINARIES && !self.binaries.contains(path) {
            self.binaries.insert(path.to_owned());
        }
    }

    /// Whether a structure has been named, so that pointers to it make sense.
    pub fn is_declared(&self, name: &str) -> bool {
        self.declared.contains(name)
    }

    /// What a typedef, or a macro that names a type, stands for.
    pub fn typedef(&self, name: &str, info: &dyn KernelInfo) -> Option<Type> {
        let known = self.own_typedef(name, info).or_else(|| info.typedef(name));
        known.or_else(|| self.binaries.iter().find_map(|path| info.user_typedef(path, 0, name)))
    }

    /// A typedef or a macro that scripts define themselves.
    pub fn own_typedef(&self, name: &str, info: &dyn KernelInfo) -> Option<Type> {
        let named = self.typedefs.get(name).cloned().or_else(|| reader::macro_type(self, info, name));
        named.map(|named| named.ty)
    }

    pub fn enum_type(&self, name: &str, info: &dyn KernelInfo) -> Option<Arc<EnumType>> {
        let known = self.own_enum(name).or_else(|| info.enum_type(name));
        known.or_else(|| self.binaries.iter().find_map(|path| info.user_enum(path, 0, name)))
    }

    /// An enumeration that scripts define themselves.
    pub fn own_enum(&self, name: &str) -> Option<Arc<EnumType>> {
        self.enums.get(name).cloned()
    }

    pub fn enum_constant(&self, name: &str, info: &dyn KernelInfo) -> Option<(Arc<EnumType>, i64)> {
        self.constants.get(name).cloned().or_else(|| info.enum_constant(name))
    }

    /// The value of a macro; `None` if there is none of that name.
    ///
    /// # Errors
    ///
    /// It stands for something that is neither an integer nor a string; the diagnostic points at
    /// the definition.
    pub fn macro_value(&self, name: &str, info: &dyn KernelInfo) -> Option<Result<MacroValue, Diagnostic>> {
        let found = self.macros.get(name)?;
        Some(constants::macro_value(self, info, found, LONGEST_CHAIN))
    }

    /// A macro by name.
    pub fn find_macro(&self, name: &str) -> Option<&Macro> {
        self.macros.get(name)
    }

    pub fn has_macros(&self) -> bool {
        !self.macros.is_empty()
    }

    /// Whether a macro stands for a type.
    pub fn names_type(&self, name: &str, info: &dyn KernelInfo) -> bool {
        reader::macro_type(self, info, name).is_some()
    }

    /// Whether scripts have defined this structure, so that it is not the kernel's.
    pub fn is_own(&self, name: &str) -> bool {
        self.structures.contains_key(name)
    }

    /// `struct name`, `union name` of the scripts' own, for suggestions.
    pub fn struct_names(&self) -> impl Iterator<Item = &str> {
        self.structures.keys().map(String::as_str)
    }

    /// Names of constants and macros, for suggestions.
    pub fn constant_names(&self) -> impl Iterator<Item = &str> {
        self.constants.keys().chain(self.macros.keys()).map(String::as_str)
    }

    /// Whether macros refer to this text or one behind it, which must be kept then.
    pub fn has_macros_from(&self, source: SourceId) -> bool {
        self.macros.values().any(|one| one.span.source >= source)
    }

    /// What means something else than earlier: `struct x`, `enum x`, `the macro X`, `the type x`.
    pub fn replaced(&self, earlier: &CTypes) -> Vec<String> {
        let mut names = Vec::new();
        let changed = |name: &String, found: &Structure| {
            earlier
                .structures
                .get(name)
                .is_some_and(|old| !Arc::ptr_eq(&old.info, &found.info) && old.info != found.info)
        };
        names.extend(self.structures.iter().filter(|(name, it)| changed(name, it)).map(|(name, _)| name.clone()));
        let enums = self.enums.iter().filter(|(name, it)| earlier.enums.get(*name).is_some_and(|old| old != *it));
        names.extend(enums.map(|(name, _)| format!("enum {name}")));
        let other = |old: &Macro, new: &Macro| old.text != new.text || old.parameters != new.parameters;
        let macros =
            self.macros.iter().filter(|(name, it)| earlier.macros.get(*name).is_some_and(|old| other(old, it)));
        names.extend(macros.map(|(name, _)| format!("the macro {name}")));
        let types = self.typedefs.iter().filter(|(name, it)| earlier.typedefs.get(*name).is_some_and(|old| old != *it));
        names.extend(types.map(|(name, _)| format!("the type {name}")));
        // Structures inside of others are told with those.
        names.retain(|name| !name.contains("::"));
        names
    }

    /// Forgets an enumeration's constants: it is defined anew.
    fn forget_enum(&mut self, name: &str) {
        if let Some(old) = self.enums.remove(name) {
            self.constants.retain(|_, (info, _)| !Arc::ptr_eq(info, &old));
        }
    }
}
