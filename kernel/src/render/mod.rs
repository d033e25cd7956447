//! A printed map as Jupyter shows it: text, picture and data side by side.

mod bars;
mod chart;
mod columns;
mod data;
mod flame;
mod hist;
mod lhist;
mod panels;
mod png;
mod tseries;
mod units;

#[cfg(test)]
mod tests;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use probebook_compiler::types::{Aggregate, Type};
use probebook_runtime::text::TextOptions;
use probebook_runtime::value::MapSnapshot;
use serde_json::{Map, Value as Json};

/// The media type of a map's data: see [`data::json`].
pub const MAP_MEDIA_TYPE: &str = "application/vnd.probebook.map+json";

/// Whether a picture is also made for viewers that show no SVG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Png {
    With,
    /// For states that are replaced in a moment.
    Without,
}

/// The data of a `display_data` message, by media type: `text` as it is, the picture if the map
/// has one, and the map's entries.
///
/// `top` and `div` are those of `print(@map, top, div)`, 0 for none.
pub fn bundle(map: &MapSnapshot, top: u32, div: u32, text: &str, options: &TextOptions, png: Png) -> Map<String, Json> {
    let limited = map.limited(top, div);
    let mut bundle = Map::new();
    bundle.insert("text/plain".into(), text.into());
    if let Some(svg) = svg_of(&limited, div, options) {
        let image = if png == Png::With { png::png(&svg) } else { None };
        if let Some(image) = image {
            bundle.insert("image/png".into(), BASE64_STANDARD.encode(image).into());
        }
        bundle.insert("image/svg+xml".into(), svg.into());
    }
    bundle.insert(MAP_MEDIA_TYPE.into(), data::json(&limited, div, options));
    bundle
}

/// The map's picture; `None` where text says as much.
pub fn svg(map: &MapSnapshot, top: u32, div: u32, options: &TextOptions) -> Option<String> {
    svg_of(&map.limited(top, div), div, options)
}

fn svg_of(map: &MapSnapshot, div: u32, options: &TextOptions) -> Option<String> {
    match &map.value {
        Type::Aggregate(Aggregate::Hist { .. }) => hist::svg(map, div, options),
        Type::Aggregate(Aggregate::Lhist { .. }) => lhist::svg(map, options),
        Type::Aggregate(Aggregate::Tseries { .. }) => tseries::svg(map, options),
        Type::Aggregate(_) | Type::Integer { .. } => flame::svg(map, options).or_else(|| bars::svg(map, div, options)),
        _ => None,
    }
}
