//! One structured diagnostic: a stable id, a message, the places it speaks of, and the way out.
//!
//! Passes make [`Diagnostic`]s; [`render`] turns them into text for a terminal or a traceback.

pub mod render;

use std::borrow::Cow;
use std::path::Path;
use std::sync::OnceLock;

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
    /// What the compiler has read on its way ([`Sources::attach`]): a list, so that a text stays
    /// where it is while others refer to it.
    attached: OnceLock<Box<Attached>>,
}

#[derive(Clone, Debug)]
struct Attached {
    source: Source,
    next: OnceLock<Box<Attached>>,
}

/// One text and what it is called: `In [7]`, `stdin`, `opensnoop.bt`.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: String,
    pub text: String,
    /// So many bytes at its start are no script: a cell's magics. Places may lie there nevertheless.
    pub head: usize,
}

impl Source {
    /// The folder that paths in it start from; empty for the current one.
    pub fn folder(&self) -> &Path {
        Path::new(&self.name).parent().unwrap_or(Path::new(""))
    }

    /// What is to be parsed: the text, with blanks for what is no script, so that positions stay.
    pub fn script(&self) -> Cow<'_, str> {
        match self.text.split_at_checked(self.head) {
            Some((head, script)) if !head.is_empty() => {
                let blank = |byte| if byte == b'\n' { '\n' } else { ' ' };
                Cow::Owned(head.bytes().map(blank).chain(script.chars()).collect())
            }
            _ => Cow::Borrowed(&self.text),
        }
    }
}

impl Sources {
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        self.add_behind(0, name, text)
    }

    /// As [`Sources::add`], for a text whose first `head` bytes are no script.
    pub fn add_behind(&mut self, head: usize, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        let mut attached = self.attached.take();
        while let Some(one) = attached {
            self.files.push(one.source);
            attached = one.next.into_inner();
        }
        self.files.push(Source { name: name.into(), text: text.into(), head });
        SourceId(self.files.len() as u32 - 1)
    }

    /// Adds a text that compilation came upon: an imported or included file.
    pub fn attach(&self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        let source = Source { name: name.into(), text: text.into(), head: 0 };
        let mut new = Box::new(Attached { source, next: OnceLock::new() });
        let mut index = self.files.len() as u32;
        let mut place = &self.attached;
        loop {
            match place.get() {
                Some(taken) => place = &taken.next,
                None => match place.set(new) {
                    Ok(()) => return SourceId(index),
                    // Another thread was faster.
                    Err(back) => {
                        new = back;
                        continue;
                    }
                },
            }
            index += 1;
        }
    }

    pub fn get(&self, id: SourceId) -> Option<&Source> {
        let index = id.0 as usize;
        let Some(mut behind) = index.checked_sub(self.files.len()) else { return self.files.get(index) };
        let mut attached = self.attached.get()?;
        while behind > 0 {
            attached = attached.next.get()?;
            behind -= 1;
        }
        Some(&attached.source)
    }

    /// How many texts there are.
    pub fn count(&self) -> usize {
        let mut count = self.files.len();
        let mut place = &self.attached;
        while let Some(one) = place.get() {
            count += 1;
            place = &one.next;
        }
        count
    }

    /// All scripts, in the order in which they were added.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|source| source.text.get(source.head..).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_script_is_blank() {
        let mut sources = Sources::default();
        let id = sources.add_behind(9, "In [1]", "%opt ü\n\nbegin { }");
        assert_eq!(sources.get(id).unwrap().script(), "       \n\nbegin { }");
    }

    #[test]
    fn attached_texts_keep_their_numbers() {
        let mut sources = Sources::default();
        let cell = sources.add("In [1]", "cell");
        let first = sources.attach("a/x.bt", "first");
        let second = sources.attach("y.h", "second");
        let name = |sources: &Sources, id| sources.get(id).map(|source| source.name.clone());
        assert_eq!(name(&sources, second).as_deref(), Some("y.h"));
        assert_eq!(sources.count(), 3);
        let later = sources.clone().add("In [2]", "");
        sources.add("In [2]", "");
        assert_eq!((cell.0, first.0, second.0, later.0), (0, 1, 2, 3));
        assert_eq!(name(&sources, first).as_deref(), Some("a/x.bt"));
        assert_eq!(name(&sources, SourceId(4)), None);
        assert_eq!(sources.get(first).map(Source::folder), Some(Path::new("a")));
    }
}
