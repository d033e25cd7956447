//! Linear histograms.

use probebook_runtime::text::TextOptions;
use probebook_runtime::value::{Lhist, MapSnapshot, Value};

use super::columns;
use super::hist::add;
use super::panels::Panels;
use super::units;

/// One panel for each key; `None` if nothing was counted.
pub fn svg(map: &MapSnapshot, options: &TextOptions) -> Option<String> {
    let panels = Panels::of(map, options, |value| match value {
        Value::Lhist(lhist) => Some(lhist.rows()).filter(|rows| !rows.is_empty()),
        _ => None,
    })?;
    let mut sum: Option<Lhist> = None;
    for (_, value) in &map.entries {
        let Value::Lhist(lhist) = value else { continue };
        match &mut sum {
            None => sum = Some(lhist.clone()),
            Some(sum) => add(&mut sum.buckets, &lhist.buckets),
        }
    }
    Some(columns::draw(&panels, &sum?.rows(), units::of_values(&map.name)))
}
