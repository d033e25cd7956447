//! Diagnostics as Jupyter shows them: one error message, a source excerpt with carets.

use std::ops::Range;

use probebook_compiler::diagnostics::{Diagnostic, Sources, render};
use probebook_compiler::syntax::ast::Span;

use crate::jupyter::ErrorReport;

/// So many errors are shown of a cell; those that follow are often consequences.
const SHOWN: usize = 10;

/// One error message for all diagnostics of a cell.
pub fn report(diagnostics: &[Diagnostic], sources: &Sources) -> ErrorReport {
    let errors: Vec<&Diagnostic> = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).collect();
    let first = errors.first();
    let text = |diagnostic: &&Diagnostic| render::to_text(diagnostic, sources, true).trim_end().to_string();
    let more = errors.len().saturating_sub(SHOWN);
    let rest = (more > 0).then(|| format!("and {more} more errors"));
    ErrorReport {
        ename: first.map_or("error", |diagnostic| diagnostic.id).to_string(),
        evalue: first.map_or(String::new(), |diagnostic| match sources.get(diagnostic.primary.span.source) {
            Some(_) => format!("{}: {}", sources.label(diagnostic.primary.span), diagnostic.message),
            None => diagnostic.message.clone(),
        }),
        traceback: errors.iter().take(SHOWN).map(text).chain(rest).collect(),
    }
}

/// A failure of a magic, pointed at in the cell.
pub fn magic(kind: &'static str, message: &str, place: &Range<usize>, (label, code): (&str, &str)) -> ErrorReport {
    let mut sources = Sources::default();
    let source = sources.add(label, code);
    let span = Span { source, start: place.start as u32, end: place.end as u32 };
    report(&[Diagnostic::error(kind, span, message)], &sources)
}

/// A failure that has no place in the script.
pub fn plain(kind: &str, message: &str) -> ErrorReport {
    ErrorReport {
        ename: kind.to_string(),
        evalue: message.to_string(),
        traceback: vec![format!("\x1b[1;31m{kind}\x1b[0m: {message}")],
    }
}

/// Warnings, as text for standard error.
pub fn warnings(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    diagnostics.iter().map(|diagnostic| render::to_text(diagnostic, sources, true) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_warning_has_lines_of_its_own() {
        let mut sources = Sources::default();
        let source = sources.add("In [1]", "begin { }");
        let warning = Diagnostic::warning("first", Span { source, start: 0, end: 5 }, "first");
        let text = warnings(&[warning.clone(), warning], &sources);
        assert_eq!(text.lines().filter(|line| line.contains("warning")).count(), 2, "{text}");
        assert!(text.ends_with('\n'));
    }
}
