//! Log2 histograms.

use probebook_runtime::text::TextOptions;
use probebook_runtime::value::{Hist, MapSnapshot, Value};

use super::columns;
use super::panels::Panels;
use super::units;

/// One panel for each key; `None` if nothing was counted.
pub fn svg(map: &MapSnapshot, div: u32, options: &TextOptions) -> Option<String> {
    let panels = Panels::of(map, options, |value| match value {
        Value::Hist(hist) => Some(hist.rows(div)).filter(|rows| !rows.is_empty()),
        _ => None,
    })?;
    let mut sum: Option<Hist> = None;
    for (_, value) in &map.entries {
        let Value::Hist(hist) = value else { continue };
        match &mut sum {
            None => sum = Some(hist.clone()),
            Some(sum) => add(&mut sum.buckets, &hist.buckets),
        }
    }
    Some(columns::draw(&panels, &sum?.rows(1), units::of_values(&map.name)))
}

pub(super) fn add(sums: &mut [u64], counts: &[u64]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum = sum.saturating_add(*count);
    }
}
