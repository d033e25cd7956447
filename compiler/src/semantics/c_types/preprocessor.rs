//! The directives between definitions: `#define`, `#undef`, `#include`, `#if` and its kin.

use crate::diagnostics::Diagnostic;
use crate::kernel_info::KernelInfo;
use crate::syntax::ast::{CDefinition, CDefinitionKind, Span};

use super::constants::{self, Scope};
use super::parser::{self, Text};
use super::reader::Reader;
use super::{CTypes, Macro};

/// Defined where the kernel describes its types, as bpftrace defines it.
const HAVE_BTF: &str = "BPFTRACE_HAVE_BTF";
/// Folders of kernel headers, whose types BTF gives.
const KERNEL_HEADERS: [&str; 6] = ["linux/", "net/", "uapi/", "asm/", "asm-generic/", "scsi/"];
/// Headers of which scripts want only types that are known anyway.
const KNOWN_HEADERS: [&str; 5] = ["stdint.h", "stdbool.h", "stddef.h", "inttypes.h", "sys/types.h"];

/// One `#if` that has not ended.
struct Branch {
    opened: Span,
    /// Whether what stands here now is read.
    active: bool,
    /// Whether a branch of it has been read, or none shall be.
    taken: bool,
}

struct Preprocessor<'a, 'd> {
    reader: Reader<'a>,
    diagnostics: &'d mut Vec<Diagnostic>,
    branches: Vec<Branch>,
    have_btf: bool,
}

/// Reads definitions in their order.
pub fn read(definitions: &[CDefinition], types: &mut CTypes, info: &dyn KernelInfo, diagnostics: &mut Vec<Diagnostic>) {
    if definitions.is_empty() {
        return;
    }
    let have_btf = info.struct_type("struct task_struct").is_some();
    let reader = Reader::new(types, info);
    let mut preprocessor = Preprocessor { reader, diagnostics, branches: Vec::new(), have_btf };
    for definition in definitions {
        let result = preprocessor.definition(definition);
        if let Err(diagnostic) = result {
            preprocessor.diagnostics.push(diagnostic);
        }
    }
    let open =
        preprocessor.branches.iter().map(|branch| Diagnostic::error("c-syntax", branch.opened, "this has no #endif"));
    preprocessor.diagnostics.extend(open);
}

impl Preprocessor<'_, '_> {
    fn definition(&mut self, definition: &CDefinition) -> Result<(), Diagnostic> {
        let CDefinitionKind::Preprocessor(directive) = &definition.kind else {
            if !self.active() {
                return Ok(());
            }
            return self.reader.definition(Text { text: &definition.text, span: definition.span });
        };
        let rest = rest_of(definition, directive);
        match directive.as_str() {
            "ifdef" | "ifndef" => {
                let condition = self.is_defined(rest.text.trim()) == (directive == "ifdef");
                self.open(definition.span, condition);
            }
            "if" => {
                let condition = self.active() && self.condition(rest)?;
                self.open(definition.span, condition);
            }
            "elif" => {
                let wanted = self.branches.last().is_some_and(|branch| !branch.taken);
                let condition = wanted && self.condition(rest)?;
                self.switch(definition.span, condition)?;
            }
            "else" => self.switch(definition.span, true)?,
            "endif" => {
                self.branches.pop().ok_or_else(|| unopened(definition.span, "#endif"))?;
            }
            _ if !self.active() => {}
            "define" => self.define(rest)?,
            "undef" => {
                self.reader.types.macros.remove(rest.text.trim());
            }
            "include" => self.include(definition.span, rest.text)?,
            "" => {}
            other => {
                let message = format!("#{other} is not supported yet");
                return Err(Diagnostic::error("not-supported-yet", definition.span, message));
            }
        }
        Ok(())
    }

    fn active(&self) -> bool {
        self.branches.last().is_none_or(|branch| branch.active)
    }

    /// Opens a conditional; one that is inside of a branch not read is not read either.
    fn open(&mut self, opened: Span, condition: bool) {
        let outside = self.active();
        self.branches.push(Branch { opened, active: outside && condition, taken: !outside || condition });
    }

    fn switch(&mut self, span: Span, condition: bool) -> Result<(), Diagnostic> {
        let branch = self.branches.last_mut().ok_or_else(|| unopened(span, "#else"))?;
        branch.active = !branch.taken && condition;
        branch.taken |= condition;
        Ok(())
    }

    fn is_defined(&self, name: &str) -> bool {
        match name {
            HAVE_BTF => self.have_btf,
            "__linux__" | "__LP64__" => true,
            "__x86_64__" => cfg!(target_arch = "x86_64"),
            "__aarch64__" => cfg!(target_arch = "aarch64"),
            _ => self.reader.types.macros.contains_key(name),
        }
    }

    fn condition(&self, text: Text) -> Result<bool, Diagnostic> {
        let expression = parser::condition(text)?;
        let mut types = self.reader.types.clone();
        for name in [HAVE_BTF, "__linux__", "__LP64__", "__x86_64__", "__aarch64__"] {
            if self.is_defined(name) {
                types.macros.insert(name.to_owned(), Macro { text: "1".into(), span: text.span });
            }
        }
        let scope = Scope { unknown_is_zero: true, ..Scope::new(&types, self.reader.info) };
        Ok(constants::evaluate(&expression, scope)? != 0)
    }

    fn define(&mut self, rest: Text) -> Result<(), Diagnostic> {
        let length = rest.text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.text.len());
        let (name, value) = rest.text.split_at(length);
        if name.is_empty() {
            return Err(Diagnostic::error("c-syntax", rest.span, "expected a name after #define"));
        }
        if value.starts_with('(') {
            let message = format!("a C macro with parameters is not supported yet: {name}");
            return Err(Diagnostic::error("not-supported-yet", rest.span, message)
                .hint("bpftrace's own macros can do this: macro name(x) { … }"));
        }
        let value = value.trim_start();
        let span = Span { start: rest.span.start + (rest.text.len() - value.len()) as u32, ..rest.span };
        self.reader.types.macros.insert(name.to_owned(), Macro { text: value.to_owned(), span });
        Ok(())
    }

    fn include(&self, span: Span, path: &str) -> Result<(), Diagnostic> {
        let path = path.trim().trim_matches(['<', '>', '"']);
        let of_kernel = KERNEL_HEADERS.iter().any(|folder| path.starts_with(folder));
        if KNOWN_HEADERS.contains(&path) || of_kernel && self.have_btf {
            return Ok(());
        }
        let message = format!("#include is not supported yet: {path}");
        let diagnostic = Diagnostic::error("not-supported-yet", span, message);
        Err(if of_kernel {
            diagnostic.hint("kernel types are known without headers where the kernel has BTF; this one has none")
        } else {
            diagnostic.hint("write the definitions that are needed into the script")
        })
    }
}

fn unopened(span: Span, what: &str) -> Diagnostic {
    Diagnostic::error("c-syntax", span, format!("{what} without #if"))
}

/// What stands behind a directive's name.
fn rest_of<'a>(definition: &'a CDefinition, directive: &str) -> Text<'a> {
    let text = definition.text.as_str();
    let behind = text.find(directive).unwrap_or(0) + directive.len();
    let rest = text.get(behind..).unwrap_or_default();
    let trimmed = rest.trim_start();
    let start = definition.span.start + (text.len() - trimmed.len()) as u32;
    Text { text: without_comment(trimmed), span: Span { start, ..definition.span } }
}

/// A line comment is no part of a directive.
fn without_comment(text: &str) -> &str {
    let cut = text.find("//").into_iter().chain(text.find("/*")).min();
    match cut {
        Some(at) if !text.get(..at).unwrap_or_default().contains('"') => text.get(..at).unwrap_or(text).trim_end(),
        _ => text.trim_end(),
    }
}
