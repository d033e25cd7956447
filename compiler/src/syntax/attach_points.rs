//! Cuts an attach point into its parts, minding quotes, and puts positional parameters into it.

use super::ast::{AttachPart, AttachPoint, Ident, Span};
use super::builder::Builder;
use super::grammar::Pair;
use crate::diagnostics::Diagnostic;

impl<'i> Builder<'i> {
    pub(super) fn attach_point(&mut self, pair: &Pair<'i>) -> AttachPoint {
        cut(self.span(pair), pair.as_str())
    }
}

/// An attach point with `$1` and its like replaced by the parameters' values. Quoted ones stay as
/// they are; a colon in a value cuts, as it would in the text.
///
/// # Errors
///
/// `invalid-parameter` for a `$` outside quotes that no number from 1 on follows.
pub fn with_parameters(point: &AttachPoint, value: impl Fn(u32) -> String) -> Result<AttachPoint, Box<Diagnostic>> {
    let text = substituted(point, value)?;
    let mut replaced = cut(point.span, &text);
    if text != point.text {
        // The new text is nowhere in the script, so all of it stands where the old one does.
        replaced.parts.iter_mut().for_each(|part| part.span = point.span);
        if let Some(label) = &mut replaced.label {
            label.span = point.span;
        }
    }
    Ok(replaced)
}

/// The point's text with its parameters replaced.
fn substituted(point: &AttachPoint, value: impl Fn(u32) -> String) -> Result<String, Box<Diagnostic>> {
    let mut text = String::with_capacity(point.text.len());
    let mut characters = point.text.char_indices();
    let mut quoted = false;
    while let Some((at, character)) = characters.next() {
        if character == '$' && !quoted {
            let rest = point.text.get(at + 1..).unwrap_or_default();
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let number = rest.get(..digits).unwrap_or_default();
            match number.parse() {
                Ok(index) if !number.starts_with('0') => text.push_str(&value(index)),
                _ => return Err(invalid_parameter(point.span, rest)),
            }
            characters.nth(digits.saturating_sub(1));
            continue;
        }
        text.push(character);
        if character == '"' {
            quoted = !quoted;
        } else if character == '\\' && quoted {
            text.extend(characters.next().map(|(_, escaped)| escaped));
        }
    }
    Ok(text)
}

fn invalid_parameter(span: Span, rest: &str) -> Box<Diagnostic> {
    let next = rest.chars().next().map_or_else(String::new, String::from);
    let message = format!("`${next}` is not a positional parameter");
    let diagnostic = Diagnostic::error("invalid-parameter", span, message)
        .hint(format!("quote the part if a dollar sign is meant: \"${next}\""));
    Box::new(diagnostic)
}

fn cut(span: Span, text: &str) -> AttachPoint {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut part_start = 0;
    let mut quoted = false;
    // Where the first part has its first unquoted `=`: in the text, and in the part.
    let mut label_end = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' if quoted => part.extend(characters.next().map(|(_, escaped)| escaped)),
            ':' if !quoted => {
                parts.push(AttachPart { span: inside(span, part_start, at), text: std::mem::take(&mut part) });
                part_start = at + 1;
            }
            '=' if !quoted && parts.is_empty() && label_end.is_none() => {
                label_end = Some((at, part.len()));
                part.push(character);
            }
            _ => part.push(character),
        }
    }
    parts.push(AttachPart { span: inside(span, part_start, text.len()), text: part });
    let label = label_end.and_then(|(at, length)| split_label(span, at, length, &mut parts));
    AttachPoint { span, label, parts, text: text.to_owned() }
}

/// Takes `name=` off the first part, unless nothing follows it.
fn split_label(span: Span, at: usize, length: usize, parts: &mut [AttachPart]) -> Option<Ident> {
    let first = parts.first_mut()?;
    let provider = first.text.get(length + 1..)?.to_owned();
    if provider.is_empty() {
        return None;
    }
    let name = first.text.get(..length)?.to_owned();
    first.span.start = inside(span, at + 1, at + 1).start;
    first.text = provider;
    Some(Ident { name, span: inside(span, 0, at) })
}

/// A range of the attach point's text as a span of the script.
fn inside(span: Span, start: usize, end: usize) -> Span {
    Span { start: span.start + start as u32, end: span.start + end as u32, ..span }
}

#[cfg(test)]
mod tests {
    use super::super::ast::Item;
    use super::*;
    use crate::syntax::{ast::SourceId, parse};

    fn points(header: &str) -> Vec<AttachPoint> {
        let text = format!("{header} {{}}");
        let mut script = parse(&text, SourceId(0)).unwrap_or_else(|errors| panic!("{errors:?}"));
        match script.items.remove(0) {
            Item::Probe(probe) => probe.attach_points,
            other => panic!("{other:?}"),
        }
    }

    fn texts(point: &AttachPoint) -> Vec<&str> {
        point.parts.iter().map(|part| part.text.as_str()).collect()
    }

    #[test]
    fn colons_cut_outside_quotes_only() {
        let points = points(r#"uprobe:/my/program:"A::f", usdt:./a-b.so:ns:"\"probe\"""#);
        assert_eq!(texts(&points[0]), ["uprobe", "/my/program", "A::f"]);
        assert_eq!(texts(&points[1]), ["usdt", "./a-b.so", "ns", "\"probe\""]);
        assert_eq!(points[1].text, r#"usdt:./a-b.so:ns:"\"probe\"""#);
    }

    #[test]
    fn parts_point_at_their_text() {
        let header = "x=kprobe:foo+0x10,\n  uprobe:/a*/lib?:[ab]*";
        for point in points(header) {
            for part in &point.parts {
                let (start, end) = (part.span.start as usize, part.span.end as usize);
                assert_eq!(&header[start..end], part.text);
            }
        }
    }

    #[test]
    fn label_is_taken_off() {
        let point = &points("mine=kprobe:f")[0];
        assert_eq!(point.label.as_ref().map(|label| label.name.as_str()), Some("mine"));
        assert_eq!(texts(point), ["kprobe", "f"]);
        assert!(points("kprobe:a=b")[0].label.is_none());
    }

    #[test]
    fn empty_parts_are_kept() {
        assert_eq!(texts(&points("::k::f::")[0]), ["", "", "k", "", "f", "", ""]);
    }

    #[test]
    fn parameters_are_replaced_outside_quotes() {
        let value = |index| ["foo", "a:b"][index as usize - 1].to_owned();
        let replaced = |header: &str| with_parameters(&points(header)[0], value);
        assert_eq!(texts(&replaced(r#"uprobe:"zz"$1"zz":aa$1"#).unwrap()), ["uprobe", "zzfoozz", "aafoo"]);
        assert_eq!(texts(&replaced(r#"uprobe:"$1":$2"#).unwrap()), ["uprobe", "$1", "a", "b"]);
        assert_eq!(replaced("uprobe:$0").unwrap_err().id, "invalid-parameter");
        assert_eq!(replaced("uprobe:$x").unwrap_err().id, "invalid-parameter");
    }
}
