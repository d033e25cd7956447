//! Definitions that only a C compiler understands: headers of the system, and C beyond this grammar.
//!
//! The compiler reads the texts of the definitions. What it finds missing is given to it from the
//! kernel's types and those of earlier cells, until nothing more can be given.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::c_compiler::{CDeclarations, CField, CMacro, CPlace, CProblem, CStructure, CUnit};
use crate::diagnostics::{Diagnostic, Severity};
use crate::kernel_info::Unavailable;
use crate::semantics::c_sources::VMLINUX;
use crate::syntax::ast::{CDefinition, CDefinitionKind, Span};
use crate::types::StructType;

use super::c_text::Prelude;
use super::preprocessor::{self, HAVE_BTF};
use super::{CTypes, Structure, Surroundings, layout};

/// How often what is missing is looked up: one type's members may need the next.
const MOST_ATTEMPTS: usize = 24;
/// Errors and warnings that are shown of one text.
const MOST_PROBLEMS: usize = 8;

/// Reads definitions with the compiler; gives what is wrong, or warnings if all is well.
///
/// # Errors
///
/// There is no compiler.
pub fn read(
    definitions: &[CDefinition],
    types: &mut CTypes,
    around: &Surroundings,
) -> Result<Vec<Diagnostic>, Unavailable> {
    let text = Text::of(definitions);
    let mut unit = text.unit(around, definitions);
    let declarations = complete(&mut unit, types, around)?;
    let mut told = text.problems(&declarations.problems, around);
    if told.is_empty() {
        told.extend(unit.absent.iter().map(|header| text.absent(header, definitions)));
        take(declarations, types, &text);
    }
    Ok(told)
}

/// Lets the compiler read a text until nothing is missing that could be given.
///
/// # Errors
///
/// There is no compiler.
pub fn complete(unit: &mut CUnit, types: &CTypes, around: &Surroundings) -> Result<CDeclarations, Unavailable> {
    let mut prelude = Prelude::new(types, around.info);
    let mut asked = BTreeSet::new();
    let mut declarations = around.info.c_compiler().read(unit)?;
    for _ in 0..MOST_ATTEMPTS {
        let mut found = false;
        for problem in declarations.problems.iter().filter(|problem| problem.is_error) {
            if let Some(header) = absent_header(&problem.message)
                && (around.is_described(header) || unit.for_bpf && header == VMLINUX)
                && !unit.absent.iter().any(|known| known == header)
            {
                unit.absent.push(header.to_owned());
                found = true;
            }
            for name in missing(&problem.message) {
                found |= asked.insert(name.to_owned()) && prelude.add(name);
            }
        }
        if !found {
            break;
        }
        prelude.text().clone_into(&mut unit.prelude);
        declarations = around.info.c_compiler().read(unit)?;
    }
    Ok(declarations)
}

/// Clang's words for a header that is not there.
fn absent_header(message: &str) -> Option<&str> {
    message.strip_suffix("' file not found")?.strip_prefix('\'')
}

/// The names that clang's message says are unknown or incomplete.
fn missing(message: &str) -> Vec<&str> {
    let quoted = message.split('\'').skip(1).step_by(2);
    if message.starts_with("unknown type name") || message.starts_with("use of undeclared identifier") {
        return quoted.take(1).collect();
    }
    if !message.contains("incomplete") {
        return Vec::new();
    }
    let name = |text: &'_ str| -> Option<usize> {
        let rest = text.strip_prefix("const ").unwrap_or(text);
        ["struct ", "union ", "enum "].iter().any(|keyword| rest.starts_with(keyword)).then(|| text.len() - rest.len())
    };
    quoted
        .filter_map(|text| text.get(name(text)?..))
        .map(|text| text.split(['[', '*']).next().unwrap_or(text).trim())
        .collect()
}

/// A structure as the language has it.
pub fn structure_of(one: &CStructure) -> StructType {
    let field = |field: &CField| layout::field(&field.name, field.ty.clone(), field.bit_offset, field.bits);
    StructType { name: one.name.clone(), size: one.size, fields: one.fields.iter().map(field).collect() }
}

/// Takes over what the compiler has found.
fn take(declarations: CDeclarations, types: &mut CTypes, text: &Text) {
    types.declared.extend(declarations.declared);
    for one in declarations.structures {
        let info = Arc::new(structure_of(&one));
        types.declared.insert(one.name.clone());
        types.structures.insert(one.name, Structure { info, align: one.align });
    }
    for one in declarations.enums {
        types.forget_enum(&one.name);
        let info = Arc::new(one);
        for (constant, value) in &info.variants {
            types.constants.insert(constant.clone(), (Arc::clone(&info), *value));
        }
        if !info.name.is_empty() {
            types.enums.insert(info.name.clone(), info);
        }
    }
    types.typedefs.extend(declarations.typedefs);
    for CMacro { text: macro_text, place } in declarations.macros {
        let (span, shown) = match &place {
            CPlace::Text(start, end) => (text.span(*start, *end), None),
            CPlace::File { path, line, column, .. } => {
                (text.whole, Some(format!("{}:{line}:{column}", path.display())))
            }
            CPlace::Nowhere => continue,
        };
        if let Ok((name, mut found)) = preprocessor::parse_define(&macro_text, span) {
            found.place = shown;
            types.macros.insert(name, found);
        }
    }
}

/// Definitions put together, and where each of them comes from.
struct Text {
    text: String,
    /// Where a piece begins in the text, and its place.
    pieces: Vec<(u32, Span)>,
    whole: Span,
}

impl Text {
    fn of(definitions: &[CDefinition]) -> Text {
        let mut text = String::new();
        let mut pieces = Vec::new();
        for definition in definitions {
            pieces.push((text.len() as u32, definition.span));
            text.push_str(&definition.text);
            let is_directive = matches!(definition.kind, CDefinitionKind::Preprocessor(_));
            text.push_str(if is_directive || definition.text.ends_with(';') { "\n" } else { ";\n" });
        }
        let whole = definitions.first().map_or(Span::NOWHERE, |first| first.span);
        Text { text, pieces, whole }
    }

    fn unit(&self, around: &Surroundings, definitions: &[CDefinition]) -> CUnit {
        let source = definitions.last().and_then(|last| around.sources.get(last.span.source));
        CUnit {
            text: self.text.clone(),
            folder: source.map(|source| source.folder().to_owned()).unwrap_or_default(),
            include_dirs: around.include_dirs.to_vec(),
            defined: if around.have_btf() { vec![HAVE_BTF.to_owned()] } else { Vec::new() },
            ..CUnit::default()
        }
    }

    /// The place in a script that a place in the text comes from.
    fn span(&self, start: u32, end: u32) -> Span {
        let index = self.pieces.partition_point(|(begin, _)| *begin <= start);
        let Some((begin, span)) = index.checked_sub(1).and_then(|index| self.pieces.get(index)) else {
            return self.whole;
        };
        let start = (span.start + (start - begin)).min(span.end);
        Span {
            start,
            end: (start + end.saturating_sub(begin + (start - span.start))).min(span.end).max(start),
            ..*span
        }
    }

    fn problems(&self, problems: &[CProblem], around: &Surroundings) -> Vec<Diagnostic> {
        let shown = problems.iter().filter(|problem| problem.is_error).take(MOST_PROBLEMS);
        shown.map(|problem| self.diagnostic(problem, around)).collect()
    }

    fn diagnostic(&self, problem: &CProblem, around: &Surroundings) -> Diagnostic {
        let id = if absent_header(&problem.message).is_some() { "unknown-header" } else { "c-error" };
        let span = span_of(&problem.place, self.whole, around, |start, end| self.span(start, end));
        let diagnostic = Diagnostic::error(id, span, problem.message.clone());
        match id {
            "unknown-header" => diagnostic.hint("install the package that has it, or name its folder with -I"),
            _ => diagnostic,
        }
    }

    /// Tells that a kernel header was passed over.
    fn absent(&self, header: &str, definitions: &[CDefinition]) -> Diagnostic {
        let names = |definition: &&CDefinition| definition.text.contains(header);
        let span = definitions.iter().find(names).map_or(self.whole, |definition| definition.span);
        let message = format!("{header} was not found; the kernel's types are known without it, its macros are not");
        let diagnostic =
            Diagnostic { severity: Severity::Warning, ..Diagnostic::error("unknown-header", span, message) };
        diagnostic.hint("the headers of this kernel come with the package linux-headers-$(uname -r)")
    }
}

/// Where a place is among the sources, which the text of a header is added to; `whole` stands for what
/// has none.
pub fn span_of(place: &CPlace, whole: Span, around: &Surroundings, in_text: impl Fn(u32, u32) -> Span) -> Span {
    match place {
        CPlace::Text(start, end) => in_text(*start, *end),
        CPlace::Nowhere => whole,
        CPlace::File { path, start, end, .. } => match around.info.files().read(path) {
            Ok(text) => {
                let source = around.sources.attach(path.display().to_string(), text);
                Span { source, start: *start, end: *end }
            }
            Err(_) => whole,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clang_tells_what_is_missing() {
        assert_eq!(missing("unknown type name 'u64'"), ["u64"]);
        assert_eq!(missing("use of undeclared identifier 'TASK_COMM_LEN'"), ["TASK_COMM_LEN"]);
        assert_eq!(missing("field has incomplete type 'struct task_struct'"), ["struct task_struct"]);
        assert_eq!(missing("incomplete definition of type 'const struct x'"), ["struct x"]);
        assert_eq!(missing("array has incomplete element type 'struct x[2]'"), ["struct x"]);
        assert!(missing("redefinition of 'x'").is_empty());
        assert_eq!(absent_header("'linux/no.h' file not found"), Some("linux/no.h"));
    }

    #[test]
    fn places_in_the_text_are_places_in_the_script() {
        let source = crate::syntax::ast::SourceId(3);
        let definition = |start, text: &str| CDefinition {
            span: Span { source, start, end: start + text.len() as u32 },
            kind: CDefinitionKind::Typedef,
            text: text.to_owned(),
        };
        let text = Text::of(&[definition(10, "typedef int a;"), definition(40, "typedef int b;")]);
        assert_eq!(text.text, "typedef int a;\ntypedef int b;\n");
        assert_eq!(text.span(8, 11), Span { source, start: 18, end: 21 });
        assert_eq!(text.span(27, 28), Span { source, start: 52, end: 53 });
        assert_eq!(text.span(500, 501), Span { source, start: 54, end: 54 });
    }
}
