//! Fills in `printf` formats.

use std::fmt::Write;

use probebook_compiler::types::Type;

use super::escape::{push_escaped, push_hex};
use super::format::{Format, FormatError, Kind, Piece, Spec};
use super::value::push;
use super::{TextOptions, gfp};
use crate::decode::decode;
use crate::value::{Resolve, Value};

impl Format {
    /// Appends the text; a missing or unsuitable value is said in its place, as `!{…}`.
    pub fn render(&self, values: &[Value], options: &TextOptions, out: &mut String) {
        let mut values = values.iter();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Conversion(spec) => match values.next() {
                    Some(value) => convert(out, *spec, value, options),
                    None => out.push_str("!{missing argument}"),
                },
            }
        }
    }
}

/// A format and the layout of its arguments: turns an event's bytes straight into text.
#[derive(Clone, Debug)]
pub struct EventFormat {
    format: Format,
    arguments: Vec<(usize, Type)>,
}

impl EventFormat {
    /// `arguments` lie as a tuple of these types does.
    pub fn new(format: &str, arguments: &[Type]) -> Result<EventFormat, FormatError> {
        let offsets = Type::tuple(arguments.to_vec()).element_offsets();
        let offsets = offsets.into_iter().map(|offset| offset as usize);
        Ok(EventFormat { format: Format::parse(format)?, arguments: offsets.zip(arguments.iter().cloned()).collect() })
    }

    /// Appends the text of an event, `bytes` being its arguments without the header.
    pub fn render(&self, bytes: &[u8], resolve: &dyn Resolve, options: &TextOptions, out: &mut String) {
        let mut arguments = self.arguments.iter();
        for piece in &self.format.pieces {
            let spec = match piece {
                Piece::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Conversion(spec) => spec,
            };
            let Some((offset, ty)) = arguments.next() else {
                out.push_str("!{missing argument}");
                continue;
            };
            let bytes = bytes.get(*offset..).unwrap_or_default();
            let bytes = bytes.get(..ty.size() as usize).unwrap_or_default();
            match (spec.kind, ty) {
                // The commonest argument, without copying it into a value first.
                (Kind::Text, Type::String { .. }) if !bytes.is_empty() => {
                    push_string(out, *spec, bytes, options);
                }
                _ => convert(out, *spec, &decode(ty, bytes, resolve), options),
            }
        }
    }
}

/// Zero-padded memory as `%s`: up to the NUL, or all of it and the mark of a cut string.
fn push_string(out: &mut String, spec: Spec, memory: &[u8], options: &TextOptions) {
    let end = memory.iter().position(|byte| *byte == 0);
    let text = memory.get(..end.unwrap_or(memory.len())).unwrap_or_default();
    if spec.width == 0 && spec.precision.is_none() {
        push_escaped(out, text);
        if end.is_none() {
            out.push_str(&options.truncation_trailer);
        }
        return;
    }
    let mut shown = String::new();
    push_escaped(&mut shown, text);
    if end.is_none() {
        shown.push_str(&options.truncation_trailer);
    }
    push_padded(out, spec, &shown);
}

fn convert(out: &mut String, spec: Spec, value: &Value, options: &TextOptions) {
    match spec.kind {
        Kind::Text => return push_text(out, spec, value, options),
        Kind::EscapedHex | Kind::SpacedHex => {
            let Value::Buffer(bytes) = value else {
                return push_text(out, spec, value, options);
            };
            return push_padded(out, spec, &hex(bytes, spec.kind));
        }
        _ => {}
    }
    let Some(number) = integer(value) else {
        out.push_str("!{invalid integer conversion: ");
        push(out, value, options);
        out.push('}');
        return;
    };
    match spec.kind {
        Kind::Signed => {
            let number = cut_signed(number, spec.bits);
            push_number(out, spec, number < 0, number.unsigned_abs());
        }
        Kind::Character => {
            let mut text = String::new();
            push_escaped(&mut text, &[number as u8]);
            push_padded(out, spec, &text);
        }
        Kind::Pointer if number == 0 => push_padded(out, spec, "0"),
        Kind::Pointer => push_padded(out, spec, &format!("{number:#x}")),
        Kind::GfpFlags => push_padded(out, spec, &gfp::flags(number)),
        _ => push_number(out, spec, false, number & (u64::MAX >> (64 - spec.bits))),
    }
}

/// The number that a value stands for, in two's complement.
fn integer(value: &Value) -> Option<u64> {
    match value {
        Value::Bool(truth) => Some(u64::from(*truth)),
        Value::Signed(number) | Value::Named { number, .. } => Some(number.cast_unsigned()),
        Value::Unsigned(number) => Some(*number),
        _ => None,
    }
}

/// As a C cast to a signed type of so many bits.
fn cut_signed(number: u64, bits: u32) -> i64 {
    let unused = 64 - bits;
    (number << unused).cast_signed() >> unused
}

fn push_text(out: &mut String, spec: Spec, value: &Value, options: &TextOptions) {
    if spec.width == 0 && spec.precision.is_none() {
        return push(out, value, options);
    }
    let mut text = String::new();
    push(&mut text, value, options);
    push_padded(out, spec, &text);
}

/// Text cut to the precision (for `%s`) and filled up with spaces to the width, both in bytes.
fn push_padded(out: &mut String, spec: Spec, text: &str) {
    let text = match spec.precision {
        Some(precision) if spec.kind == Kind::Text => text.get(..text.floor_char_boundary(precision)).unwrap_or(text),
        _ => text,
    };
    let fill = spec.width.saturating_sub(text.len());
    if !spec.left {
        push_repeated(out, ' ', fill);
    }
    out.push_str(text);
    if spec.left {
        push_repeated(out, ' ', fill);
    }
}

/// Sign or base, zeros, digits, and spaces on the side that the flags say (C11, 7.21.6.1).
fn push_number(out: &mut String, spec: Spec, negative: bool, magnitude: u64) {
    let start = out.len();
    out.push_str(prefix(spec, negative, magnitude));
    let digits_start = out.len();
    // Writing to a String cannot fail.
    let _ = match spec.kind {
        Kind::Hex { upper: false } => write!(out, "{magnitude:x}"),
        Kind::Hex { upper: true } => write!(out, "{magnitude:X}"),
        Kind::Octal => write!(out, "{magnitude:o}"),
        _ => write!(out, "{magnitude}"),
    };
    if spec.width == 0 && spec.precision.is_none() {
        return;
    }
    let digits = out.len() - digits_start;
    let wanted = match spec.precision {
        Some(precision) => precision,
        None if spec.zero => spec.width.saturating_sub(digits_start - start),
        None => 0,
    };
    if wanted > digits {
        out.insert_str(digits_start, &"0".repeat(wanted - digits));
    }
    let fill = spec.width.saturating_sub(out.len() - start);
    if spec.left {
        push_repeated(out, ' ', fill);
    } else if fill > 0 {
        out.insert_str(start, &" ".repeat(fill));
    }
}

fn prefix(spec: Spec, negative: bool, magnitude: u64) -> &'static str {
    match spec.kind {
        Kind::Signed if negative => "-",
        Kind::Signed if spec.plus => "+",
        Kind::Signed if spec.space => " ",
        Kind::Hex { upper: false } if spec.alternate && magnitude != 0 => "0x",
        Kind::Hex { upper: true } if spec.alternate && magnitude != 0 => "0X",
        Kind::Octal if spec.alternate && magnitude != 0 => "0",
        _ => "",
    }
}

fn push_repeated(out: &mut String, character: char, times: usize) {
    out.extend(std::iter::repeat_n(character, times));
}

fn hex(bytes: &[u8], kind: Kind) -> String {
    if kind == Kind::EscapedHex {
        let mut text = String::with_capacity(bytes.len() * 4);
        push_hex(&mut text, bytes);
        return text;
    }
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}
