//! Imported C sources (`.bpf.c`): read for the functions that scripts may call, and translated to
//! bitcode that is linked to the script's programs.

use std::path::PathBuf;
use std::sync::Arc;

use crate::c_compiler::{CFunction, CPlace, CUnit};
use crate::diagnostics::{Diagnostic, Severity};
use crate::ir::Bitcode;
use crate::semantics::c_types::{CTypes, Surroundings, compiled};
use crate::semantics::imports::CSource;
use crate::stdlib;
use crate::syntax::ast::{SourceId, Span};
use crate::types::Type;

/// BPF passes five arguments in registers.
const MOST_ARGUMENTS: usize = 5;

/// A C source whose functions scripts may call.
#[derive(Clone, Debug)]
pub struct CCode {
    pub path: PathBuf,
    /// The import that names it, or the folder that it is in.
    pub imported: Span,
    pub functions: Vec<Callable>,
    pub bitcode: Bitcode,
}

impl CCode {
    /// Whether its functions stand in this text or one behind it.
    pub fn defines_from(&self, source: SourceId) -> bool {
        self.functions.iter().any(|one| one.span.source >= source)
    }
}

/// A function of a C source.
#[derive(Clone, Debug)]
pub struct Callable {
    pub function: CFunction,
    /// Its name, where it is defined.
    pub span: Span,
}

/// Reads and translates C sources. Those of earlier cells come first, except for what is defined anew: one
/// that is imported again is read again. Gives warnings as well.
///
/// # Errors
///
/// There is no compiler, or it finds something wrong.
pub fn read(
    sources: &[CSource],
    earlier: &[CCode],
    types: &CTypes,
    around: &Surroundings,
) -> Result<(Vec<CCode>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut all = Vec::new();
    let (mut told, mut failed) = (Vec::new(), Vec::new());
    for source in sources {
        match one(source, types, around, &mut told) {
            Ok(code) => all.push(code),
            Err(problems) => failed.extend(problems),
        }
    }
    refuse_twins(&all, &mut failed);
    if !failed.is_empty() {
        return Err(failed);
    }
    told.extend(all.iter().flat_map(|code| &code.functions).filter_map(hidden));
    let mut kept: Vec<CCode> = earlier.iter().filter(|old| !is_replaced(old, &all, &mut told)).cloned().collect();
    kept.extend(all);
    Ok((kept, told))
}

/// Whether a source that an earlier cell has imported gives way to one of this cell, which is said.
fn is_replaced(old: &CCode, all: &[CCode], told: &mut Vec<Diagnostic>) -> bool {
    let path = old.path.display();
    if let Some(new) = all.iter().find(|new| new.path == old.path) {
        if new.bitcode != old.bitcode {
            let message =
                format!("{path} was another text in an earlier cell; this one replaces it here and in later cells");
            told.push(Diagnostic::warning("replaced-definition", new.imported, message));
        }
        return true;
    }
    let twin = |one: &&Callable| old.functions.iter().any(|known| known.function.name == one.function.name);
    let Some(twin) = all.iter().flat_map(|code| &code.functions).find(twin) else { return false };
    let name = &twin.function.name;
    let message = format!(
        "{name}() was defined otherwise in an earlier cell; this definition replaces it here and in later cells"
    );
    let warning = Diagnostic::warning("replaced-definition", twin.span, message);
    told.push(
        warning.also(old.imported, format!("all of {path} is forgotten: import it again for its other functions")),
    );
    true
}

/// A function that scripts cannot call, since the language has one of its name.
fn hidden(one: &Callable) -> Option<Diagnostic> {
    let name = &one.function.name;
    stdlib::find(name)?;
    let message = format!("scripts that call {name}() mean the function of the language, not this one");
    Some(Diagnostic::warning("hidden-function", one.span, message).hint("another name makes it known to scripts"))
}

fn one(
    source: &CSource,
    types: &CTypes,
    around: &Surroundings,
    told: &mut Vec<Diagnostic>,
) -> Result<CCode, Vec<Diagnostic>> {
    let unavailable = |error: crate::kernel_info::Unavailable| {
        let diagnostic =
            Diagnostic::error("needs-clang", source.span, format!("a C source needs clang: {}", error.reason));
        vec![error.remedy.into_iter().fold(diagnostic, Diagnostic::hint)]
    };
    let mut unit = unit(source, around);
    let declarations = compiled::complete(&mut unit, types, around).map_err(unavailable)?;
    let place =
        |place: &CPlace| compiled::span_of(place, source.span, around, |start, end| in_source(source, start, end));
    let problems = declarations.problems.iter().filter(|problem| problem.is_error);
    let problems: Vec<_> = problems
        .map(|problem| {
            let diagnostic = Diagnostic::error("c-error", place(&problem.place), problem.message.clone());
            diagnostic.also(source.span, "imported here")
        })
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let functions = declarations.functions.into_iter();
    let functions: Vec<_> = functions.map(|function| Callable { span: place(&function.place), function }).collect();
    let translated = around.info.c_compiler().translate(&unit, &source.path).map_err(unavailable)?;
    let bitcode = translated.map_err(|words| {
        let message = format!("{} cannot be translated", source.path.display());
        vec![Diagnostic::error("c-error", source.span, message).hint(words.trim_end().to_owned())]
    })?;
    told.extend(unit.absent.iter().filter(|header| *header != VMLINUX).map(|header| absent(header, source)));
    Ok(CCode { path: source.path.clone(), imported: source.span, functions, bitcode: Bitcode(Arc::from(bitcode)) })
}

/// The header with all types of a kernel that people make for BPF programs; BTF is asked instead.
pub const VMLINUX: &str = "vmlinux.h";

fn unit(source: &CSource, around: &Surroundings) -> CUnit {
    let text = around.sources.get(source.source).map_or("", |source| source.text.as_str());
    CUnit {
        text: text.to_owned(),
        folder: source.path.parent().map(ToOwned::to_owned).unwrap_or_default(),
        include_dirs: around.include_dirs.to_vec(),
        for_bpf: true,
        ..CUnit::default()
    }
}

fn in_source(source: &CSource, start: u32, end: u32) -> Span {
    Span { source: source.source, start, end }
}

fn absent(header: &str, source: &CSource) -> Diagnostic {
    let message = format!("{header} was not found; the kernel's types are known without it, its macros are not");
    Diagnostic { severity: Severity::Warning, ..Diagnostic::error("unknown-header", source.span, message) }
}

/// Two functions of one name cannot be told apart.
fn refuse_twins(all: &[CCode], failed: &mut Vec<Diagnostic>) {
    let mut seen: Vec<&Callable> = Vec::new();
    for callable in all.iter().flat_map(|code| &code.functions) {
        match seen.iter().find(|known| known.function.name == callable.function.name) {
            Some(first) => {
                let message = format!("{}() is defined twice", callable.function.name);
                let diagnostic = Diagnostic::error("redefined-function", callable.span, message);
                failed.push(diagnostic.also(first.span, "first defined here"));
            }
            None => seen.push(callable),
        }
    }
}

/// What keeps a function from being called by a script.
pub fn obstacle(function: &CFunction) -> Option<String> {
    let is_passed = |ty: &Type| ty.is_scalar() || matches!(ty, Type::Pointer { .. });
    if function.parameters.len() > MOST_ARGUMENTS {
        return Some(format!("BPF passes {MOST_ARGUMENTS} arguments"));
    }
    let parameter = function.parameters.iter().find(|ty| !is_passed(ty));
    let result = Some(&function.returns).filter(|ty| **ty != Type::Void && !is_passed(ty));
    parameter.or(result).map(|ty| format!("{ty} does not fit a register"))
}
