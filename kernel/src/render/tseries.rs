//! Time series as lines.

use plotters::style::text_anchor::HPos;
use probebook_runtime::text::{TextOptions, clock};
use probebook_runtime::value::{MapSnapshot, Tseries, Value};

use super::chart::{ACCENT, Frame, Look, Picture, Scale, WIDTH, picture};
use super::panels::{Panel, Panels};
use super::units;

/// Steps that a clock's labels may have, in nanoseconds.
const STEPS: [u64; 27] = {
    const MS: u64 = 1_000_000;
    const S: u64 = 1_000 * MS;
    [
        MS,
        2 * MS,
        5 * MS,
        10 * MS,
        20 * MS,
        50 * MS,
        100 * MS,
        200 * MS,
        500 * MS,
        S,
        2 * S,
        5 * S,
        10 * S,
        15 * S,
        30 * S,
        60 * S,
        120 * S,
        300 * S,
        600 * S,
        900 * S,
        1_800 * S,
        3_600 * S,
        7_200 * S,
        14_400 * S,
        21_600 * S,
        43_200 * S,
        86_400 * S,
    ]
};
/// The room that a label of the time needs, in pixels.
const LABEL_ROOM: u64 = 100;

/// A recorded interval: its start in nanoseconds since 1970, and its value.
type Point = (u64, f64);

struct Line {
    interval: u64,
    points: Vec<Point>,
}

/// One panel for each key, over the same time; `None` if nothing was recorded.
pub fn svg(map: &MapSnapshot, options: &TextOptions) -> Option<String> {
    let panels = Panels::of(map, options, |value| match value {
        Value::Tseries(series) => line(series),
        _ => None,
    })?;
    let times = || panels.iter().flat_map(|panel| panel.content.points.iter().map(|(t, _)| *t));
    let (first, last) = (times().min()?, times().max()?);
    Some(picture(panels.height(), |picture| {
        for (panel, frame) in panels.placed() {
            draw_panel(picture, panel, frame, (first, last), units::of_values(&map.name), options);
        }
        picture.note(panels.height(), &panels.note());
    }))
}

fn line(series: &Tseries) -> Option<Line> {
    let points: Vec<Point> = series
        .points
        .iter()
        .filter_map(|(start, value)| match value {
            Value::Signed(number) => Some((*start, *number as f64)),
            Value::Unsigned(number) => Some((*start, *number as f64)),
            _ => None,
        })
        .collect();
    (!points.is_empty()).then_some(Line { interval: series.interval_ns, points })
}

fn draw_panel(
    picture: &mut Picture<'_>,
    panel: &Panel<Line>,
    frame: Frame,
    (first, last): (u64, u64),
    quantity: &str,
    options: &TextOptions,
) {
    let line = &panel.content;
    let count = line.points.len();
    let plural = if count == 1 { "" } else { "s" };
    let remark = format!("{count} interval{plural} of {}", duration(line.interval));
    picture.heading(panel.top, &panel.title, &remark);
    let values = || line.points.iter().map(|(_, value)| *value);
    let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    // One value lies in the middle.
    let (low, high) = if low == high && low != 0.0 { (low - 1.0, high + 1.0) } else { (low, high) };
    // Zero belongs to the picture unless the values lie far from it.
    let low = if low > 0.0 && low < high / 2.0 { 0.0 } else { low };
    let scale = Scale::new(low, high, (frame.height() / 40).clamp(2, 5).unsigned_abs());
    let plot = picture.vertical_axis(frame, &scale, quantity);
    let span = (last - first).max(1);
    let x = |time: u64| {
        let share = time.saturating_sub(first) as f64 / span as f64;
        plot.left + 6 + (share * f64::from(plot.width() - 12)).round() as i32
    };
    for run in line.points.chunk_by(|(left, _), (right, _)| right - left <= line.interval) {
        let place = |(time, value): &Point| (x(*time), scale.place(*value, plot.bottom, plot.top));
        let places: Vec<(i32, i32)> = run.iter().map(place).collect();
        if line.points.len() <= 60 || places.len() == 1 {
            places.iter().for_each(|place| picture.dot(*place, 3));
        }
        picture.line(places, ACCENT, 2);
    }
    picture.baseline(plot);
    draw_times(picture, plot, (first, last), options, x);
    picture.text((WIDTH - 16, plot.bottom + 32), HPos::Right, Look::Note, "time");
}

fn draw_times(
    picture: &mut Picture<'_>,
    plot: Frame,
    (first, last): (u64, u64),
    options: &TextOptions,
    x: impl Fn(u64) -> i32,
) {
    let most = (plot.width().unsigned_abs() as u64 / LABEL_ROOM).max(1);
    let fits = |step: &&u64| (last - first) / **step <= most;
    let step = STEPS.iter().find(fits).copied().unwrap_or(u64::MAX);
    let digits = if step < 1_000_000_000 { 3 } else { 0 };
    let behind = first % step;
    let mut time = if behind == 0 { first } else { first.saturating_add(step - behind) };
    if time > last {
        picture.horizontal_tick(x(first), plot, &clock(first, 3, options));
    }
    while time <= last {
        picture.horizontal_tick(x(time), plot, &clock(time, digits, options));
        time = time.saturating_add(step);
    }
}

fn duration(nanoseconds: u64) -> String {
    let (scaled, unit) = match nanoseconds {
        1_000_000_000.. => (nanoseconds as f64 / 1e9, "s"),
        1_000_000.. => (nanoseconds as f64 / 1e6, "ms"),
        1_000.. => (nanoseconds as f64 / 1e3, "µs"),
        _ => (nanoseconds as f64, "ns"),
    };
    format!("{scaled} {unit}")
}
