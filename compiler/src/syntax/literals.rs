//! The values of literals: integers with their bases, exponents and suffixes, and strings with
//! their escapes.

use super::ast::{ExprKind, Span};
use super::builder::Builder;
use super::grammar::Pair;
use crate::diagnostics::Diagnostic;

/// Duration suffixes and their length in nanoseconds.
const DURATIONS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Suffixes of C, accepted so that constants can be copied from headers; they mean nothing.
const C_SUFFIXES: [&str; 5] = ["u", "ul", "ull", "l", "ll"];

/// What is wrong with a literal: a stable id, a message, and the way out.
type Fault = (&'static str, String, Option<&'static str>);

impl<'i> Builder<'i> {
    /// An integer's value; 0 after a complaint.
    pub(super) fn integer(&mut self, pair: &Pair<'i>) -> u64 {
        match integer_value(pair.as_str()) {
            Ok(value) => value,
            Err((id, message, hint)) => {
                let mut diagnostic = Diagnostic::error(id, self.span(pair), message);
                diagnostic.hint = hint.map(str::to_owned);
                self.complain(diagnostic);
                0
            }
        }
    }

    /// `$1`: the parameter's number, from 1.
    pub(super) fn positional(&mut self, pair: &Pair<'i>) -> ExprKind {
        let number = pair.as_str().get(1..).unwrap_or_default().parse().unwrap_or(0);
        if number == 0 {
            let message = format!("there is no parameter `{}`", pair.as_str());
            let diagnostic = Diagnostic::error("invalid-parameter", self.span(pair), message)
                .hint("parameters are counted from `$1`");
            self.complain(diagnostic);
        }
        ExprKind::Positional(number)
    }

    /// A string's value, quotes removed and escapes replaced.
    pub(super) fn string(&mut self, pair: &Pair<'i>) -> String {
        let start = pair.as_span().start() + 1;
        let text = pair.as_str();
        let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
        let mut bytes = Vec::with_capacity(inner.len());
        let mut rest = inner;
        while let Some(at) = rest.find('\\') {
            let (plain, escape) = rest.split_at(at);
            bytes.extend_from_slice(plain.as_bytes());
            let length = match escape_value(escape) {
                Ok((byte, length)) => {
                    bytes.push(byte);
                    length
                }
                Err((message, length)) => {
                    let offset = start + inner.len() - escape.len();
                    self.invalid_escape(self.range(offset, offset + length), message);
                    length
                }
            };
            rest = escape.get(length..).unwrap_or_default();
        }
        bytes.extend_from_slice(rest.as_bytes());
        text_of(bytes)
    }

    fn invalid_escape(&mut self, span: Span, message: String) {
        let diagnostic = Diagnostic::error("invalid-escape", span, message)
            .hint("escapes are \\n \\t \\r \\\\ \\\" \\0 to \\377 (octal) and \\x00 to \\xff");
        self.complain(diagnostic);
    }
}

/// Escaped bytes that form UTF-8 are that text; any other byte is the character of its number.
fn text_of(bytes: Vec<u8>) -> String {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return text,
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|&byte| char::from(byte)));
    }
    text
}

/// The byte that an escape at the start of `text` stands for, and the escape's length; or what is
/// wrong with it, and the length to complain about.
fn escape_value(text: &str) -> Result<(u8, usize), (String, usize)> {
    let Some(kind) = text.chars().nth(1) else {
        return Err(("the escape is not finished".into(), text.len()));
    };
    let digits = |radix, from: usize, most| {
        let rest = text.get(from..).unwrap_or_default();
        rest.chars().take(most).take_while(|c: &char| c.is_digit(radix)).count()
    };
    let number = |radix, from: usize, count| {
        let digits = text.get(from..from + count).unwrap_or_default();
        u32::from_str_radix(digits, radix).unwrap_or(u32::MAX)
    };
    match kind {
        'n' => Ok((b'\n', 2)),
        't' => Ok((b'\t', 2)),
        'r' => Ok((b'\r', 2)),
        '"' => Ok((b'"', 2)),
        '\\' => Ok((b'\\', 2)),
        '0'..='7' => {
            let count = digits(8, 1, 3);
            let end = 1 + count;
            u8::try_from(number(8, 1, count)).map(|byte| (byte, end)).map_err(|_| {
                let escape = text.get(..end).unwrap_or_default();
                (format!("octal escape `{escape}` is larger than a byte"), end)
            })
        }
        'x' | 'X' => {
            let count = digits(16, 2, 2);
            let end = 2 + count;
            u8::try_from(number(16, 2, count))
                .map(|byte| (byte, end))
                .map_err(|_| ("hexadecimal escape without digits".into(), end))
        }
        other => {
            let shown = other.escape_debug();
            Err((format!("unknown escape `\\{shown}`"), 1 + other.len_utf8()))
        }
    }
}

fn integer_value(text: &str) -> Result<u64, Fault> {
    if text.ends_with('_') {
        return Err(malformed(format!("`{text}` ends in an underscore"), None));
    }
    let plain = text.replace('_', "");
    if let Some(hexadecimal) = plain.strip_prefix("0x").or(plain.strip_prefix("0X")) {
        let end = hexadecimal.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hexadecimal.len());
        let (digits, suffix) = hexadecimal.split_at(end);
        return scaled(text, number(text, digits, 16)?, suffix, false);
    }
    let end = plain.find(|c: char| !c.is_ascii_digit()).unwrap_or(plain.len());
    let (digits, rest) = plain.split_at(end);
    if let Some(after) = rest.strip_prefix(['e', 'E']) {
        return scientific(text, digits, after);
    }
    match digits.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => scaled(text, number(text, octal, 8)?, rest, true),
        _ => scaled(text, number(text, digits, 10)?, rest, true),
    }
}

/// `digits` as a number; `text` is the literal, for the message.
fn number(text: &str, digits: &str, radix: u32) -> Result<u64, Fault> {
    if digits.is_empty() {
        return Err(malformed(format!("`{text}` has no digits"), None));
    }
    if let Some(digit) = digits.chars().find(|c| !c.is_digit(radix)) {
        let hint = "a leading 0 makes a number octal";
        return Err(malformed(format!("`{digit}` is not a digit of `{text}`"), Some(hint)));
    }
    u64::from_str_radix(digits, radix).map_err(|_| overflow(text))
}

/// `1e6`: the mantissa is one digit, as in bpftrace.
fn scientific(text: &str, digits: &str, rest: &str) -> Result<u64, Fault> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (exponent, suffix) = rest.split_at(end);
    let mantissa = match digits.as_bytes() {
        [digit @ b'1'..=b'9'] => u64::from(digit - b'0'),
        _ => {
            let message = format!("the part of `{text}` before `e` must be a digit from 1 to 9");
            return Err(malformed(message, None));
        }
    };
    if exponent.is_empty() {
        let hint = "there are no floating-point numbers: an exponent is a number from 0 on";
        return Err(malformed(format!("`{text}` has no exponent"), Some(hint)));
    }
    let power = exponent.parse().ok().and_then(|exponent| 10_u64.checked_pow(exponent));
    let value = power.and_then(|power| power.checked_mul(mantissa));
    scaled(text, value.ok_or_else(|| overflow(text))?, suffix, true)
}

/// Applies a suffix.
fn scaled(text: &str, value: u64, suffix: &str, durations: bool) -> Result<u64, Fault> {
    if suffix.is_empty() || C_SUFFIXES.contains(&suffix.to_ascii_lowercase().as_str()) {
        return Ok(value);
    }
    match DURATIONS.iter().find(|(name, _)| durations && *name == suffix) {
        Some((_, nanoseconds)) => value.checked_mul(*nanoseconds).ok_or_else(|| overflow(text)),
        None => {
            let hint = "known suffixes are ns us ms s m h d, and C's u l ul ll ull";
            Err(malformed(format!("`{text}` has an unknown suffix `{suffix}`"), Some(hint)))
        }
    }
}

fn overflow(text: &str) -> Fault {
    let message = format!("`{text}` is larger than the largest integer, {}", u64::MAX);
    ("integer-overflow", message, None)
}

fn malformed(message: String, hint: Option<&'static str>) -> Fault {
    ("invalid-integer", message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_their_values() {
        for (text, value) in [
            ("0", 0),
            ("1_000_000", 1_000_000),
            ("0777", 0o777),
            ("00", 0),
            ("0x5e5", 0x5e5),
            ("0XFF", 255),
            ("0xffUL", 255),
            ("0x5d", 0x5d),
            ("1e6", 1_000_000),
            ("1e1_0", 10_000_000_000),
            ("2e3s", 2_000_000_000_000),
            ("123ULL", 123),
            ("1us", 1_000),
            ("1d", 86_400_000_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(integer_value(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn wrong_integers_say_why() {
        for (text, id, message) in [
            ("18446744073709551616", "integer-overflow", "larger"),
            ("1e21", "integer-overflow", "larger"),
            ("10000000000m", "integer-overflow", "larger"),
            ("12e4", "invalid-integer", "digit from 1 to 9"),
            ("5e", "invalid-integer", "no exponent"),
            ("1_", "invalid-integer", "underscore"),
            ("089", "invalid-integer", "not a digit"),
            ("0x", "invalid-integer", "no digits"),
            ("1ulll", "invalid-integer", "suffix"),
            ("0b11", "invalid-integer", "suffix"),
            ("1M", "invalid-integer", "suffix"),
        ] {
            let (found, explanation, _) = integer_value(text).unwrap_err();
            assert_eq!(found, id, "{text}");
            assert!(explanation.contains(message), "{text}: {explanation}");
        }
    }

    #[test]
    fn escapes_are_replaced() {
        assert_eq!(escape_value("\\n"), Ok((b'\n', 2)));
        assert_eq!(escape_value("\\1009"), Ok((b'@', 4)));
        assert_eq!(escape_value("\\x309"), Ok((b'0', 4)));
        assert_eq!(escape_value("\\09"), Ok((0, 2)));
        assert_eq!(escape_value("\\777").unwrap_err().1, 4);
        assert_eq!(escape_value("\\xg").unwrap_err().1, 2);
        assert_eq!(escape_value("\\é").unwrap_err().1, 3);
    }

    #[test]
    fn escaped_bytes_that_are_utf8_are_text() {
        assert_eq!(text_of(b"\xe2\x82\xac".to_vec()), "€");
        assert_eq!(text_of(b"a\x80\xffz".to_vec()), "a\u{80}\u{ff}z");
    }
}
