//! bpftrace's JSON lines (`-f json`): one object a message, with its type and its data.
//!
//! Two things differ, because bpftrace's output is no valid JSON there: bytes from 0x80 on in
//! strings, and numbers of buffers, which it takes as negative.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use probebook_compiler::types::{Aggregate, Type};

use super::escape::push_hex;
use super::{TextOptions, tseries, value as text_of};
use crate::value::{Bucket, MapSnapshot, Tseries, Value};

/// What `print(@map, top, div)` writes; empty for a map that [`super::map`] prints nothing for.
pub fn map(map: &MapSnapshot, top: u32, div: u32, options: &TextOptions) -> String {
    let limited = map.limited(top, div);
    let (kind, is_chart) = match &map.value {
        Type::Aggregate(Aggregate::Avg { .. } | Aggregate::Stats { .. }) => ("stats", false),
        Type::Aggregate(Aggregate::Hist { .. } | Aggregate::Lhist { .. }) => ("hist", true),
        Type::Aggregate(Aggregate::Tseries { .. }) => ("tseries", true),
        _ => ("map", false),
    };
    let mut data = String::new();
    match (&map.key, limited.entries.first()) {
        (None, None) if is_chart => return String::new(),
        (None, None) => push(&mut data, &Value::zero(&map.value), 1, options),
        (None, Some((_, value))) => push(&mut data, value, div, options),
        (Some(_), None) => return String::new(),
        (Some(_), Some(_)) => {
            let entries = limited.entries.iter();
            push_object(&mut data, entries.map(|(key, value)| (key_of(key, options), value)), div, options);
        }
    }
    let mut name = String::new();
    push_string(&mut name, format!("@{}", map.name).as_bytes());
    format!("{{\"type\": \"{kind}\", \"data\": {{{name}: {data}}}}}\n")
}

/// What `print(value)` writes.
pub fn value(value: &Value, options: &TextOptions) -> String {
    let mut data = String::new();
    push(&mut data, value, 1, options);
    format!("{{\"type\": \"value\", \"data\": {data}}}\n")
}

/// A message that is text: `printf`, `time`, `cat`, `join` (without the newline) or `syscall`.
pub fn message(kind: &str, text: &str) -> String {
    let mut data = String::new();
    push_string(&mut data, text.as_bytes());
    format!("{{\"type\": \"{kind}\", \"data\": {data}}}\n")
}

/// Where in a script a message arose; lines and columns count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position<'a> {
    pub filename: &'a str,
    pub line: usize,
    pub column: usize,
}

/// `warnf`, `errorf` or `runtime_error`, with its place in the script.
pub fn positioned(kind: &str, text: &str, position: Position<'_>) -> String {
    let (mut data, mut filename) = (String::new(), String::new());
    push_string(&mut data, text.as_bytes());
    push_string(&mut filename, position.filename.as_bytes());
    let Position { line, column, .. } = position;
    format!(
        "{{\"type\": \"{kind}\", \"msg\": {data}, \"filename\": {filename}, \"line\": {line}, \"col\": {column}}}\n"
    )
}

/// A helper function that failed in a program: `retcode` is its negative error number.
pub fn helper_error(text: &str, helper: &str, retcode: i32, position: Position<'_>) -> String {
    let (mut message, mut name, mut filename) = (String::new(), String::new(), String::new());
    push_string(&mut message, text.as_bytes());
    push_string(&mut name, helper.as_bytes());
    push_string(&mut filename, position.filename.as_bytes());
    let Position { line, column, .. } = position;
    format!(
        "{{\"type\": \"helper_error\", \"msg\": {message}, \"helper\": {name}, \"retcode\": {retcode}, \
         \"filename\": {filename}, \"line\": {line}, \"col\": {column}}}\n"
    )
}

/// Events that were lost since the last such line.
pub fn lost_events(count: u64) -> String {
    format!("{{\"type\": \"lost_events\", \"count\": {count}, \"data\": {{\"events\": {count}}}}}\n")
}

/// A line of JSON of another kind, such as a test's result.
pub fn line(kind: &str, data: &serde_json::Value) -> String {
    format!("{{\"type\": \"{kind}\", \"data\": {}}}\n", spaced(data))
}

/// JSON with a blank behind colons and commas, as bpftrace writes it.
fn spaced(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", serde_json::Value::from(name.as_str()), spaced(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// How many probes were attached.
pub fn attached_probes(count: u64) -> String {
    format!("{{\"type\": \"attached_probes\", \"count\": {count}, \"data\": {{\"probes\": {count}}}}}\n")
}

/// A key is text without any space, also where the text has some.
fn key_of(key: &Value, options: &TextOptions) -> String {
    let mut key = text_of::key(key, options);
    key.retain(|character| character != ' ');
    key
}

fn push(out: &mut String, value: &Value, div: u32, options: &TextOptions) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Signed(number) => push_number(out, i128::from(*number)),
        Value::Unsigned(number) => push_number(out, i128::from(*number)),
        // Addresses are unsigned; names of enumerations, and numbers without one, never start so.
        Value::Named { text, number } if text.starts_with("0x") => {
            push_number(out, i128::from(number.cast_unsigned()));
        }
        Value::Named { number, .. } => push_number(out, i128::from(*number)),
        Value::String { bytes, truncated: false } => push_string(out, bytes),
        Value::String { bytes, .. } => {
            push_string(out, &[bytes, options.truncation_trailer.as_bytes()].concat());
        }
        Value::Buffer(bytes) => push_list(out, bytes, |out, byte| {
            let _ = write!(out, "{byte}");
        }),
        Value::Array(values) | Value::Tuple(values) => {
            push_list(out, values, |out, value| push(out, value, div, options));
        }
        Value::Record(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), value));
            push_object(out, fields, div, options);
        }
        Value::Stats { count, average, total } => {
            let count = Value::Unsigned(*count);
            let fields = [("count", &count), ("average", &**average), ("total", &**total)];
            let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
            push_object(out, fields, div, options);
        }
        Value::Hist(hist) => push_list(out, &hist.rows(div), push_bucket),
        Value::Lhist(lhist) => push_list(out, &lhist.rows(), push_bucket),
        Value::Tseries(series) => push_series(out, series, options),
        Value::Time(text) => push_string(out, text.as_bytes()),
        Value::Inet(_) | Value::Mac(_) | Value::Stack(_) => {
            push_string(out, text_of::value(value, options).as_bytes());
        }
    }
}

fn push_list<T>(out: &mut String, items: &[T], mut each: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        each(out, item);
    }
    out.push(']');
}

fn push_object<'a>(
    out: &mut String,
    fields: impl Iterator<Item = (String, &'a Value)>,
    div: u32,
    options: &TextOptions,
) {
    out.push('{');
    for (index, (name, value)) in fields.enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        push_string(out, name.as_bytes());
        out.push_str(": ");
        push(out, value, div, options);
    }
    out.push('}');
}

/// Readers of JSON take numbers as double precision; one that this would change becomes a string.
fn push_number(out: &mut String, number: i128) {
    let quote = if (number as f64) as i128 == number { "" } else { "\"" };
    let _ = write!(out, "{quote}{number}{quote}");
}

/// Both bounds are inclusive here, unlike in the text.
fn push_bucket(out: &mut String, bucket: &Bucket) {
    out.push('{');
    if let Some(lower) = &bucket.lower {
        out.push_str("\"min\": ");
        push_number(out, lower.number);
        out.push_str(", ");
    }
    if let Some(upper) = &bucket.upper {
        out.push_str("\"max\": ");
        push_number(out, upper.number - 1);
        out.push_str(", ");
    }
    let _ = write!(out, "\"count\": {}}}", bucket.count);
}

fn push_series(out: &mut String, series: &Tseries, options: &TextOptions) {
    let rows = tseries::rows(series, None);
    let recorded: Vec<_> = rows.iter().filter_map(|(start, value)| Some((*start, (*value)?))).collect();
    push_list(out, &recorded, |out, (start, value)| {
        let time = Timestamp::from_nanosecond(i128::from(*start)).unwrap_or_default();
        let time = time.to_zoned(TimeZone::UTC);
        let _ = write!(
            out,
            "{{\"interval_start\":\"{}.{:09}\",\"value\":{}}}",
            time.strftime("%Y-%m-%d %H:%M:%S"),
            time.subsec_nanosecond(),
            text_of::value(value, options)
        );
    });
}

/// Control characters are escaped, bytes that are not UTF-8 become `\xNN` in the text.
fn push_string(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let _ = match character {
                '"' => write!(out, "\\\""),
                '\\' => write!(out, "\\\\"),
                '\n' => write!(out, "\\n"),
                '\r' => write!(out, "\\r"),
                '\t' => write!(out, "\\t"),
                control if control.is_control() => write!(out, "\\u{:04x}", u32::from(control)),
                plain => out.write_char(plain),
            };
        }
        let mut hex = String::new();
        push_hex(&mut hex, chunk.invalid());
        out.push_str(&hex.replace('\\', "\\\\"));
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Hist, Lhist};
    use probebook_compiler::types::Combine;

    fn line(key: Option<Type>, value: Type, entries: Vec<(Value, Value)>) -> String {
        let snapshot = MapSnapshot { name: "a".into(), key, value, entries, lost_keys: 0 };
        let line = map(&snapshot, 0, 10, &TextOptions::default());
        if !line.is_empty() {
            serde_json::from_str::<serde_json::Value>(&line).unwrap();
        }
        line
    }

    #[test]
    fn scalars_and_keyed_maps() {
        assert_eq!(
            line(None, Type::U64, vec![(Value::Null, Value::Unsigned(50))]),
            "{\"type\": \"map\", \"data\": {\"@a\": 5}}\n"
        );
        let key = |name: &str| Value::Tuple(vec![Value::text(name), Value::Signed(2)]);
        let entries = vec![(key("tmux: server"), Value::Signed(10)), (key("b"), Value::Signed(20))];
        assert_eq!(
            line(Some(Type::U64), Type::I64, entries),
            "{\"type\": \"map\", \"data\": {\"@a\": {\"tmux:server,2\": 1, \"b,2\": 2}}}\n"
        );
        assert_eq!(line(Some(Type::U64), Type::U64, vec![]), "");
        assert_eq!(line(None, Type::U64, vec![]), "{\"type\": \"map\", \"data\": {\"@a\": 0}}\n");
    }

    #[test]
    fn values_keep_their_structure() {
        let shown = |shown: Value| {
            let line = value(&shown, &TextOptions::default());
            serde_json::from_str::<serde_json::Value>(&line).unwrap();
            let data = line.strip_prefix("{\"type\": \"value\", \"data\": ").unwrap();
            data.strip_suffix("}\n").unwrap().to_owned()
        };
        let inner = Value::Tuple(vec![Value::Signed(4), Value::Bool(true)]);
        let tuple = Value::Tuple(vec![Value::Signed(1), Value::text("a\"b\\\n\r\x01"), inner]);
        assert_eq!(shown(tuple), "[1,\"a\\\"b\\\\\\n\\r\\u0001\",[4,true]]");
        let record = Value::Record(vec![("m".into(), Value::Signed(2)), ("n".into(), Value::Null)]);
        assert_eq!(shown(record), "{\"m\": 2, \"n\": null}");
        assert_eq!(shown(Value::Named { text: "FOO".into(), number: 333 }), "333");
        assert_eq!(shown(Value::pointer(50)), "50");
        assert_eq!(shown(Value::pointer(0xffff_ffff_0000_0001)), "\"18446744069414584321\"");
        assert_eq!(shown(Value::Unsigned(u64::MAX)), "\"18446744073709551615\"");
        assert_eq!(shown(Value::Signed(i64::MAX)), "\"9223372036854775807\"");
        assert_eq!(shown(Value::Signed(i64::MIN)), "-9223372036854775808");
        assert_eq!(shown(Value::Buffer(vec![104, 200])), "[104,200]");
        let bytes = b"\xff\xc3\xa4\x7f".to_vec();
        assert_eq!(shown(Value::String { bytes, truncated: true }), "\"\\\\xffä\\u007f..\"");
    }

    #[test]
    fn statistics_are_marked_as_such() {
        let number = |n| Box::new(Value::Unsigned(n));
        let stats = Value::Stats { count: 2, average: number(60), total: number(120) };
        assert_eq!(
            line(None, Type::Aggregate(Aggregate::Stats { signed: false }), vec![(Value::Null, stats)]),
            "{\"type\": \"stats\", \"data\": {\"@a\": {\"count\": 2, \"average\": 6, \"total\": 120}}}\n"
        );
        let average = Type::Aggregate(Aggregate::Avg { signed: true });
        assert_eq!(
            line(Some(Type::U64), average, vec![(Value::text("c"), Value::Signed(30))]),
            "{\"type\": \"stats\", \"data\": {\"@a\": {\"c\": 3}}}\n"
        );
    }

    #[test]
    fn histograms_have_inclusive_bounds() {
        let hist = Value::Hist(Hist { k: 0, buckets: vec![10, 20, 0, 30] });
        assert_eq!(
            line(None, Type::Aggregate(Aggregate::Hist { k: 0 }), vec![(Value::Null, hist)]),
            "{\"type\": \"hist\", \"data\": {\"@a\": [{\"max\": -1, \"count\": 1},\
             {\"min\": 0, \"max\": 0, \"count\": 2},{\"min\": 1, \"max\": 1, \"count\": 0},\
             {\"min\": 2, \"max\": 3, \"count\": 3}]}}\n"
        );
        let ty = Type::Aggregate(Aggregate::Lhist { min: -10, max: 0, step: 10 });
        let lhist = Value::Lhist(Lhist { min: -10, max: 0, step: 10, buckets: vec![0, 1, 1] });
        assert_eq!(
            line(Some(Type::U64), ty.clone(), vec![(Value::Signed(7), lhist)]),
            "{\"type\": \"hist\", \"data\": {\"@a\": {\"7\": [\
             {\"min\": -10, \"max\": -1, \"count\": 1},{\"min\": 0, \"count\": 1}]}}}\n"
        );
        assert_eq!(
            line(None, ty.clone(), vec![(Value::Null, Value::zero(&ty))]),
            "{\"type\": \"hist\", \"data\": {\"@a\": []}}\n"
        );
    }

    #[test]
    fn time_series_give_the_start_of_each_interval() {
        let ty = Type::Aggregate(Aggregate::Tseries {
            interval_ns: 100_000_000,
            intervals: 5,
            combine: Combine::Last,
            signed: true,
        });
        let Value::Tseries(mut series) = Value::zero(&ty) else { panic!() };
        series.points = vec![(500_000_000, Value::Signed(9)), (700_000_000, Value::Signed(-8))];
        assert_eq!(
            line(None, ty, vec![(Value::Null, Value::Tseries(series))]),
            "{\"type\": \"tseries\", \"data\": {\"@a\": [\
             {\"interval_start\":\"1970-01-01 00:00:00.500000000\",\"value\":9},\
             {\"interval_start\":\"1970-01-01 00:00:00.700000000\",\"value\":-8}]}}\n"
        );
    }

    #[test]
    fn messages() {
        assert_eq!(message("printf", "a\tb"), "{\"type\": \"printf\", \"data\": \"a\\tb\"}\n");
        assert_eq!(attached_probes(1), "{\"type\": \"attached_probes\", \"count\": 1, \"data\": {\"probes\": 1}}\n");
        assert_eq!(lost_events(3), "{\"type\": \"lost_events\", \"count\": 3, \"data\": {\"events\": 3}}\n");
        let position = Position { filename: "stdin", line: 1, column: 87 };
        assert_eq!(
            helper_error("Bad address", "probe_read_user", -14, position),
            "{\"type\": \"helper_error\", \"msg\": \"Bad address\", \"helper\": \"probe_read_user\", \
             \"retcode\": -14, \"filename\": \"stdin\", \"line\": 1, \"col\": 87}\n"
        );
        assert_eq!(
            positioned("warnf", "x", position),
            "{\"type\": \"warnf\", \"msg\": \"x\", \"filename\": \"stdin\", \"line\": 1, \"col\": 87}\n"
        );
    }
}
