//! What is being written at a place of an unfinished script, for completion and inspection.

use super::delimiters::{self, Unterminated};

/// What a script is at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'t> {
    /// Where probes and definitions begin.
    Outside,
    /// In a string or in a comment.
    Text,
    /// Statements and expressions.
    Code {
        /// The attach points, as they are written, of the probe that the place belongs to; what
        /// stands before the braces of other definitions.
        header: &'t str,
        /// The name of the function between whose parentheses the place lies.
        call: Option<&'t str>,
    },
}

/// What `text` is at byte `at`; what follows there is not looked at.
pub fn place(text: &str, at: usize) -> Place<'_> {
    let scan = delimiters::scan(text, at);
    match scan.unterminated {
        Some(Unterminated::String { start, .. } | Unterminated::Comment { start }) if start < at => return Place::Text,
        _ => {}
    }
    let code = |header_end: usize| Place::Code {
        header: text.get(scan.item..header_end).unwrap_or_default().trim(),
        call: scan.open.iter().rev().find_map(|(open, start)| called(text, *open, *start)),
    };
    let predicate = predicate(text, scan.item, at);
    match scan.open.iter().find(|(open, _)| *open == '{') {
        Some((_, brace)) => code(predicate.unwrap_or(*brace).min(*brace)),
        None => predicate.map_or(Place::Outside, code),
    }
}

/// The slash that opens the predicate of a probe that begins at `item`: within attach points, no
/// slash follows a blank.
fn predicate(text: &str, item: usize, at: usize) -> Option<usize> {
    let header = text.get(item..at)?;
    let header = header.split('{').next()?;
    let slash = header.match_indices('/').map(|(slash, _)| slash);
    let blank_before = |slash: &usize| {
        header.get(..*slash).is_some_and(|before| before.ends_with([' ', '\t', '\n', '\r']))
            && !header.get(slash + 1..).is_some_and(|after| after.starts_with(['/', '*']))
    };
    slash.into_iter().find(blank_before).map(|slash| item + slash)
}

/// The name in front of a parenthesis.
fn called(text: &str, open: char, start: usize) -> Option<&str> {
    let before = text.get(..start).filter(|_| open == '(')?.trim_end();
    let word = before.len() - before.chars().rev().take_while(|c| c.is_alphanumeric() || *c == '_').count();
    before.get(word..).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_end(text: &str) -> Place<'_> {
        place(text, text.len())
    }

    fn code<'t>(header: &'t str, call: Option<&'t str>) -> Place<'t> {
        Place::Code { header, call }
    }

    #[test]
    fn actions_and_predicates_belong_to_their_attach_points() {
        assert_eq!(at_end("begin { pri"), code("begin", None));
        assert_eq!(at_end("begin { } trac"), Place::Outside);
        assert_eq!(at_end("begin { printf(\"}\"); pri"), code("begin", None));
        assert_eq!(at_end("begin {} k:a, uprobe:/bin/sh:f { if (x) { "), code("k:a, uprobe:/bin/sh:f", None));
        assert_eq!(at_end("tracepoint:a:b /args."), code("tracepoint:a:b", None));
        assert_eq!(at_end("tracepoint:a:b /pid == 1/ { args."), code("tracepoint:a:b", None));
        assert_eq!(at_end("uprobe:/bin/sh:rea"), Place::Outside);
    }

    #[test]
    fn calls_are_found_from_between_their_parentheses() {
        assert_eq!(at_end("begin { print(strftime(\"%H\", "), code("begin", Some("strftime")));
        assert_eq!(at_end("begin { print(@a[1, (2"), code("begin", Some("print")));
        assert_eq!(at_end("begin { print(1); "), code("begin", None));
    }

    #[test]
    fn strings_and_comments_are_text() {
        assert_eq!(at_end("begin { printf(\"abc"), Place::Text);
        assert_eq!(at_end("begin { /* pri"), Place::Text);
    }
}
