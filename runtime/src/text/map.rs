//! The text of a map.

use std::fmt::Write;

use probebook_compiler::types::{Aggregate, Type};

use super::value::{key as key_text, push, push_histogram};
use super::{TextOptions, tseries};
use crate::value::{MapSnapshot, Value};

/// What stands between a script's output and the maps that are printed at its end.
pub const SEPARATOR: &str = "\n\n";

/// What `print(@map, top, div)` writes; 0 `top` is all, 0 `div` is 1.
///
/// A map without keys that was never assigned prints as zero, but as nothing if it is a histogram
/// or a time series. At the end of a script empty maps are not printed: the caller leaves them out.
pub fn map(map: &MapSnapshot, top: u32, div: u32, options: &TextOptions) -> String {
    let limited = map.limited(top, div);
    let mut out = String::new();
    if map.key.is_none() && map.entries.is_empty() && !is_chart(&map.value) {
        push_scalar(&mut out, &map.name, &Value::zero(&map.value), options);
    }
    let epochs = tseries::shared_epochs(map);
    for (key, value) in &limited.entries {
        let _ = write!(out, "@{}", map.name);
        if map.key.is_some() {
            let _ = write!(out, "[{}]", key_text(key, options));
        }
        match value {
            Value::Hist(hist) => {
                out.push_str(":\n");
                push_histogram(&mut out, &hist.rows(div));
            }
            Value::Lhist(lhist) => {
                out.push_str(":\n");
                push_histogram(&mut out, &lhist.rows());
            }
            Value::Tseries(series) => {
                out.push_str(":\n");
                tseries::push(&mut out, series, epochs.as_ref(), options);
            }
            other => {
                out.push_str(": ");
                push(&mut out, other, options);
            }
        }
        out.push('\n');
    }
    out
}

/// One entry, as older versions of bpftrace wrote `print(@map[key])`; newer ones write the value
/// alone: [`super::print`].
pub fn map_entry(name: &str, key: &Value, value: &Value, options: &TextOptions) -> String {
    let mut out = format!("@{name}[{}]: ", key_text(key, options));
    push(&mut out, value, options);
    out.push('\n');
    out
}

fn push_scalar(out: &mut String, name: &str, value: &Value, options: &TextOptions) {
    let _ = write!(out, "@{name}: ");
    push(out, value, options);
    out.push('\n');
}

fn is_chart(ty: &Type) -> bool {
    use Aggregate::{Hist, Lhist, Tseries};
    matches!(ty, Type::Aggregate(Hist { .. } | Lhist { .. } | Tseries { .. }))
}
