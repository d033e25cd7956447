//! Diagnostics written into a script: a comment of carets under the place that they speak of.
//!
//! ```text
//! begin { print($x); }
//! //            ^^ undefined variable
//! ```
//!
//! The carets give the columns, the text must be part of the message. `^^ warning: …` speaks of a
//! warning. The comment is taken out of the script before it is run.

/// A diagnostic that must be given.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    pub severity: Severity,
    /// In the script without its notes, from 1.
    pub line: usize,
    /// The first column, from 1, and the one past the last.
    pub columns: (usize, usize),
    pub text: String,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Severity {
    Error,
    Warning,
}

impl Note {
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// How bpftrace's form of the diagnostic begins for a script given by `-e`.
    pub fn head(&self, source: &str) -> String {
        let severity = if self.is_error() { "ERROR" } else { "WARNING" };
        format!("{source}:{}:{}-{}: {severity}: ", self.line, self.columns.0, self.columns.1)
    }
}

/// The script without its notes, and the notes.
pub fn split(text: &str) -> (String, Vec<Note>) {
    let mut lines: Vec<&str> = Vec::new();
    let mut notes = Vec::new();
    for line in text.lines() {
        match note(line, lines.len()) {
            Some(note) => notes.push(note),
            None => lines.push(line),
        }
    }
    (lines.join("\n"), notes)
}

/// The note that a line is, speaking of the script's line of that number.
fn note(line: &str, number: usize) -> Option<Note> {
    let carets = line.trim_start().strip_prefix("//")?.trim_start();
    if !carets.starts_with('^') {
        return None;
    }
    let start = line.chars().count() - carets.chars().count();
    let text = carets.trim_start_matches('^');
    let width = carets.len() - text.len();
    let text = text.trim();
    let (severity, text) = match text.strip_prefix("warning:") {
        Some(text) => (Severity::Warning, text.trim_start()),
        None => (Severity::Error, text),
    };
    Some(Note { severity, line: number, columns: (start + 1, start + width + 1), text: text.into() })
}

#[test]
fn notes_are_taken_out_of_the_script() {
    let (script, notes) = split("begin {\n  print($x);\n//      ^^ no such thing\n  // kept\n}");
    assert_eq!(script, "begin {\n  print($x);\n  // kept\n}");
    let text = "no such thing".to_owned();
    assert_eq!(notes, [Note { severity: Severity::Error, line: 2, columns: (9, 11), text }]);
    assert_eq!(notes[0].head("stdin"), "stdin:2:9-11: ERROR: ");
}

#[test]
fn a_note_may_be_a_warning() {
    let (_, notes) = split("begin { 1 }\n//      ^ warning: discarded");
    assert_eq!(notes[0].head("stdin"), "stdin:1:9-10: WARNING: ");
    assert_eq!(notes[0].text, "discarded");
}
