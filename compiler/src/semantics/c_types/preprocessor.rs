//! The directives between definitions: `#define`, `#undef`, `#include`, `#if` and its kin.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::diagnostics::Diagnostic;
use crate::syntax;
use crate::syntax::ast::{CDefinition, CDefinitionKind, Script, Span};

use super::constants::{self, Scope};
use super::parser::{self, Text};
use super::reader::Reader;
use super::{CTypes, Macro, Surroundings, known_headers};

/// Defined where the kernel describes its types, as bpftrace defines it.
pub const HAVE_BTF: &str = "BPFTRACE_HAVE_BTF";
/// How deep headers may include one another.
const DEEPEST: usize = 32;

/// Why definitions could not be read.
#[derive(Debug)]
pub struct Problems {
    pub diagnostics: Vec<Diagnostic>,
    /// What is wrong, or what this reader does not know, may be known to a C compiler.
    pub beyond: bool,
}

/// What is wrong with one definition.
enum Problem {
    Wrong(Diagnostic),
    /// Only a C compiler can tell; the diagnostic is for where there is none.
    Beyond(Diagnostic),
}

impl From<Diagnostic> for Problem {
    fn from(diagnostic: Diagnostic) -> Problem {
        // A C compiler may know more of the grammar.
        if diagnostic.id == "c-syntax" { Problem::Beyond(diagnostic) } else { Problem::Wrong(diagnostic) }
    }
}

/// One `#if` that has not ended.
struct Branch {
    opened: Span,
    /// Whether what stands here now is read.
    active: bool,
    /// Whether a branch of it has been read, or none shall be.
    taken: bool,
}

struct Preprocessor<'a> {
    reader: Reader<'a>,
    around: &'a Surroundings<'a>,
    problems: Problems,
    branches: Vec<Branch>,
    have_btf: bool,
    /// How many headers are being read.
    depth: usize,
    /// Headers that want to be read once.
    once: BTreeSet<PathBuf>,
}

/// Reads definitions in their order.
pub fn read(definitions: &[CDefinition], types: &mut CTypes, around: &Surroundings) -> Result<(), Problems> {
    let mut preprocessor = Preprocessor {
        reader: Reader::new(types, around.info),
        around,
        problems: Problems { diagnostics: Vec::new(), beyond: false },
        branches: Vec::new(),
        have_btf: around.have_btf(),
        depth: 0,
        once: BTreeSet::new(),
    };
    preprocessor.definitions(definitions);
    let problems = preprocessor.problems;
    if problems.diagnostics.is_empty() { Ok(()) } else { Err(problems) }
}

impl Preprocessor<'_> {
    /// The definitions of one text; conditionals end where they began.
    fn definitions(&mut self, definitions: &[CDefinition]) {
        let outside = self.branches.len();
        for definition in definitions {
            let result = self.definition(definition, outside);
            match result {
                Ok(()) => {}
                Err(Problem::Wrong(diagnostic)) => self.problems.diagnostics.push(diagnostic),
                Err(Problem::Beyond(diagnostic)) => {
                    self.problems.beyond = true;
                    self.problems.diagnostics.push(diagnostic);
                }
            }
        }
        let open = self
            .branches
            .drain(outside..)
            .map(|branch| Diagnostic::error("c-syntax", branch.opened, "this has no #endif"));
        self.problems.diagnostics.extend(open);
    }

    fn definition(&mut self, definition: &CDefinition, outside: usize) -> Result<(), Problem> {
        let CDefinitionKind::Preprocessor(directive) = &definition.kind else {
            if !self.active() {
                return Ok(());
            }
            return Ok(self.reader.definition(Text { text: &definition.text, span: definition.span })?);
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
            "elif" | "else" | "endif" if self.branches.len() <= outside => {
                let message = format!("#{directive} without #if");
                return Err(Problem::Wrong(Diagnostic::error("c-syntax", definition.span, message)));
            }
            "elif" => {
                let wanted = self.branches.last().is_some_and(|branch| !branch.taken);
                let condition = wanted && self.condition(rest)?;
                self.switch(condition);
            }
            "else" => self.switch(true),
            "endif" => _ = self.branches.pop(),
            _ if !self.active() => {}
            "define" => self.define(rest)?,
            "undef" => _ = self.reader.types.macros.remove(rest.text.trim()),
            "include" => self.include(definition.span, rest.text)?,
            "error" => {
                let message = format!("#error {}", rest.text);
                return Err(Problem::Wrong(Diagnostic::error("c-error", definition.span, message)));
            }
            "" => {}
            "pragma" if rest.text == "once" => {}
            other => {
                let message = format!("#{other} needs a C compiler");
                return Err(Problem::Beyond(Diagnostic::error("needs-libclang", definition.span, message)));
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

    fn switch(&mut self, condition: bool) {
        let Some(branch) = self.branches.last_mut() else { return };
        branch.active = !branch.taken && condition;
        branch.taken |= condition;
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
                types.macros.insert(name.to_owned(), Macro::constant("1", text.span));
            }
        }
        let scope = Scope { unknown_is_zero: true, ..Scope::new(&types, self.reader.info) };
        Ok(constants::evaluate(&expression, scope)? != 0)
    }

    fn define(&mut self, rest: Text) -> Result<(), Diagnostic> {
        let (name, found) = parse_define(rest.text, rest.span)?;
        self.reader.types.macros.insert(name, found);
        Ok(())
    }

    /// Headers that only define what this reader knows are read here, and those that are known by
    /// heart need not be.
    fn include(&mut self, span: Span, text: &str) -> Result<(), Problem> {
        let beyond = |message: String| Problem::Beyond(Diagnostic::error("needs-libclang", span, message));
        let (name, quoted) = match text.as_bytes() {
            [b'"', .., b'"'] => (text.trim_matches('"'), true),
            [b'<', .., b'>'] => (text.trim_matches(['<', '>']), false),
            _ => return Err(beyond(format!("#include {text} is not understood"))),
        };
        let known = known_headers::macros(name);
        if let Some(macros) = known {
            for (name, value) in macros {
                self.reader.types.macros.insert((*name).to_owned(), Macro::constant(value, span));
            }
            return Ok(());
        }
        let header = self.header(name, quoted, span);
        if header.is_none() && self.around.is_described(name) {
            self.problems.beyond = true;
            let message = format!("{name} was not read: the kernel's types are known without it, its macros are not");
            self.problems.diagnostics.push(Diagnostic::warning("needs-libclang", span, message));
            return Ok(());
        }
        let (path, script) = header.ok_or_else(|| beyond(format!("{name} can only be read with libclang")))?;
        if self.once.contains(&path) {
            return Ok(());
        }
        if self.depth >= DEEPEST {
            return Err(Problem::Wrong(Diagnostic::error("invalid-include", span, "headers are nested too deeply")));
        }
        let once = |definition: &CDefinition| definition.text.trim_start_matches(['#', ' ']) == "pragma once";
        if script.c_definitions.iter().any(once) {
            self.once.insert(path);
        }
        self.depth += 1;
        self.definitions(&script.c_definitions);
        self.depth -= 1;
        Ok(())
    }

    /// A header that holds nothing but definitions in the language's own form.
    fn header(&self, name: &str, quoted: bool, span: Span) -> Option<(PathBuf, Script)> {
        let around = self.around;
        let own = quoted.then(|| around.sources.get(span.source).map(|source| source.folder())).flatten();
        let folders = own.into_iter().chain(around.include_dirs.iter().map(PathBuf::as_path));
        let files = around.info.files();
        let found =
            folders.map(|folder| folder.join(name)).find(|path| files.find(path).is_some_and(|it| !it.is_folder))?;
        let text = files.read(&found).ok()?;
        let source = around.sources.attach(found.display().to_string(), text.as_str());
        let script = syntax::parse(&text, source).ok()?;
        let only_definitions = script.items.is_empty() && script.imports.is_empty() && script.config.is_none();
        only_definitions.then(|| (absolute(&found), script))
    }
}

/// A macro from what stands behind `#define`; `at` is where that is.
pub fn parse_define(text: &str, at: Span) -> Result<(String, Macro), Diagnostic> {
    let length = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, value) = text.split_at(length);
    if name.is_empty() {
        return Err(Diagnostic::error("c-syntax", at, "expected a name after #define"));
    }
    let (parameters, value) = match value.strip_prefix('(') {
        None => (None, value),
        Some(list) => {
            let (list, value) = list
                .split_once(')')
                .ok_or_else(|| Diagnostic::error("c-syntax", at, format!("the parameters of {name} have no end")))?;
            let names = list.split(',').map(|parameter| parameter.trim().to_owned());
            (Some(names.filter(|parameter| !parameter.is_empty()).collect()), value)
        }
    };
    let value = value.trim_start();
    let start = at.start + (text.len() - value.len()) as u32;
    let span = Span { start, end: start + value.len() as u32, ..at };
    Ok((name.to_owned(), Macro { parameters, text: joined(value), span, place: None }))
}

fn absolute(path: &Path) -> PathBuf {
    path.components().collect()
}

/// A text of several lines as one.
fn joined(text: &str) -> String {
    // Same length, so that places stay right.
    text.replace("\\\r\n", "   ").replace("\\\n", "  ")
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

/// A comment at a directive's end is no part of it.
fn without_comment(text: &str) -> &str {
    let cut = text.find("//").into_iter().chain(text.find("/*")).min();
    match cut {
        Some(at) if !text.get(..at).unwrap_or_default().contains('"') => text.get(..at).unwrap_or(text).trim_end(),
        _ => text.trim_end(),
    }
}
