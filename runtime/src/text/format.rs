//! `printf` formats: parsed once, then filled in for each event.

use thiserror::Error;

/// A parsed format.
///
/// What looks like a conversion but is none is text, as in bpftrace: `100%` prints itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format {
    pub(super) pieces: Vec<Piece>,
}

/// Why a format cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FormatError {
    #[error("a width or precision of {0} in a format; at most {MAX_WIDTH} is possible")]
    TooWide(String),
}

/// Keeps one conversion from filling the memory.
const MAX_WIDTH: usize = 65_536;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Conversion(Spec),
}

/// One conversion: flags, width, precision, length and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub left: bool,
    pub plus: bool,
    pub space: bool,
    pub alternate: bool,
    pub zero: bool,
    pub width: usize,
    pub precision: Option<usize>,
    /// To how many bits an integer is cut.
    pub bits: u32,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Signed,
    Unsigned,
    Octal,
    Hex {
        upper: bool,
    },
    Character,
    Text,
    Pointer,
    /// `%rx`: every byte as `\xNN`.
    EscapedHex,
    /// `%rh`: bytes separated by spaces.
    SpacedHex,
    GfpFlags,
}

impl Format {
    /// Errors only on an absurd width; whether conversions fit their arguments is the compiler's
    /// concern, and a value that does not fit prints as `!{…}`.
    pub fn parse(format: &str) -> Result<Format, FormatError> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = format;
        while let Some(start) = rest.find('%') {
            let (before, at_percent) = rest.split_at(start);
            text.push_str(before);
            let Some((spec, after)) = conversion(at_percent.get(1..).unwrap_or_default())? else {
                text.push('%');
                rest = at_percent.get(1..).unwrap_or_default();
                continue;
            };
            rest = after;
            match spec {
                None => text.push('%'),
                Some(spec) => {
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    pieces.push(Piece::Conversion(spec));
                }
            }
        }
        text.push_str(rest);
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Ok(Format { pieces })
    }

    /// How many values the format takes.
    pub fn arguments(&self) -> usize {
        self.pieces.iter().filter(|piece| matches!(piece, Piece::Conversion(_))).count()
    }
}

/// What follows a `%`, and the text behind it: `None` if it is no conversion, `Some(None)` for a
/// percent sign.
type Parsed<'a> = Option<(Option<Spec>, &'a str)>;

fn conversion(text: &str) -> Result<Parsed<'_>, FormatError> {
    let flags_end = text.find(|c| !"-+ #0".contains(c)).unwrap_or(text.len());
    let (flags, rest) = text.split_at(flags_end);
    let (width, rest) = number(rest)?;
    let (precision, rest) = match rest.strip_prefix('.') {
        // A point that no number follows means none: precision 0 (C11, 7.21.6.1).
        Some(after) => {
            let (precision, rest) = number(after)?;
            (Some(precision), rest)
        }
        None => (None, rest),
    };
    let length_end = rest.find(|c| !"hlLjzt".contains(c)).unwrap_or(rest.len());
    let (length, rest) = rest.split_at(length_end);
    let Some((kind, rest)) = kind(rest) else {
        return Ok(None);
    };
    let spec = kind.map(|kind| Spec {
        left: flags.contains('-'),
        plus: flags.contains('+'),
        space: flags.contains(' '),
        alternate: flags.contains('#'),
        zero: flags.contains('0') && !flags.contains('-'),
        width,
        precision,
        bits: bits(length),
        kind,
    });
    Ok(Some((spec, rest)))
}

/// Digits, or `*`, which takes no argument in bpftrace and means nothing.
fn number(text: &str) -> Result<(usize, &str), FormatError> {
    if let Some(rest) = text.strip_prefix('*') {
        return Ok((0, rest));
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Ok((0, rest));
    }
    match digits.parse() {
        Ok(number) if number <= MAX_WIDTH => Ok((number, rest)),
        _ => Err(FormatError::TooWide(digits.into())),
    }
}

/// The longest name first: `%rh` is not `%r` and an h. The outer `None` is no conversion.
fn kind(text: &str) -> Option<(Option<Kind>, &str)> {
    const KINDS: [(&str, Option<Kind>); 14] = [
        ("%", None),
        ("gr", Some(Kind::GfpFlags)),
        ("rh", Some(Kind::SpacedHex)),
        ("rx", Some(Kind::EscapedHex)),
        ("r", Some(Kind::Text)),
        ("s", Some(Kind::Text)),
        ("d", Some(Kind::Signed)),
        ("i", Some(Kind::Signed)),
        ("u", Some(Kind::Unsigned)),
        ("o", Some(Kind::Octal)),
        ("x", Some(Kind::Hex { upper: false })),
        ("X", Some(Kind::Hex { upper: true })),
        ("c", Some(Kind::Character)),
        ("p", Some(Kind::Pointer)),
    ];
    KINDS.iter().find_map(|(name, kind)| Some((*kind, text.strip_prefix(name)?)))
}

/// A length modifier's width in bits on a 64-bit machine; `int` without one.
fn bits(length: &str) -> u32 {
    match length {
        "hh" => 8,
        "h" => 16,
        "l" | "ll" | "j" | "z" | "t" => 64,
        _ => 32,
    }
}
