//! Aggregated map values: each CPU has its own copy, readers combine them.

use std::collections::BTreeMap;

use probebook_compiler::types::{Aggregate, Combine, TSERIES_SLOT_SIZE};

use super::read_u64;
use crate::value::{Hist, Lhist, Tseries, Value};

/// One value from the copies of all CPUs; a copy that is too short adds nothing.
pub fn decode_aggregate<'a>(aggregate: &Aggregate, per_cpu: impl IntoIterator<Item = &'a [u8]>) -> Value {
    let copies = per_cpu.into_iter();
    match aggregate {
        Aggregate::Count => Value::Unsigned(sums::<1>(copies)[0]),
        Aggregate::Sum { signed } => number(sums::<1>(copies)[0], *signed),
        Aggregate::Avg { signed } => {
            let [total, count] = sums::<2>(copies);
            average(total, count, *signed)
        }
        Aggregate::Stats { signed } => {
            let [total, count] = sums::<2>(copies);
            Value::Stats {
                count,
                average: Box::new(average(total, count, *signed)),
                total: Box::new(number(total, *signed)),
            }
        }
        Aggregate::Min { signed } => extreme(copies, Combine::Min, *signed),
        Aggregate::Max { signed } => extreme(copies, Combine::Max, *signed),
        Aggregate::Hist { k } => {
            let buckets = buckets(copies, aggregate.size() as usize / 8);
            Value::Hist(Hist { k: *k, buckets })
        }
        Aggregate::Lhist { min, max, step } => {
            let buckets = buckets(copies, aggregate.lhist_buckets() as usize);
            Value::Lhist(Lhist { min: *min, max: *max, step: *step, buckets })
        }
        Aggregate::Tseries { interval_ns, intervals, combine, signed } => Value::Tseries(Tseries {
            interval_ns: *interval_ns,
            intervals: *intervals,
            combine: *combine,
            signed: *signed,
            points: points(copies, *interval_ns, *intervals, *combine, *signed),
        }),
    }
}

fn number(raw: u64, signed: bool) -> Value {
    if signed { Value::Signed(raw.cast_signed()) } else { Value::Unsigned(raw) }
}

/// The copies' words, added up word by word.
fn sums<'a, const N: usize>(copies: impl Iterator<Item = &'a [u8]>) -> [u64; N] {
    let mut sums = [0u64; N];
    for copy in copies {
        for (index, sum) in sums.iter_mut().enumerate() {
            *sum = sum.wrapping_add(read_u64(copy, index * 8).unwrap_or(0));
        }
    }
    sums
}

fn average(total: u64, count: u64, signed: bool) -> Value {
    match (count, signed) {
        (0, _) => number(0, signed),
        (_, true) => Value::Signed(total.cast_signed().wrapping_div(count.cast_signed())),
        (_, false) => Value::Unsigned(total / count),
    }
}

/// The smaller or larger of two numbers, as signed or unsigned.
fn chosen(left: u64, right: u64, combine: Combine, signed: bool) -> u64 {
    let left_is_less = if signed { left.cast_signed() < right.cast_signed() } else { left < right };
    if left_is_less == (combine == Combine::Min) { left } else { right }
}

fn extreme<'a>(copies: impl Iterator<Item = &'a [u8]>, combine: Combine, signed: bool) -> Value {
    let set = copies.filter(|copy| read_u64(copy, 8).is_some_and(|is_set| is_set != 0));
    let best = set.filter_map(|copy| read_u64(copy, 0)).reduce(|left, right| chosen(left, right, combine, signed));
    number(best.unwrap_or(0), signed)
}

fn buckets<'a>(copies: impl Iterator<Item = &'a [u8]>, length: usize) -> Vec<u64> {
    let mut sums = vec![0u64; length];
    for copy in copies {
        for (sum, chunk) in sums.iter_mut().zip(copy.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_ne_bytes(*chunk));
        }
    }
    sums
}

/// One CPU's record of one interval, or the combination of several CPUs'.
#[derive(Clone, Copy)]
struct Slot {
    value: u64,
    meta: u64,
}

impl Slot {
    fn combined(self, other: Slot, combine: Combine, signed: bool) -> Slot {
        match combine {
            Combine::Last => {
                if other.meta > self.meta {
                    other
                } else {
                    self
                }
            }
            Combine::Avg => {
                Slot { value: self.value.wrapping_add(other.value), meta: self.meta.wrapping_add(other.meta) }
            }
            Combine::Sum => Slot { value: self.value.wrapping_add(other.value), ..self },
            Combine::Min | Combine::Max => Slot { value: chosen(self.value, other.value, combine, signed), ..self },
        }
    }
}

/// Start and value of the newest `intervals` intervals that any CPU recorded, oldest first.
fn points<'a>(
    copies: impl Iterator<Item = &'a [u8]>,
    interval_ns: u64,
    intervals: u32,
    combine: Combine,
    signed: bool,
) -> Vec<(u64, Value)> {
    let mut by_epoch: BTreeMap<u64, Slot> = BTreeMap::new();
    for copy in copies {
        for bytes in copy.chunks_exact(TSERIES_SLOT_SIZE as usize) {
            let word = |index: usize| read_u64(bytes, index * 8).unwrap_or(0);
            let Some(epoch) = word(2).checked_sub(1) else { continue };
            let slot = Slot { value: word(0), meta: word(1) };
            by_epoch.entry(epoch).and_modify(|seen| *seen = seen.combined(slot, combine, signed)).or_insert(slot);
        }
    }
    let newest = by_epoch.keys().next_back().copied().unwrap_or(0);
    let oldest = (newest + 1).saturating_sub(u64::from(intervals));
    by_epoch
        .range(oldest..)
        .map(|(epoch, slot)| {
            let value = match combine {
                Combine::Avg => average(slot.value, slot.meta, signed),
                _ => number(slot.value, signed),
            };
            (epoch.saturating_mul(interval_ns), value)
        })
        .collect()
}
