//! The buckets of histograms with their edges, as text, JSON and pictures show them.

use super::{Hist, Lhist};

const KILO: i128 = 1024;
const MEGA: i128 = 1024 * 1024;

/// Where a bucket begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    pub number: i128,
    /// As bpftrace writes it: `512`, `4K`.
    pub label: String,
    /// The label is the number itself, so a bucket of one value may be written as that value.
    plain: bool,
}

/// One bucket: from `lower` (inclusive) to `upper` (exclusive); `None` is unbounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub lower: Option<Edge>,
    pub upper: Option<Edge>,
    pub count: u64,
}

impl Edge {
    fn plain(number: i128) -> Edge {
        Edge { number, label: number.to_string(), plain: true }
    }
}

impl Bucket {
    /// `[4K, 8K)`, `[3]`, `(..., 0)` or `[100, ...)`.
    pub fn label(&self) -> String {
        match (&self.lower, &self.upper) {
            (None, None) => "(..., ...)".into(),
            (None, Some(upper)) => format!("(..., {})", upper.label),
            (Some(lower), None) => format!("[{}, ...)", lower.label),
            (Some(lower), Some(upper)) => {
                if lower.plain && upper.plain && lower.number + 1 == upper.number {
                    format!("[{}]", lower.label)
                } else {
                    format!("[{}, {})", lower.label, upper.label)
                }
            }
        }
    }
}

impl Hist {
    /// From the first to the last bucket that counted anything, counts divided by `div`.
    pub fn rows(&self, div: u32) -> Vec<Bucket> {
        let div = u64::from(div.max(1));
        let bucket = |index: usize, count: u64| Bucket {
            lower: index.checked_sub(1).map(|below| self.upper_edge(below)),
            upper: Some(self.upper_edge(index)),
            count: count / div,
        };
        used(&self.buckets).map(|(index, count)| bucket(index, count)).collect()
    }

    /// Bucket 0 is below zero; then each value has its bucket up to 2^(k+1), from where on every
    /// power of two is split into 2^k buckets.
    fn upper_edge(&self, index: usize) -> Edge {
        let k = u32::from(self.k);
        if index <= 2usize << k {
            return Edge::plain(index as i128);
        }
        let per_power = 1usize << k;
        let mantissa = (per_power + (index & (per_power - 1))) as i128;
        let power = (index >> k).saturating_sub(1).min(100);
        let suffix = ["", "K", "M", "G", "T", "P", "E"].get(power / 10).copied().unwrap_or("?");
        let label = format!("{}{suffix}", mantissa << (power % 10));
        Edge { number: mantissa << power, label, plain: false }
    }
}

impl Lhist {
    /// From the first to the last bucket that counted anything.
    pub fn rows(&self) -> Vec<Bucket> {
        let edge = |index: usize| {
            let number = i128::from(self.min) + index as i128 * i128::from(self.step.max(1));
            (number <= i128::from(self.max)).then(|| self.edge(number))
        };
        let bucket =
            |index: usize, count: u64| Bucket { lower: index.checked_sub(1).and_then(edge), upper: edge(index), count };
        used(&self.buckets).map(|(index, count)| bucket(index, count)).collect()
    }

    /// Labels are shortened only if the step lets all of them be.
    fn edge(&self, number: i128) -> Edge {
        if i128::from(self.step) % KILO != 0 {
            return Edge::plain(number);
        }
        let label = match number {
            0 => "0".to_owned(),
            n if n % MEGA == 0 => format!("{}M", n / MEGA),
            n if n % KILO == 0 => format!("{}K", n / KILO),
            n => n.to_string(),
        };
        Edge { number, label, plain: false }
    }
}

/// Index and count from the first bucket that is not zero to the last.
fn used(buckets: &[u64]) -> impl Iterator<Item = (usize, u64)> + '_ {
    let first = buckets.iter().position(|count| *count > 0).unwrap_or(buckets.len());
    let end = buckets.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
    buckets.iter().copied().enumerate().take(end).skip(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use probebook_compiler::types::hist_buckets;

    /// The bucket that a value falls into, by definition: see `hist_buckets`.
    fn hist_index(value: i64, k: u8) -> usize {
        if value < 0 {
            return 0;
        }
        let value = value as u64;
        if value < 1 << k {
            return value as usize + 1;
        }
        let exponent = 63 - value.leading_zeros() - u32::from(k);
        let fraction = (value >> exponent) as usize & ((1 << k) - 1);
        ((exponent as usize + 1) << k) + fraction + 1
    }

    fn labels(values: &[i64], k: u8) -> Vec<String> {
        let mut buckets = vec![0; hist_buckets(k) as usize];
        for value in values {
            buckets[hist_index(*value, k)] += 1;
        }
        let rows = Hist { k, buckets }.rows(1);
        rows.iter().filter(|row| row.count > 0).map(Bucket::label).collect()
    }

    #[test]
    fn powers_of_two_are_labelled_with_binary_suffixes() {
        let values = [-5, 0, 1, 2, 4, 1023, 1024, 1 << 20, 1 << 33, 1 << 62];
        assert_eq!(
            labels(&values, 0),
            [
                "(..., 0)",
                "[0]",
                "[1]",
                "[2, 4)",
                "[4, 8)",
                "[512, 1K)",
                "[1K, 2K)",
                "[1M, 2M)",
                "[8G, 16G)",
                "[4E, 8E)"
            ]
        );
    }

    #[test]
    fn finer_buckets_split_each_power() {
        let values = [3, 7, 8, 9, 10, 225, 1024, 1280, i64::MAX];
        assert_eq!(
            labels(&values, 2),
            ["[3]", "[7]", "[8, 10)", "[10, 12)", "[224, 256)", "[1024, 1280)", "[1280, 1536)", "[7E, 8E)"]
        );
    }

    #[test]
    fn every_value_lies_within_the_edges_of_its_bucket() {
        for k in 0..=5 {
            for value in (0..2000).chain([i64::MAX, 1 << 40, (1 << 40) - 1]) {
                let mut buckets = vec![0; hist_buckets(k) as usize];
                buckets[hist_index(value, k)] = 1;
                let row = Hist { k, buckets }.rows(1).remove(0);
                let (lower, upper) = (row.lower.unwrap().number, row.upper.unwrap().number);
                assert!((lower..upper).contains(&i128::from(value)), "{value} {lower} {upper} {k}");
            }
        }
    }

    #[test]
    fn a_quotient_of_zero_keeps_its_row() {
        let rows = Hist { k: 0, buckets: vec![0, 5, 0, 30] }.rows(10);
        assert_eq!(rows.iter().map(|row| row.count).collect::<Vec<_>>(), [0, 0, 3]);
    }

    #[test]
    fn linear_labels_are_short_only_if_all_can_be() {
        let rows = |min, max, step, buckets: &[u64]| -> Vec<String> {
            let lhist = Lhist { min, max, step, buckets: buckets.to_vec() };
            lhist.rows().iter().map(Bucket::label).collect()
        };
        assert_eq!(rows(610_000, 670_000, 10_000, &[0, 0, 0, 1, 1]), ["[630000, 640000)", "[640000, 650000)"]);
        assert_eq!(rows(0, 5120, 1024, &[1, 1, 0, 0, 0, 0, 1])[..2], ["(..., 0)", "[0, 1K)"]);
        assert_eq!(rows(0, 100, 10, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), ["[100, ...)"]);
        assert_eq!(rows(10, 110, 10, &[1, 0]), ["(..., 10)"]);
        assert_eq!(rows(0, 4, 1, &[0, 0, 1]), ["[1]"]);
        assert_eq!(rows(-4, 4, 2, &[0, 1, 1]), ["[-4, -2)", "[-2, 0)"]);
    }
}
