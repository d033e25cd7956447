//! Buckets as columns side by side: what log2 and linear histograms have in common.

use plotters::style::text_anchor::HPos;
use probebook_runtime::value::{Bucket, Edge};

use super::chart::{ACCENT, Frame, Look, Picture, Scale, WIDTH, number, picture, text_width};
use super::panels::{Panel, Panels};

/// Draws one panel for each key. All panels span the same buckets, so that they can be compared;
/// `quantity` is what the buckets are of.
pub fn draw(panels: &Panels<Vec<Bucket>>, all: &[Bucket], quantity: &str) -> String {
    let group = all.len().div_ceil(panels.columns()).max(1);
    let columns: Vec<&[Bucket]> = all.chunks(group).collect();
    picture(panels.height(), |picture| {
        for (panel, frame) in panels.placed() {
            let plot = draw_panel(picture, panel, frame, all, &columns, group);
            picture.text((WIDTH - 16, plot.bottom + 32), HPos::Right, Look::Note, quantity);
        }
        picture.note(panels.height(), &panels.note());
    })
}

/// Returns where the columns stand.
fn draw_panel(
    picture: &mut Picture<'_>,
    panel: &Panel<Vec<Bucket>>,
    frame: Frame,
    all: &[Bucket],
    columns: &[&[Bucket]],
    group: usize,
) -> Frame {
    let counts = aligned(&panel.content, all);
    let sums: Vec<u64> = counts.chunks(group).map(|counts| counts.iter().sum()).collect();
    let total: u64 = sums.iter().sum();
    let largest = sums.iter().copied().max().unwrap_or(0);
    picture.heading(panel.top, &panel.title, &format!("{} values", number(total as f64)));

    let steps = (frame.height() / 40).clamp(2, 5).unsigned_abs();
    let scale = Scale::new(0.0, largest as f64, steps);
    let plot = picture.vertical_axis(frame, &scale, "count");
    let edge = |index: usize| plot.left + plot.width() * index as i32 / columns.len().max(1) as i32;
    let gap = i32::from(edge(1) - edge(0) >= 4);
    let room_for_counts = edge(1) - edge(0) >= 34;
    for (index, count) in sums.iter().enumerate().filter(|(_, count)| **count > 0) {
        // A column that is too low to see would pass for an empty one.
        let top = scale.place(*count as f64, plot.bottom, plot.top).min(plot.bottom - 1);
        let (left, right) = (edge(index) + gap, edge(index + 1) - gap);
        picture.rectangle(Frame { left, top, right, bottom: plot.bottom }, ACCENT);
        if room_for_counts {
            let center = (left + right) / 2;
            picture.text((center, top - 8), HPos::Center, Look::Note, &number(*count as f64));
        }
    }
    picture.baseline(plot);
    draw_edges(picture, plot, columns, edge);
    plot
}

/// The counts of a panel's rows, at their places among all rows.
fn aligned(rows: &[Bucket], all: &[Bucket]) -> Vec<u64> {
    let offset =
        rows.first().and_then(|first| all.iter().position(|row| row.lower == first.lower && row.upper == first.upper));
    let mut counts = vec![0; all.len()];
    for (count, row) in counts.iter_mut().skip(offset.unwrap_or(0)).zip(rows) {
        *count = row.count;
    }
    counts
}

/// As many edges are labelled as have room; each column begins at its label.
fn draw_edges(picture: &mut Picture<'_>, plot: Frame, columns: &[&[Bucket]], edge: impl Fn(usize) -> i32) {
    let label = |edge: Option<&Edge>, unbounded: &str| {
        edge.map_or(unbounded.to_owned(), |edge| edge.label.replace('-', "\u{2212}"))
    };
    let mut labels: Vec<String> =
        columns.iter().filter_map(|rows| rows.first()).map(|row| label(row.lower.as_ref(), "\u{2212}∞")).collect();
    let last = columns.last().and_then(|rows| rows.last());
    labels.push(label(last.and_then(|row| row.upper.as_ref()), "∞"));
    let widest = labels.iter().map(|label| text_width(label, Look::Note)).max().unwrap_or(0);
    let per_column = (plot.width() / columns.len().max(1) as i32).max(1);
    let every = ((widest + 8) / per_column + 1).unsigned_abs() as usize;
    let (first, every) = round_edges(columns, every);
    for (index, label) in labels.iter().enumerate().skip(first).step_by(every) {
        picture.horizontal_tick(edge(index), plot, label);
    }
}

/// Which edge is labelled first, and each how many-th from there (`every` at least), so that round
/// numbers are: powers of two where columns grow, multiples where they are equally wide.
fn round_edges(columns: &[&[Bucket]], every: usize) -> (usize, usize) {
    let lower = |index: usize| {
        let edge = columns.get(index)?.first()?.lower.as_ref()?;
        Some(edge.number)
    };
    let width = |index: usize| Some(lower(index + 1)? - lower(index)?);
    let grows = columns.len() > 2 && width(columns.len() - 2) != width(1);
    let is_binary = width(1).is_some_and(|width| width % 1024 == 0);
    let every = if grows || is_binary {
        every.next_power_of_two()
    } else {
        let round = [1, 2, 5, 10, 20, 50, 100, 200];
        round.into_iter().find(|round| *round >= every).unwrap_or(every)
    };
    if every == 1 {
        return (0, 1);
    }
    let span = width(1).unwrap_or(1) * every as i128;
    let is_round = |index: &usize| match lower(*index) {
        Some(number) if grows => number > 0 && number.count_ones() == 1,
        Some(number) => number % span.max(1) == 0,
        None => false,
    };
    ((0..every).find(is_round).unwrap_or(0), every)
}
