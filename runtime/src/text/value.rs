//! The text of one value.

use std::fmt::Write;

use super::escape::{push_buffer, push_escaped};
use super::{TextOptions, stack, tseries};
use crate::value::{Bucket, Value};

/// The value as `%s` prints it.
pub fn value(value: &Value, options: &TextOptions) -> String {
    let mut out = String::new();
    push(&mut out, value, options);
    out
}

/// What `print(value)` writes: the value and a newline.
pub fn print(printed: &Value, options: &TextOptions) -> String {
    let mut out = value(printed, options);
    out.push('\n');
    out
}

/// A map's key as it stands between the brackets: a tuple goes without its parentheses.
pub fn key(key: &Value, options: &TextOptions) -> String {
    let mut out = String::new();
    match key {
        Value::Tuple(values) => push_list(&mut out, values, ", ", options),
        other => push(&mut out, other, options),
    }
    out
}

/// Writing to a `String` cannot fail, so results of `write!` are not looked at here.
pub(super) fn push(out: &mut String, value: &Value, options: &TextOptions) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Signed(number) => _ = write!(out, "{number}"),
        Value::Unsigned(number) => _ = write!(out, "{number}"),
        Value::Named { text, .. } => push_escaped(out, text.as_bytes()),
        Value::String { bytes, truncated } => {
            push_escaped(out, bytes);
            if *truncated {
                out.push_str(&options.truncation_trailer);
            }
        }
        Value::Buffer(bytes) => push_buffer(out, bytes),
        Value::Array(values) => push_enclosed(out, "[", values, ",", "]", options),
        Value::Tuple(values) => push_enclosed(out, "(", values, ", ", ")", options),
        Value::Record(fields) => {
            push_record(out, fields.iter().map(|(n, v)| (n.as_str(), v)), options);
        }
        Value::Inet(address) => _ = write!(out, "{address}"),
        Value::Mac([a, b, c, d, e, f]) => {
            _ = write!(out, "{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{f:02X}");
        }
        Value::Time(text) => out.push_str(text),
        Value::Stack(frames) => stack::push(out, frames),
        Value::Stats { count, average, total } => {
            let count = Value::Unsigned(*count);
            let fields = [("count", &count), ("average", &**average), ("total", &**total)];
            push_record(out, fields.into_iter(), options);
        }
        Value::Hist(hist) => push_histogram(out, &hist.rows(1)),
        Value::Lhist(lhist) => push_histogram(out, &lhist.rows()),
        Value::Tseries(series) => tseries::push(out, series, None, options),
    }
}

fn push_list(out: &mut String, values: &[Value], separator: &str, options: &TextOptions) {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push_str(separator);
        }
        push(out, value, options);
    }
}

fn push_enclosed(out: &mut String, open: &str, values: &[Value], separator: &str, close: &str, options: &TextOptions) {
    out.push_str(open);
    push_list(out, values, separator, options);
    out.push_str(close);
}

fn push_record<'a>(
    out: &mut String,
    fields: impl ExactSizeIterator<Item = (&'a str, &'a Value)>,
    options: &TextOptions,
) {
    if fields.len() == 0 {
        out.push_str("{}");
        return;
    }
    for (index, (name, value)) in fields.enumerate() {
        let before = if index == 0 { "{ " } else { ", " };
        let _ = write!(out, "{before}.{name} = ");
        push(out, value, options);
    }
    out.push_str(" }");
}

/// Columns of a histogram's bar.
const BAR_WIDTH: usize = 52;

/// One line a bucket: its range, its count, and a bar that is full for the largest count.
pub(super) fn push_histogram(out: &mut String, rows: &[Bucket]) {
    let largest = rows.iter().map(|row| row.count).max().unwrap_or(0);
    for row in rows {
        // Single precision, because that decides where bpftrace's bars are cut off.
        let share = if largest == 0 { 0.0 } else { row.count as f32 / largest as f32 };
        let bar = "@".repeat((share * BAR_WIDTH as f32) as usize);
        let _ = writeln!(out, "{:<16}{:>8} |{bar:<BAR_WIDTH$}|", row.label(), row.count);
    }
}
