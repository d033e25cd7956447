//! Numbers by key: horizontal bars, the largest on top.

use plotters::style::text_anchor::HPos;
use probebook_compiler::types::{Aggregate, Type};
use probebook_runtime::text::{self, TextOptions};
use probebook_runtime::value::{MapSnapshot, Value};

use super::chart::{ACCENT, Frame, Look, Picture, WIDTH, fitted, number, picture, printable, text_width};
use super::units;

const MAX_BARS: usize = 20;
const ROW: i32 = 22;
const TOP: i32 = 52;
const MAX_LABEL: i32 = 280;

/// One bar for each key that has a number; `None` for fewer than two, which need no picture.
pub fn svg(map: &MapSnapshot, div: u32, options: &TextOptions) -> Option<String> {
    map.key.as_ref()?;
    let entries = map.entries.iter().rev().filter_map(|(key, value)| {
        let label = label(key, options);
        Some(Bar { label: fitted(&label, MAX_LABEL, Look::Label), number: number_of(value)? })
    });
    let mut bars: Vec<Bar> = entries.collect();
    let keys = bars.len();
    bars.truncate(MAX_BARS);
    if keys < 2 {
        return None;
    }
    let note = if keys > bars.len() { 20 } else { 0 };
    let height = TOP + ROW * bars.len() as i32 + 12 + note;
    let what = quantity(&map.value);
    // What was divided has another unit.
    let what = if div > 1 { what.to_owned() } else { units::of_aggregate(what, &map.name) };
    Some(picture(height, |picture| {
        picture.heading(0, &format!("@{}", map.name), &format!("{keys} keys"));
        draw(picture, &bars, &what);
        if note > 0 {
            picture.note(height, &format!("The {MAX_BARS} largest of {keys} keys"));
        }
    }))
}

struct Bar {
    label: String,
    number: f64,
}

/// The key on one line: of a stack its innermost function.
fn label(key: &Value, options: &TextOptions) -> String {
    let text = text::key(key, options);
    let words: Vec<&str> = text.split_whitespace().collect();
    match key {
        Value::Stack(stack) if stack.frames.len() > 1 => {
            let innermost = words.first().copied().unwrap_or_default();
            printable(&format!("{innermost} … {} frames", stack.frames.len()))
        }
        Value::Stack(_) => printable(&words.join(" ")),
        _ => printable(&text),
    }
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Signed(number) => Some(*number as f64),
        Value::Unsigned(number) => Some(*number as f64),
        Value::Stats { average, .. } => number_of(average),
        _ => None,
    }
}

/// What the bars show.
fn quantity(ty: &Type) -> &'static str {
    match ty {
        Type::Aggregate(Aggregate::Stats { .. } | Aggregate::Avg { .. }) => "average",
        Type::Aggregate(aggregate) => aggregate.name(),
        _ => "value",
    }
}

fn draw(picture: &mut Picture<'_>, bars: &[Bar], quantity: &str) {
    let widest = |texts: &mut dyn Iterator<Item = i32>| texts.max().unwrap_or(0);
    let labels = widest(&mut bars.iter().map(|bar| text_width(&bar.label, Look::Label)));
    let numbers = widest(&mut bars.iter().map(|bar| text_width(&number(bar.number), Look::Note)));
    let left = 16 + labels + 10;
    let right = WIDTH - 16 - numbers - 8;
    let low = bars.iter().map(|bar| bar.number).fold(0.0, f64::min);
    let high = bars.iter().map(|bar| bar.number).fold(0.0, f64::max);
    let span = if high > low { high - low } else { 1.0 };
    let place = |value: f64| left + ((value - low) / span * f64::from(right - left)).round() as i32;
    let zero = place(0.0);
    picture.text((zero, TOP - 12), HPos::Left, Look::Note, quantity);
    for (bar, index) in bars.iter().zip(0..) {
        let top = TOP + ROW * index;
        let middle = top + ROW / 2;
        let end = place(bar.number);
        picture.text((left - 10, middle), HPos::Right, Look::Label, &bar.label);
        let (start, end) = (zero.min(end), zero.max(end));
        // One pixel at least, unless it is nothing.
        let end = if bar.number == 0.0 { end } else { end.max(start + 1) };
        let bar_frame = Frame { left: start, top: top + 3, right: end, bottom: top + ROW - 3 };
        if end > start {
            picture.rectangle(bar_frame, ACCENT);
        }
        picture.text((end + 6, middle), HPos::Left, Look::Note, &number(bar.number));
    }
    picture.upright(zero, TOP, TOP + ROW * bars.len() as i32);
}
