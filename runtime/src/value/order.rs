//! The order of values, and the order in which a map's entries are printed.

use std::cmp::Ordering;

use super::{MapSnapshot, Value};

impl MapSnapshot {
    /// Sorts as bpftrace prints: numbers and what was aggregated into them by value, histograms by
    /// how much they counted, time series by when they were last updated, all else by key.
    /// Entries that are equal in this are sorted by key, so that the output is reproducible.
    pub fn sort(&mut self) {
        self.entries.sort_by(|(left_key, left), (right_key, right)| {
            weight(left).cmp(&weight(right)).then_with(|| compare(left_key, right_key))
        });
    }
}

/// What entries are sorted by before their keys; equal for values that have no such number.
fn weight(value: &Value) -> Option<i128> {
    match value {
        Value::Signed(number) => Some(i128::from(*number)),
        Value::Unsigned(number) => Some(i128::from(*number)),
        Value::Stats { average, .. } => weight(average),
        Value::Hist(hist) => Some(total(&hist.buckets)),
        Value::Lhist(lhist) => Some(total(&lhist.buckets)),
        Value::Tseries(series) => series.points.last().map(|(start, _)| i128::from(*start)),
        _ => None,
    }
}

fn total(buckets: &[u64]) -> i128 {
    buckets.iter().map(|count| i128::from(*count)).sum()
}

/// Numbers by magnitude, strings by their bytes, sequences by their first difference.
pub fn compare(left: &Value, right: &Value) -> Ordering {
    use Value::{Array, Bool, Buffer, Inet, Mac, Record, Stack, String, Time, Tuple};
    match (left, right) {
        (Bool(left), Bool(right)) => left.cmp(right),
        (String { bytes: left, .. }, String { bytes: right, .. }) => left.cmp(right),
        (Buffer(left), Buffer(right)) => left.cmp(right),
        (Array(left), Array(right)) | (Tuple(left), Tuple(right)) => compare_all(left, right),
        (Record(left), Record(right)) => {
            let pairs = left.iter().zip(right).map(|((_, left), (_, right))| compare(left, right));
            first_difference(pairs).then(left.len().cmp(&right.len()))
        }
        (Inet(left), Inet(right)) => left.cmp(right),
        (Mac(left), Mac(right)) => left.cmp(right),
        (Time(left), Time(right)) => left.cmp(right),
        (Stack(left), Stack(right)) => {
            let left = left.frames.iter().map(|frame| frame.address);
            left.cmp(right.frames.iter().map(|frame| frame.address))
        }
        (left, right) => number(left).cmp(&number(right)),
    }
}

fn number(value: &Value) -> Option<i128> {
    match value {
        Value::Named { number, .. } => Some(i128::from(*number)),
        other => weight(other),
    }
}

fn compare_all(left: &[Value], right: &[Value]) -> Ordering {
    let pairs = left.iter().zip(right).map(|(left, right)| compare(left, right));
    first_difference(pairs).then(left.len().cmp(&right.len()))
}

fn first_difference(mut pairs: impl Iterator<Item = Ordering>) -> Ordering {
    pairs.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use probebook_compiler::types::Type;

    fn text(bytes: &str) -> Value {
        Value::String { bytes: bytes.into(), truncated: false }
    }

    fn sorted(entries: Vec<(Value, Value)>) -> Vec<(Value, Value)> {
        let (key, value) = (Some(Type::U64), Type::U64);
        let mut map = MapSnapshot { name: "x".into(), key, value, entries, lost_keys: 0 };
        map.sort();
        map.entries
    }

    #[test]
    fn numbers_sort_by_value_and_then_by_key() {
        let entries =
            vec![(text("b"), Value::Signed(7)), (text("a"), Value::Signed(7)), (text("z"), Value::Signed(-1))];
        let keys: Vec<Value> = sorted(entries).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [text("z"), text("a"), text("b")]);
    }

    #[test]
    fn other_values_sort_by_key_element_by_element() {
        let key = |n, s| Value::Tuple(vec![Value::Signed(n), text(s)]);
        let entries = vec![
            (key(2, "a"), text("1")),
            (key(1, "b"), text("2")),
            (key(1, "a"), text("3")),
            (key(-1, "z"), text("4")),
        ];
        let keys: Vec<Value> = sorted(entries).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [key(-1, "z"), key(1, "a"), key(1, "b"), key(2, "a")]);
    }

    #[test]
    fn large_unsigned_keys_come_last() {
        let entries = vec![(Value::Unsigned(u64::MAX), text("")), (Value::Unsigned(1), text(""))];
        assert_eq!(sorted(entries)[0].0, Value::Unsigned(1));
    }
}
