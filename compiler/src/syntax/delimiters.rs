//! A quick look at a text that does not parse: which brackets are open at a place, and whether a
//! string or a comment swallowed the rest. The grammar decides what a script is; this only helps
//! to say what is wrong with one.

/// Words that begin an item other than a probe, whose header has a lexical form of its own.
const ITEM_WORDS: [&str; 9] = ["struct", "union", "enum", "typedef", "config", "import", "macro", "fn", "let"];

/// What a text looks like up to some place.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Scan {
    /// Open brackets, outermost first: the character and where it stands.
    pub(super) open: Vec<(char, usize)>,
    /// A string or comment that has no end.
    pub(super) unterminated: Option<Unterminated>,
    /// Where the item (probe, macro, …) begins that the place belongs to.
    pub(super) item: usize,
    /// End of the last token before the place.
    pub(super) last_end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unterminated {
    /// From the quote to the end of its line.
    String {
        start: usize,
        end: usize,
    },
    Comment {
        start: usize,
    },
}

/// Looks at `text` up to `place`; a token that begins there still counts if it has no end.
pub(super) fn scan(text: &str, place: usize) -> Scan {
    let mut scanner = Scanner { text, at: 0, scan: Scan::default() };
    scanner.run(place);
    scanner.scan
}

/// The first byte at or after `from` that is neither blank nor in a comment.
pub(super) fn skip_layout(text: &str, from: usize) -> usize {
    let mut at = from;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let blank = rest.len() - rest.trim_start().len();
        let rest = rest.get(blank..).unwrap_or_default();
        at += blank;
        let comment = comment_length(rest);
        match comment {
            Some(length) => at += length,
            None => return at,
        }
    }
}

/// Length of the comment at the start of `rest`; an endless one is not skipped.
fn comment_length(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    let body = rest.strip_prefix("/*")?;
    Some(body.find("*/")? + 4)
}

/// Length of the word at the start of `rest`.
pub(super) fn word_length(rest: &str) -> usize {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    rest.find(|c| !is_word(c)).unwrap_or(rest.len())
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    scan: Scan,
}

impl<'t> Scanner<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn run(&mut self, place: usize) {
        let mut at_item = true;
        while self.scan.unterminated.is_none() {
            self.at = skip_layout(self.text, self.at);
            if self.at > place || (self.at == place && !self.starts_quoted()) {
                return;
            }
            let Some(next) = self.rest().chars().next() else {
                return;
            };
            if at_item {
                self.scan.item = self.at;
                if self.item_start(next) {
                    at_item = next == '#';
                    self.scan.last_end = self.at;
                    continue;
                }
            }
            self.token(next);
            let outside = self.scan.open.is_empty();
            at_item = outside && matches!(next, '}' | ';');
            if outside && next == ',' {
                self.at = skip_layout(self.text, self.at);
                self.attach_point();
            }
            if self.at <= place {
                self.scan.last_end = self.at;
            }
        }
    }

    fn starts_quoted(&self) -> bool {
        self.rest().starts_with('"') || self.rest().starts_with("/*")
    }

    /// Skips what has a lexical form of its own where an item begins; whether it did.
    fn item_start(&mut self, next: char) -> bool {
        let rest = self.rest();
        let word = rest.get(..word_length(rest)).unwrap_or_default();
        if next == '#' {
            let mut length = 0;
            for line in rest.split_inclusive('\n') {
                length += line.len();
                if !line.trim_end_matches(['\r', '\n']).ends_with('\\') {
                    break;
                }
            }
            self.at += length;
            return true;
        }
        if ITEM_WORDS.contains(&word) || matches!(next, '{' | '}' | ')' | ']' | ';') {
            return false;
        }
        let before = self.at;
        self.attach_point();
        self.at > before
    }

    /// Skips an attach point, in which slashes, stars and brackets are plain characters.
    fn attach_point(&mut self) {
        let mut colon = false;
        while let Some(next) = self.rest().chars().next() {
            match next {
                '"' => self.string(true),
                '/' if !colon => return,
                '{' | '}' | ',' => return,
                _ if next.is_ascii_whitespace() => return,
                _ => {
                    colon |= next == ':';
                    self.at += next.len_utf8();
                }
            }
            if self.scan.unterminated.is_some() {
                return;
            }
        }
    }

    fn token(&mut self, next: char) {
        match next {
            '"' => self.string(false),
            '/' if self.rest().starts_with("/*") => {
                self.scan.unterminated = Some(Unterminated::Comment { start: self.at });
            }
            '(' | '[' | '{' => {
                self.scan.open.push((next, self.at));
                self.at += 1;
            }
            ')' | ']' | '}' => {
                // A wrong closer is the parser's to report; what it closed is unknown.
                self.scan.open.pop_if(|open| closer(open.0) == next);
                self.at += 1;
            }
            _ => self.at += word_length(self.rest()).max(next.len_utf8()),
        }
    }

    fn string(&mut self, lines: bool) {
        let start = self.at;
        let mut escaped = false;
        for (offset, character) in self.rest().char_indices().skip(1) {
            match character {
                '\n' if !lines => break,
                '"' if !escaped => {
                    self.at = start + offset + 1;
                    return;
                }
                _ => escaped = character == '\\' && !escaped,
            }
        }
        let line = self.rest().find('\n').unwrap_or(self.rest().len());
        self.scan.unterminated = Some(Unterminated::String { start, end: start + line });
    }
}

/// The bracket that closes `open`.
pub(super) fn closer(open: char) -> char {
    match open {
        '(' => ')',
        '[' => ']',
        _ => '}',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> String {
        scan(text, text.len()).open.iter().map(|open| open.0).collect()
    }

    #[test]
    fn brackets_are_tracked_outside_strings_comments_and_attach_points() {
        assert_eq!(open("begin { print(@x["), "{([");
        assert_eq!(open("begin { print(\"(((\"); /* ((( */ // (((\n"), "{");
        assert_eq!(open("uprobe:/lib/*[a:f* { if (x) { } "), "{");
        assert_eq!(open("#define A {\nbegin {"), "{");
        assert_eq!(open("k:a, uprobe:/*:\"f(\" /pid/ {}"), "");
    }

    #[test]
    fn endless_strings_and_comments_are_found() {
        let text = "begin { print(\"a\\\"); }\nend {}";
        let end = text.find('\n').unwrap();
        let string = Unterminated::String { start: 14, end };
        assert_eq!(scan(text, 14).unterminated, Some(string));
        assert_eq!(scan(text, 13).unterminated, None);
        let comment = Unterminated::Comment { start: 8 };
        assert_eq!(scan("begin { /* } ", 12).unterminated, Some(comment));
    }

    #[test]
    fn items_are_told_apart() {
        let text = "begin { 1 }\nlet @a = hash(5);\nend { 2";
        assert_eq!(scan(text, text.len()).item, text.find("end").unwrap());
    }
}
