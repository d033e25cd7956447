//! Whether a text is a whole script, for a frontend that has to decide what Enter means.

use super::ast::SourceId;
use super::parser::parse;

/// What more a text needs to be a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Nothing: it parses.
    Complete,
    /// An end: of a bracket, a comment, a probe. Not of a string, which ends on its line: what is asked about is
    /// whether another line is to follow.
    Incomplete,
    /// A correction: no continuation makes it a script.
    Invalid,
}

/// Diagnostics that more text can cure.
const CURABLE: [&str; 5] =
    ["unclosed-brace", "unclosed-bracket", "unclosed-parenthesis", "unterminated-comment", "unexpected-end"];

/// Tells whether `text` is a script, or could become one if more is typed.
pub fn completeness(text: &str) -> Completeness {
    let Err(diagnostics) = parse(text, SourceId::default()) else {
        return Completeness::Complete;
    };
    let end = text.trim_end().len();
    let curable = diagnostics
        .iter()
        .all(|diagnostic| CURABLE.contains(&diagnostic.id) && diagnostic.primary.span.end as usize >= end);
    if curable { Completeness::Incomplete } else { Completeness::Invalid }
}

#[cfg(test)]
mod tests {
    use super::{Completeness::*, completeness};

    #[test]
    fn scripts_are_told_from_beginnings_and_mistakes() {
        for (text, expected) in [
            ("", Complete),
            ("begin { print(1); }", Complete),
            ("struct Foo { int x; }", Complete),
            ("// just a comment", Complete),
            ("begin {", Incomplete),
            ("begin { print(1);\n", Incomplete),
            ("begin { print(", Incomplete),
            ("begin { @x[1, ", Incomplete),
            ("begin { printf(\"abc", Invalid),
            ("begin { /* abc", Incomplete),
            ("kprobe:vfs_read", Incomplete),
            ("kprobe:vfs_read,\n", Incomplete),
            ("kprobe:vfs_read /pid == 1/", Incomplete),
            ("kprobe:vfs_read /pid ==", Incomplete),
            ("struct Foo { int x;", Incomplete),
            ("config = {", Incomplete),
            ("macro f(a", Incomplete),
            ("begin { if (1)", Incomplete),
            ("begin { $x = ", Incomplete),
            ("begin { 1 + }", Invalid),
            ("begin { printf(\"abc\n); }", Invalid),
            ("begin { } }", Invalid),
            ("begin { 99999999999999999999 }", Invalid),
            ("print(1);", Invalid),
        ] {
            assert_eq!(completeness(text), expected, "{text}");
        }
    }
}
