//! A map as JSON, for programs that read a notebook's outputs.

use probebook_runtime::text::{self, TextOptions};
use probebook_runtime::value::{Bucket, MapSnapshot, Tseries, Value};
use serde_json::{Value as Json, json};

/// `{name, key, value, entries, lost_keys}`: `key` (null for a map without keys) and `value` name
/// the types; `entries` lists `{key, value}` in the order in which they are printed.
///
/// Integers beyond 2^53 are strings, as bpftrace's JSON has them. Histograms are lists of
/// `{min, max, count}` with inclusive bounds, absent where there is none; time series are lists of
/// `{start_ns, value}`, counted from boot; stacks are lists of lines.
pub fn json(map: &MapSnapshot, div: u32, options: &TextOptions) -> Json {
    let entry = |(key, value): &(Value, Value)| json!({ "key": of(key, 1, options), "value": of(value, div, options) });
    json!({
        "name": format!("@{}", map.name),
        "key": map.key.as_ref().map(ToString::to_string),
        "value": map.value.to_string(),
        "entries": map.entries.iter().map(entry).collect::<Vec<_>>(),
        "lost_keys": map.lost_keys,
    })
}

fn of(value: &Value, div: u32, options: &TextOptions) -> Json {
    let all = |values: &[Value]| values.iter().map(|value| of(value, div, options)).collect();
    match value {
        Value::Null => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Signed(number) => integer(i128::from(*number)),
        Value::Unsigned(number) => integer(i128::from(*number)),
        Value::Buffer(bytes) => json!(bytes),
        Value::Array(values) | Value::Tuple(values) => Json::Array(all(values)),
        Value::Record(fields) => {
            let field = |(name, value): &(String, Value)| (name.clone(), of(value, div, options));
            Json::Object(fields.iter().map(field).collect())
        }
        Value::Stats { count, average, total } => json!({
            "count": integer(i128::from(*count)),
            "average": of(average, div, options),
            "total": of(total, div, options),
        }),
        Value::Hist(hist) => buckets(&hist.rows(div)),
        Value::Lhist(lhist) => buckets(&lhist.rows()),
        Value::Tseries(series) => points(series, options),
        Value::Stack(_) => {
            let text = text::value(value, options);
            json!(text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>())
        }
        Value::Named { .. } | Value::String { .. } | Value::Inet(_) | Value::Mac(_) | Value::Time(_) => {
            Json::String(text::value(value, options))
        }
    }
}

/// Readers of JSON take numbers as double precision.
fn integer(number: i128) -> Json {
    match i64::try_from(number) {
        Ok(small) if small.unsigned_abs() <= 1 << 53 => json!(small),
        _ => Json::String(number.to_string()),
    }
}

fn buckets(rows: &[Bucket]) -> Json {
    let bucket = |row: &Bucket| {
        let mut bucket = serde_json::Map::new();
        if let Some(lower) = &row.lower {
            bucket.insert("min".into(), integer(lower.number));
        }
        if let Some(upper) = &row.upper {
            bucket.insert("max".into(), integer(upper.number - 1));
        }
        bucket.insert("count".into(), integer(i128::from(row.count)));
        Json::Object(bucket)
    };
    rows.iter().map(bucket).collect()
}

fn points(series: &Tseries, options: &TextOptions) -> Json {
    let point = |(start, value): &(u64, Value)| json!({ "start_ns": integer(i128::from(*start)), "value": of(value, 1, options) });
    series.points.iter().map(point).collect()
}
