//! Tests of pictures and data.

use std::sync::Arc;

use probebook_compiler::types::{Combine, StackMode, hist_buckets};
use probebook_runtime::value::{Frame, FrameSymbol, Hist, Lhist, Stack, Tseries, Value};
use resvg::usvg::roxmltree::Document;
use serde_json::json;

use super::*;

const HIST: Type = Type::Aggregate(Aggregate::Hist { k: 0 });
const COUNT: Type = Type::Aggregate(Aggregate::Count);
/// What an image may take in a notebook.
const MAX_SVG: usize = 40_000;

fn map(key: Option<Type>, value: Type, entries: Vec<(Value, Value)>) -> MapSnapshot {
    MapSnapshot { name: "x".into(), key, value, entries, lost_keys: 0 }
}

fn hist(k: u8, count: impl Fn(usize) -> u64) -> Value {
    let buckets = (0..hist_buckets(k) as usize).map(count).collect();
    Value::Hist(Hist { k, buckets })
}

fn drawn(map: &MapSnapshot) -> String {
    let svg = svg(map, 0, 0, &TextOptions::default()).expect("a picture");
    assert!(svg.len() < MAX_SVG, "{} bytes", svg.len());
    svg
}

/// All texts of a picture, which also shows that it is well-formed XML.
fn texts(map: &MapSnapshot) -> Vec<String> {
    let svg = drawn(map);
    let document = Document::parse(&svg).expect("XML");
    let mut texts = Vec::new();
    for node in document.descendants().filter(|node| node.is_element()) {
        let known = ["svg", "rect", "text", "polyline", "circle"];
        assert!(known.contains(&node.tag_name().name()), "{node:?}");
        if node.tag_name().name() == "text" {
            texts.push(node.text().unwrap_or_default().trim().to_owned());
        }
    }
    texts
}

fn keys(count: u64) -> impl Iterator<Item = Value> {
    (0..count).map(|index| Value::text(format!("key {index}")))
}

#[test]
fn text_from_the_traced_system_is_no_markup() {
    let hostile = ["</text><script>x", "]]><!--&\"'", "\u{1b}[31m\n\u{fffe}\u{7}", "\u{0}&#0;"];
    let entries = hostile.map(|key| (Value::text(key), Value::Unsigned(1))).to_vec();
    let bars = texts(&map(Some(Type::U64), COUNT, entries.clone()));
    for shown in ["</text><script>x", "]]><!--&\"'", "\\x1b[31m \u{fffd}\\x07", "\\x00&#0;"] {
        assert!(bars.iter().any(|text| text == shown), "{shown} in {bars:?}");
    }
    let entries = entries.into_iter().map(|(key, _)| (key, hist(0, |index| index as u64)));
    let panels = texts(&map(Some(Type::U64), HIST, entries.collect()));
    assert!(panels.iter().any(|text| text == "@x[]]><!--&\"']"), "{panels:?}");
}

#[test]
fn the_largest_six_histograms_are_drawn() {
    let entries = keys(9).map(|key| (key, hist(5, |index| index as u64))).collect();
    let texts = texts(&map(Some(Type::U64), Type::Aggregate(Aggregate::Hist { k: 5 }), entries));
    let titles: Vec<&String> = texts.iter().filter(|text| text.starts_with("@x[")).collect();
    assert_eq!(titles, ["@x[key 8]", "@x[key 7]", "@x[key 6]", "@x[key 5]", "@x[key 4]", "@x[key 3]"]);
    assert!(texts.iter().any(|text| text == "The 6 largest of 9 keys"));
}

#[test]
fn columns_begin_at_their_labels() {
    let value = hist(0, |index| [1, 0, 2, 3, 4][..].get(index).copied().unwrap_or(0));
    let texts = texts(&map(None, HIST, vec![(Value::Null, value)]));
    for label in ["@x", "10 values", "count", "\u{2212}∞", "0", "1", "2", "4", "8"] {
        assert!(texts.iter().any(|text| text == label), "{label} in {texts:?}");
    }
}

#[test]
fn linear_histograms_label_round_numbers() {
    let (min, max, step) = (0, 1000, 10);
    let buckets = (0..102).map(|index| index + 1).collect();
    let value = Value::Lhist(Lhist { min, max, step, buckets });
    let ty = Type::Aggregate(Aggregate::Lhist { min, max, step });
    let texts = texts(&map(None, ty, vec![(Value::Null, value)]));
    assert!(texts.iter().any(|text| text == "500"), "{texts:?}");
}

#[test]
fn bars_show_the_twenty_largest() {
    let entries = keys(30).zip((0..).map(|n| Value::Unsigned(n * 1000))).collect();
    let texts = texts(&map(Some(Type::U64), COUNT, entries));
    for text in ["key 29", "29,000", "key 10", "count", "30 keys", "The 20 largest of 30 keys"] {
        assert!(texts.iter().any(|shown| shown == text), "{text} in {texts:?}");
    }
    assert!(!texts.iter().any(|text| text == "key 9"));
}

#[test]
fn time_series_show_the_wall_clock_and_gaps() {
    let interval_ns = 1_000_000_000;
    let ty = Type::Aggregate(Aggregate::Tseries { interval_ns, intervals: 20, combine: Combine::Last, signed: true });
    let point = |second: u64| (second * interval_ns, Value::Signed(-(second as i64)));
    let series = Tseries {
        interval_ns,
        intervals: 20,
        combine: Combine::Last,
        signed: true,
        points: (1..8).chain(12..20).map(point).collect(),
    };
    let map = map(None, ty, vec![(Value::Null, Value::Tseries(series))]);
    let options = TextOptions::default();
    let svg = svg(&map, 0, 0, &options).expect("a picture");
    let lines = svg.matches("stroke-width=\"2\"").count();
    assert_eq!(lines, 2, "one on each side of the gap");
    assert!(svg.contains(":00:05\n") && svg.contains(":00:15\n"), "round by the clock: {svg}");
}

#[test]
fn a_label_at_the_right_edge_stays_in_the_picture() {
    let interval_ns = 100_000_000;
    let ty = Type::Aggregate(Aggregate::Tseries { interval_ns, intervals: 20, combine: Combine::Last, signed: true });
    let points = (0..=10).map(|interval| (interval * interval_ns, Value::Signed(1))).collect();
    let series = Tseries { interval_ns, intervals: 20, combine: Combine::Last, signed: true, points };
    let svg = drawn(&map(None, ty, vec![(Value::Null, Value::Tseries(series))]));
    let document = Document::parse(&svg).expect("XML");
    let label = document.descendants().find(|node| node.text().is_some_and(|text| text.trim().ends_with(":01.000")));
    let label = label.expect("the last second's label");
    assert_eq!(label.attribute("text-anchor"), Some("middle"));
    let center: i32 = label.attribute("x").and_then(|x| x.parse().ok()).expect("its place");
    let width = chart::text_width(label.text().unwrap_or_default().trim(), chart::Look::Note);
    assert!(center + width / 2 < chart::WIDTH, "{center} + {width} / 2");
}

fn stack(functions: &[&str]) -> Value {
    let frame = |(index, name): (usize, &&str)| Frame {
        address: index as u64,
        symbol: Some(FrameSymbol {
            name: (*name).into(),
            offset: 1,
            module: String::new(),
            location: None,
            inlined: Vec::new(),
        }),
    };
    Value::Stack(Stack {
        mode: StackMode::Bpftrace,
        user: false,
        frames: Arc::new(functions.iter().enumerate().map(frame).collect()),
    })
}

#[test]
fn stacks_are_drawn_from_their_callers_up() {
    let key = |functions| Value::Tuple(vec![Value::text("<comm>"), stack(functions)]);
    let entries = vec![(key(&["read", "main"]), Value::Unsigned(30)), (key(&["write", "main"]), Value::Unsigned(70))];
    let texts = texts(&map(Some(Type::U64), COUNT, entries));
    assert_eq!(texts, ["@x", "100 in 2 stacks", "<comm>", "main", "read", "write"]);
}

#[test]
fn many_stacks_stay_a_small_picture() {
    let names: Vec<String> = (0..400).map(|index| format!("function_{index}")).collect();
    let entries = (0..300).map(|index| {
        let functions: Vec<&str> = names.iter().skip(index).take(100).map(String::as_str).collect();
        (stack(&functions), Value::Unsigned(5))
    });
    drawn(&map(Some(Type::U64), COUNT, entries.collect()));
}

#[test]
fn what_text_says_as_well_has_no_picture() {
    let none = |map: &MapSnapshot| svg(map, 0, 0, &TextOptions::default()).is_none();
    assert!(none(&map(None, Type::U64, vec![(Value::Null, Value::Unsigned(5))])));
    assert!(none(&map(Some(Type::U64), COUNT, vec![(Value::Unsigned(1), Value::Unsigned(5))])));
    assert!(none(&map(None, HIST, vec![(Value::Null, hist(0, |_| 0))])));
    assert!(none(&map(Some(Type::U64), HIST, vec![])));
}

#[test]
fn a_bundle_holds_text_picture_and_data() {
    let map = map(None, HIST, vec![(Value::Null, hist(0, |index| u64::from(index < 2) * 10))]);
    let bundle = bundle(&map, 0, 5, "@x:\n", &TextOptions::default(), Png::Without);
    assert_eq!(bundle.keys().collect::<Vec<_>>(), [MAP_MEDIA_TYPE, "image/svg+xml", "text/plain"]);
    assert_eq!(bundle["text/plain"], "@x:\n");
    assert_eq!(
        bundle[MAP_MEDIA_TYPE],
        json!({
            "name": "@x",
            "key": null,
            "value": "hist_t",
            "entries": [{"key": null, "value": [
                {"max": -1, "count": 2},
                {"min": 0, "max": 0, "count": 2},
            ]}],
            "lost_keys": 0,
        })
    );
}

#[test]
fn data_keeps_numbers_and_structure() {
    let key = Value::Tuple(vec![Value::Signed(-1), Value::text("a b"), stack(&["f", "g"])]);
    let value = Value::Unsigned(u64::MAX);
    let data = data::json(&map(Some(Type::U64), Type::U64, vec![(key, value)]), 0, &TextOptions::default());
    assert_eq!(data["entries"], json!([{"key": [-1, "a b", ["f+1", "g+1"]], "value": "18446744073709551615"}]));
}

#[test]
fn a_png_is_made_where_there_is_a_font() {
    let Some(png) = png::png(&drawn(&map(None, HIST, vec![(Value::Null, hist(0, |_| 1))]))) else {
        eprintln!("skipped: no font is installed here");
        return;
    };
    assert_eq!(png.get(..8), Some(&b"\x89PNG\r\n\x1a\n"[..]));
}
