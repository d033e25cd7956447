//! The words of a magic's line, each with its place in the cell.

use std::ops::Range;

/// A word as a shell would understand it, and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    /// In bytes, from the cell's start; quotes included.
    pub place: Range<usize>,
}

/// What is wrong with a magic, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MagicError {
    pub message: String,
    pub place: Range<usize>,
}

impl Word {
    pub fn error(&self, message: impl Into<String>) -> MagicError {
        MagicError { message: message.into(), place: self.place.clone() }
    }
}

/// Splits a line into words; `start` is where it begins in the cell.
pub fn split(line: &str, start: usize) -> Result<Vec<Word>, MagicError> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(range) = next(line, at) {
        at = range.end;
        let place = start + range.start..start + range.end;
        // A comment splits into nothing.
        match shlex::split(line.get(range).unwrap_or_default()) {
            Some(texts) => words.extend(texts.into_iter().map(|text| Word { text, place: place.clone() })),
            None => return Err(MagicError { message: "a quote is not closed".to_owned(), place }),
        }
    }
    Ok(words)
}

/// The next word at or behind `from`; a comment is all that is left of the line.
fn next(line: &str, from: usize) -> Option<Range<usize>> {
    let rest = line.get(from..)?;
    let start = from + rest.find(|c: char| !is_blank(c))?;
    let word = line.get(start..)?;
    if word.starts_with('#') {
        return Some(start..line.len());
    }
    let mut quote = None;
    let mut is_escaped = false;
    let end = word.find(|c: char| {
        match (quote, c) {
            _ if is_escaped => is_escaped = false,
            (None | Some('"'), '\\') => is_escaped = true,
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, c) if is_blank(c) => return true,
            _ => {}
        }
        false
    });
    Some(start..end.map_or(line.len(), |end| start + end))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_where_they_stand() {
        let line = "%%run  -c 'sleep 1' --for=\"2 s\" a\\ b # comment 'x";
        let words = split(line, 100).unwrap();
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["%%run", "-c", "sleep 1", "--for=2 s", "a b"]);
        let shown: Vec<&str> = words.iter().map(|word| &line[word.place.start - 100..word.place.end - 100]).collect();
        assert_eq!(shown, ["%%run", "-c", "'sleep 1'", "--for=\"2 s\"", "a\\ b"]);
    }

    #[test]
    fn an_open_quote_is_pointed_at() {
        let error = split("%%run -c 'sleep 1", 3).unwrap_err();
        assert_eq!(error.place, 12..20);
        assert_eq!(split("%%run a\\", 0).unwrap_err().place, 6..8);
    }

    #[test]
    fn the_words_are_those_of_a_shell() {
        for line in ["a 'b c' d", "a\"b\"'c' d", "x  # y", "\"a\\\"b\" c", "", "  ", "é 'ü ö'", "a#b c"] {
            let texts: Vec<String> = split(line, 0).unwrap().into_iter().map(|word| word.text).collect();
            assert_eq!(Some(texts), shlex::split(line), "{line}");
        }
    }
}
