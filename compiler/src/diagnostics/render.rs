//! Diagnostics as text: with carets, for a traceback or a terminal, and in bpftrace's own form.
//!
//! A script's text is not trusted with the terminal: control characters in it, in names and in
//! messages come out as visible signs.

use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Label, Severity, Source, Sources};
use crate::syntax::ast::Span;

/// Blanks that a tab becomes in bpftrace's form.
const TAB: &str = "    ";

/// The diagnostic with the lines it speaks of and carets under them, as rustc draws them:
///
/// ```text
/// error[unknown-variable]: there is no `$x`
///  --> In [7]:2:14
///   |
/// 2 |   printf("%d", $x);
///   |                ^^ used here
///   |
///   = help: …
/// ```
pub fn to_text(diagnostic: &Diagnostic, sources: &Sources, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(visible(&diagnostic.message)).id(diagnostic.id);
    let mut group = Group::with_title(title);
    for snippet in snippets(diagnostic, sources) {
        group = group.element(snippet);
    }
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.message(visible(hint)));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}

/// One snippet for each source that the diagnostic speaks of, the main place's first.
fn snippets<'a>(
    diagnostic: &'a Diagnostic,
    sources: &'a Sources,
) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let primary = diagnostic.primary.span.source;
    let mut ids = vec![primary];
    for label in &diagnostic.secondary {
        if !ids.contains(&label.span.source) {
            ids.push(label.span.source);
        }
    }
    let mut snippets = Vec::new();
    for id in ids {
        let Some(source) = sources.get(id) else {
            continue;
        };
        let mut snippet = Snippet::source(same_length(&source.text)).path(visible(&source.name).into_owned());
        if id == primary {
            snippet = snippet.annotation(annotation(AnnotationKind::Primary, &diagnostic.primary, &source.text));
        }
        for label in diagnostic.secondary.iter().filter(|label| label.span.source == id) {
            let kind = if id == primary { AnnotationKind::Context } else { AnnotationKind::Primary };
            snippet = snippet.annotation(annotation(kind, label, &source.text));
        }
        snippets.push(snippet);
    }
    snippets
}

fn annotation<'a>(kind: AnnotationKind, label: &'a Label, text: &str) -> annotate_snippets::Annotation<'a> {
    let annotation = kind.span(within(label.span, text));
    if label.text.is_empty() { annotation } else { annotation.label(visible(&label.text)) }
}

/// The diagnostic as bpftrace prints it on stderr, each line with its end:
///
/// ```text
/// stdin:1:9-12: ERROR: message
/// begin { abc }
///         ~~~
/// HINT: …
/// ```
///
/// Secondary places follow in the same form. Lines and columns count from 1, columns count
/// characters; a place of several lines has `first-last` for both and no marks.
/// (bpftrace: `src/ast/location.cpp`, `src/ast/diagnostic.cpp`, `src/log.cpp`.)
pub fn to_bpftrace_text(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let severity = match diagnostic.severity {
        Severity::Error => "ERROR",
        Severity::Warning => "WARNING",
    };
    let mut text = String::new();
    place(&mut text, severity, diagnostic.primary.span, &diagnostic.message, sources);
    for label in &diagnostic.secondary {
        place(&mut text, severity, label.span, &label.text, sources);
    }
    if let Some(hint) = &diagnostic.hint {
        line(&mut text, format_args!("HINT: {}", visible(hint)));
    }
    text
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

fn place(out: &mut String, severity: &str, span: Span, message: &str, sources: &Sources) {
    let message = visible(message);
    let Some(source) = sources.get(span.source) else {
        return line(out, format_args!("{severity}: {message}"));
    };
    let name = visible(&source.name);
    let bytes = within(span, &source.text);
    let (first, last) = (line_at(source, bytes.start), line_at(source, bytes.end));
    if first.number != last.number {
        let (from, to) = (first.number, last.number);
        line(out, format_args!("{name}:{from}-{to}: {severity}: {message}"));
        let end = last.start + last.text.len();
        let lines = source.text.get(first.start..end).unwrap_or_default();
        let shown = lines.lines().take(MOST_LINES).map(|shown| beginning(shown, LONG));
        shown
            .chain((to - from >= MOST_LINES).then(|| CUT.into()))
            .for_each(|shown| line(out, format_args!("{}", visible(&shown))));
        return;
    }
    let columns = |end: usize| first.text.get(..end - first.start).unwrap_or_default();
    let (before, through) = (columns(bytes.start), columns(bytes.end));
    let (from, to) = (before.chars().count() + 1, through.chars().count() + 1);
    line(out, format_args!("{name}:{}:{from}-{to}: {severity}: {message}", first.number));
    let marked = through.get(before.len()..).unwrap_or_default();
    let after = first.text.get(through.len()..).unwrap_or_default();
    let (before, marked, after) = match first.text.len() > LONG {
        true => (end(before, LONG / 4), beginning(marked, LONG / 4), beginning(after, LONG / 4)),
        false => (before.into(), marked.into(), after.into()),
    };
    line(out, format_args!("{}", visible(&format!("{before}{marked}{after}").replace('\t', TAB))));
    let (blank, marks) = (marks(&before, ' '), marks(&marked, '~'));
    line(out, format_args!("{blank}{marks}"));
}

/// Longer lines are cut, and more are not shown of one place.
const LONG: usize = 1024;
const MOST_LINES: usize = 32;
const CUT: &str = "...";

/// The first characters of a text.
fn beginning(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}{CUT}", text.get(..at).unwrap_or_default()).into(),
        None => text.into(),
    }
}

/// The last characters of a text.
fn end(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().rev().nth(most) {
        Some((at, first)) => format!("{CUT}{}", text.get(at + first.len_utf8()..).unwrap_or_default()).into(),
        None => text.into(),
    }
}

/// One mark for each character of the text, four for a tab.
fn marks(text: &str, mark: char) -> String {
    let width = |c| if c == '\t' { TAB.len() } else { 1 };
    std::iter::repeat_n(mark, text.chars().map(width).sum()).collect()
}

struct Line<'t> {
    number: usize,
    start: usize,
    /// Without its end.
    text: &'t str,
}

/// The line that a byte is in.
fn line_at(source: &Source, at: usize) -> Line<'_> {
    let (before, after) = source.text.split_at(at);
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let end = at + after.find('\n').unwrap_or(after.len());
    let number = before.matches('\n').count() + 1;
    Line { number, start, text: source.text.get(start..end).unwrap_or_default() }
}

/// A span as bytes of its text, whatever it claims: in order, inside, between characters.
fn within(span: Span, text: &str) -> Range<usize> {
    let inside = |at: u32| text.floor_char_boundary(at as usize);
    let (start, end) = (inside(span.start), inside(span.end));
    start..end.max(start)
}

/// Text whose control characters, and those that reorder text, are visible signs. Line ends stay.
fn visible(text: &str) -> Cow<'_, str> {
    let is_harmless = |c: char| c == '\n' || sign_for(c).is_none();
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|c| if c == '\n' { c } else { sign_for(c).unwrap_or(c) }).collect()
}

/// Source text for annotate-snippets, which shows ASCII's controls itself and turns tabs into
/// blanks. The others are replaced by signs of the same length, so that spans keep their meaning.
fn same_length(text: &str) -> Cow<'_, str> {
    let is_foreign = |c: char| !c.is_ascii() && sign_for(c).is_some();
    if !text.contains(is_foreign) {
        return Cow::Borrowed(text);
    }
    let replace = |c: char| match c.len_utf8() {
        _ if !is_foreign(c) => c,
        2 => '·',
        _ => char::REPLACEMENT_CHARACTER,
    };
    text.chars().map(replace).collect()
}

/// The sign for a character that must not reach a terminal.
fn sign_for(character: char) -> Option<char> {
    match character {
        // Unicode has pictures of the ASCII controls, in their order.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(character)),
        '\x7f' => Some('␡'),
        // C1 controls, which some terminals obey; marks that reorder or hide text.
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => Some(char::REPLACEMENT_CHARACTER),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::ast::SourceId;

    fn sources(text: &str) -> Sources {
        let mut sources = Sources::default();
        sources.add("stdin", text);
        sources
    }

    fn span(start: u32, end: u32) -> Span {
        Span { source: SourceId(0), start, end }
    }

    fn error(start: u32, end: u32) -> Diagnostic {
        Diagnostic::error("some-id", span(start, end), "it is wrong")
    }

    #[test]
    fn bpftrace_form_of_one_line() {
        let diagnostic = error(8, 11).hint("do it right").also(span(0, 5), "because of this");
        let text = to_bpftrace_text(&diagnostic, &sources("begin { abc }"));
        assert_eq!(
            text,
            "stdin:1:9-12: ERROR: it is wrong\nbegin { abc }\n        ~~~\n\
             stdin:1:1-6: ERROR: because of this\nbegin { abc }\n~~~~~\nHINT: do it right\n"
        );
    }

    #[test]
    fn bpftrace_form_widens_tabs() {
        let text = to_bpftrace_text(&error(8, 10), &sources("i:s:1\t\t\t$a"));
        let expected = "stdin:1:9-11: ERROR: it is wrong\ni:s:1            $a\n                 ~~\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn bpftrace_form_of_several_lines_and_of_an_end() {
        let sources = sources("a {\n b\n}\n");
        assert_eq!(to_bpftrace_text(&error(2, 8), &sources), "stdin:1-3: ERROR: it is wrong\na {\n b\n}\n");
        assert_eq!(to_bpftrace_text(&error(3, 3), &sources), "stdin:1:4-4: ERROR: it is wrong\na {\n   \n");
    }

    #[test]
    fn bpftrace_form_of_what_is_very_long() {
        let long = format!("{} abc {}", "x".repeat(5000), "y".repeat(5000));
        let text = to_bpftrace_text(&error(5001, 5004), &sources(&long));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "stdin:1:5002-5005: ERROR: it is wrong");
        assert!(lines[1].starts_with("...x") && lines[1].ends_with("y...") && lines[1].len() < LONG, "{text}");
        assert_eq!(lines[1].find("abc"), lines[2].find("~~~"));
        let many = "a\n".repeat(5000);
        let text = to_bpftrace_text(&error(0, 9999), &sources(&many));
        assert!(text.ends_with("a\n...\n") && text.lines().count() == MOST_LINES + 2, "{text}");
    }

    #[test]
    fn carets_stand_under_the_place() {
        let diagnostic = error(9, 11).label("here").hint("do it right");
        let text = to_text(&diagnostic, &sources("begin {\n\tab;\n}"), false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "error[some-id]: it is wrong");
        assert!(lines[1].ends_with("--> stdin:2:2"), "{text}");
        let source = lines.iter().find(|line| line.contains("ab;")).unwrap();
        let carets = lines.iter().find(|line| line.contains("^^ here")).unwrap();
        assert_eq!(source.find("ab"), carets.find("^^"), "{text}");
        assert!(text.contains("help: do it right"), "{text}");
    }

    #[test]
    fn other_cells_have_their_own_excerpt() {
        let mut sources = Sources::default();
        let old = sources.add("In [3]", "begin { @x = count(); }");
        let new = sources.add("In [7]", "begin { @x = 1; }");
        let at = |source, start, end| Span { source, start, end };
        let diagnostic =
            Diagnostic::error("map-type", at(new, 8, 10), "@x is a count").also(at(old, 8, 10), "first used here");
        let text = to_text(&diagnostic, &sources, false);
        assert!(text.contains("In [7]:1:9"), "{text}");
        assert!(text.contains("In [3]:1:9"), "{text}");
        assert!(text.contains("first used here"), "{text}");
    }

    #[test]
    fn nothing_reaches_the_terminal_raw() {
        let hostile = "begin { \x1b[31m\u{9b}31m\u{202e}\x07 x }";
        let mut sources = Sources::default();
        sources.add("a\x1b]0;b\x07", hostile);
        let place = hostile.find('x').unwrap() as u32;
        let diagnostic = Diagnostic::error("some-id", span(place, place + 1), "\x1b[2J\u{9b}2J")
            .label("\x1b[1m")
            .hint("\x1b[1m\u{85}");
        for text in [to_text(&diagnostic, &sources, false), to_bpftrace_text(&diagnostic, &sources)] {
            assert!(!text.contains(|c: char| c != '\n' && sign_for(c).is_some()), "{text:?}");
            assert!(text.contains('␛'), "{text}");
        }
        let colored = to_text(&diagnostic, &sources, true);
        assert!(colored.contains("\x1b["), "{colored:?}");
        assert!(!colored.contains("\x1b[2J") && !colored.contains('\u{9b}'), "{colored:?}");
    }

    #[test]
    fn spans_that_lie_are_bounded() {
        let sources = sources("é");
        for (start, end) in [(0, 9), (1, 1), (7, 3), (1, 2)] {
            to_text(&error(start, end), &sources, false);
            to_bpftrace_text(&error(start, end), &sources);
        }
        let lost = Span { source: SourceId(9), start: 0, end: 1 };
        let lost = Diagnostic::warning("some-id", lost, "it is odd");
        assert_eq!(to_bpftrace_text(&lost, &sources), "WARNING: it is odd\n");
        assert!(to_text(&lost, &sources, false).contains("warning[some-id]: it is odd"));
    }
}
