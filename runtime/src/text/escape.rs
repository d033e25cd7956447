//! Keeps what the traced system wrote from acting on the reader's terminal.

use std::fmt::Write;

/// Appends text from the traced system: `comm`, paths, strings, symbol names.
///
/// Control characters other than newline and tab (C0, DEL, C1) and bytes that are not UTF-8 are
/// written as `\xNN`.
pub fn push_escaped(out: &mut String, bytes: &[u8]) {
    if bytes.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        // Plain ASCII, as nearly always; the conversion cannot fail then.
        out.push_str(str::from_utf8(bytes).unwrap_or_default());
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() && !matches!(character, '\n' | '\t') {
                push_hex(out, character.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                out.push(character);
            }
        }
        push_hex(out, chunk.invalid());
    }
}

/// Escapes text that arrives in pieces, which may end within a character.
#[derive(Clone, Debug, Default)]
pub struct Escaper {
    /// The beginning of a character.
    rest: Vec<u8>,
}

impl Escaper {
    /// Appends what can be told of the text so far.
    pub fn push(&mut self, out: &mut String, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
        let whole = self.rest.len() - begun(&self.rest);
        push_escaped(out, self.rest.get(..whole).unwrap_or_default());
        self.rest.drain(..whole);
    }

    /// Appends what is left when nothing more comes.
    pub fn finish(&mut self, out: &mut String) {
        push_escaped(out, &std::mem::take(&mut self.rest));
    }
}

/// How many bytes at the end are the beginning of a character.
fn begun(bytes: &[u8]) -> usize {
    let is_begun = |count: &usize| {
        let tail = bytes.len().checked_sub(*count).and_then(|start| bytes.get(start..));
        tail.is_some_and(|tail| str::from_utf8(tail).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none()))
    };
    (1..=3).find(is_begun).unwrap_or(0)
}

/// A buffer as `%r` shows it: printable ASCII as it is, all else as `\xNN`.
pub(crate) fn push_buffer(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            0x20..=0x7e => out.push(char::from(*byte)),
            _ => push_hex(out, &[*byte]),
        }
    }
}

/// `\xNN` for each byte.
pub(crate) fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut out = String::new();
        push_escaped(&mut out, bytes);
        out
    }

    #[test]
    fn text_passes_with_newlines_and_tabs() {
        assert_eq!(escaped("a b\n\tä€😀".as_bytes()), "a b\n\tä€😀");
    }

    #[test]
    fn terminal_control_is_shown_and_not_done() {
        assert_eq!(escaped(b"\x1b[31mred\x07\r\x7f"), "\\x1b[31mred\\x07\\x0d\\x7f");
        assert_eq!(escaped("\u{9b}31m".as_bytes()), "\\xc2\\x9b31m");
    }

    #[test]
    fn pieces_may_end_within_a_character() {
        let text = "a€\u{1b}😀b".as_bytes();
        for cut in 0..text.len() {
            let (mut escaper, mut out) = (Escaper::default(), String::new());
            let (first, second) = text.split_at(cut);
            escaper.push(&mut out, first);
            escaper.push(&mut out, second);
            escaper.finish(&mut out);
            assert_eq!(out, "a€\\x1b😀b", "cut at {cut}");
        }
        let (mut escaper, mut out) = (Escaper::default(), String::new());
        escaper.push(&mut out, b"x\xe2\x82");
        assert_eq!(out, "x");
        escaper.finish(&mut out);
        assert_eq!(out, "x\\xe2\\x82");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_as_numbers() {
        assert_eq!(escaped(b"a\xff\xc3(\x80"), "a\\xff\\xc3(\\x80");
    }
}
