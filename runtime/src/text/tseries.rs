//! A time series as a chart of characters, one line an interval.

use std::fmt::Write;
use std::ops::RangeInclusive;

use jiff::Timestamp;

use super::TextOptions;
use crate::value::{MapSnapshot, Tseries, Value};

/// Columns of the chart, its borders included.
const WIDTH: usize = 53;
/// Of these, what the smallest value's label takes at the top and the bottom.
const LEFT_LABEL: usize = 21;

/// The intervals that a map's series share: as many as one series can hold, up to the newest that
/// any of them recorded. `None` if there are none.
pub(crate) fn shared_epochs(map: &MapSnapshot) -> Option<RangeInclusive<u64>> {
    let series = map.entries.iter().filter_map(|(_, value)| match value {
        Value::Tseries(series) => epochs(series),
        _ => None,
    });
    series.max_by_key(|epochs| *epochs.end())
}

fn epochs(series: &Tseries) -> Option<RangeInclusive<u64>> {
    let (newest, _) = series.points.last()?;
    let newest = newest / series.interval_ns.max(1);
    Some((newest + 1).saturating_sub(u64::from(series.intervals))..=newest)
}

/// Start and value of each interval from the first that was recorded; `None` where there is no
/// value. `range` is that of the whole map, the series' own if missing.
pub(crate) fn rows<'a>(series: &'a Tseries, range: Option<&RangeInclusive<u64>>) -> Vec<(u64, Option<&'a Value>)> {
    let interval = series.interval_ns.max(1);
    let Some(range) = range.cloned().or_else(|| epochs(series)) else {
        return Vec::new();
    };
    let mut points = series
        .points
        .iter()
        .map(|(start, value)| (start / interval, value))
        .filter(|(epoch, _)| range.contains(epoch))
        .peekable();
    let first = points.peek().map_or(*range.end(), |(epoch, _)| *epoch);
    (first..=*range.end())
        .map(|epoch| {
            let value = points.next_if(|(recorded, _)| *recorded == epoch);
            (epoch.saturating_mul(interval), value.map(|(_, value)| value))
        })
        .collect()
}

/// How the fraction of a second is written: digits, and the unit in the heading.
fn fraction(rows: &[(u64, Option<&Value>)], interval_ns: u64) -> (usize, &'static str) {
    match if rows.len() > 1 { interval_ns } else { 0 } {
        1_000_000_000.. => (0, ""),
        1_000_000.. => (3, ".ms"),
        1_000.. => (6, ".μs"),
        _ => (9, ".ns"),
    }
}

pub(super) fn push(out: &mut String, series: &Tseries, range: Option<&RangeInclusive<u64>>, options: &TextOptions) {
    let rows = rows(series, range);
    let values = || rows.iter().filter_map(|(_, value)| number((*value)?));
    let (Some(mut low), Some(mut high)) = (values().min(), values().max()) else {
        out.push_str("<no data>");
        return;
    };
    if low == high {
        (low, high) = widened(low, series.signed);
    }
    let (digits, unit) = fraction(&rows, series.interval_ns);
    let margin = "hh:mm:ss".len() + if digits > 0 { digits + 1 } else { 0 } + 1;
    let heading = format!("hh:mm:ss{unit}");
    // bpftrace pads by bytes, and μ has two.
    let heading_pad = " ".repeat(margin.saturating_sub(heading.len()));
    let labels = format!("{:margin$}{low:<LEFT_LABEL$}{high:>right$}\n", "", right = WIDTH - LEFT_LABEL);
    let line = "_".repeat(WIDTH - 2);
    out.push_str(&labels);
    let _ = writeln!(out, "{heading}{heading_pad}|{line}|");
    for (start, value) in &rows {
        out.push_str(&clock(*start, digits, options));
        push_row(out, value.and_then(number), low, high);
    }
    let _ = writeln!(out, "{:margin$}v{line}v", "");
    out.push_str(&labels);
}

/// Room on both sides of the one value that there is, as far as its type has room.
fn widened(value: i128, signed: bool) -> (i128, i128) {
    let (min, max) = if signed { (i128::from(i64::MIN), i128::from(i64::MAX)) } else { (0, i128::from(u64::MAX)) };
    ((value - 1).max(min), (value + 1).min(max))
}

fn push_row(out: &mut String, value: Option<i128>, low: i128, high: i128) {
    let mut line = [b' '; WIDTH];
    let mut mark = |column: usize, mark: u8| {
        if let Some(place) = line.get_mut(column) {
            *place = mark;
        }
    };
    mark(0, b'|');
    mark(WIDTH - 1, b'|');
    if low < 0 && high > 0 {
        mark(column(0, low, high, WIDTH), b'.');
    }
    if let Some(value) = value {
        mark(column(value, low, high, WIDTH - 1).min(WIDTH - 1), b'*');
    }
    let line = str::from_utf8(&line).unwrap_or_default();
    let _ = match value {
        Some(value) => writeln!(out, " {line} {value}"),
        None => writeln!(out, " {line} -"),
    };
}

/// In single precision, as bpftrace computes it.
fn column(value: i128, low: i128, high: i128, width: usize) -> usize {
    (width as f32 * (value - low) as f32 / (high - low) as f32) as usize
}

fn number(value: &Value) -> Option<i128> {
    match value {
        Value::Signed(number) => Some(i128::from(*number)),
        Value::Unsigned(number) => Some(i128::from(*number)),
        _ => None,
    }
}

/// `HH:MM:SS` in local time of `start` nanoseconds since 1970, with up to nine `digits` of the
/// fraction of the second.
pub fn clock(start: u64, digits: usize, options: &TextOptions) -> String {
    let time = Timestamp::from_nanosecond(i128::from(start)).unwrap_or_default();
    let time = time.to_zoned(options.time_zone.clone());
    let text = time.strftime("%H:%M:%S");
    let fraction = format!("{:09}", time.subsec_nanosecond());
    match fraction.get(..digits) {
        Some(digits) if !digits.is_empty() => format!("{text}.{digits}"),
        _ => text.to_string(),
    }
}
