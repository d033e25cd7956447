//! `print(@map, top, div)`: the largest entries, divided.

use std::borrow::Cow;

use super::{MapSnapshot, Value};

impl MapSnapshot {
    /// The last `top` entries of the sorted map (0: all), numbers divided by `div` (0 is 1).
    ///
    /// Histograms keep their counts, because which rows are shown depends on them: pass `div` to
    /// [`super::Hist::rows`]. As in bpftrace, linear histograms and time series are not divided.
    pub fn limited(&self, top: u32, div: u32) -> Cow<'_, MapSnapshot> {
        let keep = if top == 0 { usize::MAX } else { top as usize };
        let skip = self.entries.len().saturating_sub(keep);
        if skip == 0 && div <= 1 {
            return Cow::Borrowed(self);
        }
        let entries = self.entries.iter().skip(skip);
        Cow::Owned(MapSnapshot {
            name: self.name.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
            entries: entries.map(|(key, value)| (key.clone(), divided(value, div.max(1)))).collect(),
            lost_keys: self.lost_keys,
        })
    }
}

fn divided(value: &Value, div: u32) -> Value {
    let all = |values: &[Value]| values.iter().map(|value| divided(value, div)).collect();
    match value {
        Value::Signed(number) => Value::Signed(number / i64::from(div)),
        Value::Unsigned(number) => Value::Unsigned(number / u64::from(div)),
        Value::Array(values) => Value::Array(all(values)),
        Value::Tuple(values) => Value::Tuple(all(values)),
        Value::Record(fields) => {
            Value::Record(fields.iter().map(|(name, value)| (name.clone(), divided(value, div))).collect())
        }
        Value::Stats { count, average, total } => {
            Value::Stats { count: *count, average: Box::new(divided(average, div)), total: total.clone() }
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probebook_compiler::types::{Aggregate, Type};

    #[test]
    fn top_keeps_the_largest_and_div_divides_values_only() {
        let map = MapSnapshot {
            name: "x".into(),
            key: Some(Type::U64),
            value: Type::Aggregate(Aggregate::Avg { signed: true }),
            entries: (1..=4).map(|n| (Value::Unsigned(n * 10), Value::Signed(n as i64 * 10))).collect(),
            lost_keys: 0,
        };
        let limited = map.limited(2, 10);
        assert_eq!(limited.entries, [(Value::Unsigned(30), Value::Signed(3)), (Value::Unsigned(40), Value::Signed(4))]);
        assert_eq!(map.limited(9, 0).entries.len(), 4);
    }

    #[test]
    fn only_the_average_of_stats_is_divided() {
        let stats =
            Value::Stats { count: 20, average: Box::new(Value::Unsigned(20)), total: Box::new(Value::Unsigned(400)) };
        let Value::Stats { count, average, total } = divided(&stats, 10) else { panic!() };
        assert_eq!((count, *average, *total), (20, Value::Unsigned(2), Value::Unsigned(400)));
    }
}
