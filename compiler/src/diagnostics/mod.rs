//! One structured diagnostic: a stable id, a message, the places it speaks of, and the way out.
//!
//! Passes make [`Diagnostic`]s; [`render`] turns them into text for a terminal or a traceback.

pub mod render;

use crate::syntax::ast::{SourceId, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// A message about a script, with carets on every involved place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Stable and kebab-case: `unknown-probe`.
    pub id: &'static str,
    pub message: String,
    pub primary: Label,
    pub secondary: Vec<Label>,
    /// The way out, where one is known.
    pub hint: Option<String>,
}

/// A place, and what is to be said of it (may be empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

impl Diagnostic {
    pub fn error(id: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, id, span, message.into())
    }

    pub fn warning(id: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, id, span, message.into())
    }

    fn new(severity: Severity, id: &'static str, span: Span, message: String) -> Self {
        let primary = Label { span, text: String::new() };
        Self { severity, id, message, primary, secondary: Vec::new(), hint: None }
    }

    /// What stands beside the carets of the main place.
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.primary.text = text.into();
        self
    }

    /// A further place, such as the first definition.
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = Some(text.into());
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The texts that spans point into: the cell, earlier cells, imported files.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

/// One text and what it is called: `In [7]`, `stdin`, `opensnoop.bt`.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: String,
    pub text: String,
}

impl Sources {
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        self.files.push(Source { name: name.into(), text: text.into() });
        SourceId(self.files.len() as u32 - 1)
    }

    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.files.get(id.0 as usize)
    }

    /// Line and column of a span's start, both from 1; columns count characters.
    pub fn position(&self, span: Span) -> (usize, usize) {
        let text = self.get(span.source).map_or("", |s| s.text.as_str());
        let start = (span.start as usize).min(text.len());
        let before = text.get(..start).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }

    /// `name:line:column` of a span's start.
    pub fn label(&self, span: Span) -> String {
        let (line, column) = self.position(span);
        let name = self.get(span.source).map_or("?", |s| s.name.as_str());
        format!("{name}:{line}:{column}")
    }
}
