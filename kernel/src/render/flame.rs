//! Stacks by how often they were seen, as a flame graph: callers below, callees on them.

use std::collections::BTreeMap;

use plotters::style::RGBColor;
use probebook_runtime::text::{self, TextOptions};
use probebook_runtime::value::{Frame as StackFrame, MapSnapshot, Stack, Value};

use super::chart::{Frame, Picture, WIDTH, number, picture, printable};

const ROW: i32 = 18;
const TOP: i32 = 36;
const MARGIN: i32 = 16;
/// Deeper frames are cut off.
const MAX_ROWS: usize = 48;
/// Narrow frames are left out until no more than this are drawn, so that the document stays small.
const MAX_FRAMES: usize = 160;
/// Tints of the accent, dark text being readable on all; neighbours differ.
const TINTS: [RGBColor; 3] = [RGBColor(158, 202, 233), RGBColor(190, 219, 240), RGBColor(126, 184, 224)];

/// A function and those that it called.
#[derive(Default)]
struct Node {
    /// Of this and of all that it called.
    weight: u64,
    callees: BTreeMap<String, Node>,
}

/// A frame to be drawn: its extent in pixels, its row from the bottom, its name.
struct FrameBox<'a> {
    left: f64,
    width: f64,
    row: usize,
    name: &'a str,
}

/// `None` unless the keys are or hold stacks, with something counted for them.
pub fn svg(map: &MapSnapshot, options: &TextOptions) -> Option<String> {
    let mut root = Node::default();
    for (key, value) in &map.entries {
        let weight = match value {
            Value::Unsigned(number) => *number,
            Value::Signed(number) => u64::try_from(*number).unwrap_or(0),
            _ => return None,
        };
        root.add(&path(key, options)?, weight);
    }
    if root.weight == 0 {
        return None;
    }
    let depth = root.depth().min(MAX_ROWS);
    let boxes = boxes(&root, depth);
    let height = TOP + ROW * depth as i32 + 12;
    Some(picture(height, |picture| {
        let stacks = map.entries.len();
        let plural = if stacks == 1 { "" } else { "s" };
        let remark = format!("{} in {stacks} stack{plural}", number(root.weight as f64));
        picture.heading(0, &format!("@{}", map.name), &remark);
        for (frame, index) in boxes.iter().zip(0..) {
            draw(picture, frame, height - 12, index);
        }
    }))
}

/// A key's functions from the outermost on; what is no stack stands below them all. `None` if no
/// part of the key is a stack.
fn path(key: &Value, options: &TextOptions) -> Option<Vec<String>> {
    let parts = match key {
        Value::Tuple(parts) => parts.as_slice(),
        other => std::slice::from_ref(other),
    };
    let stacks = |user: bool| {
        parts.iter().filter_map(move |part| match part {
            Value::Stack(stack) if stack.user == user => Some(stack),
            _ => None,
        })
    };
    stacks(true).chain(stacks(false)).next()?;
    let others = parts.iter().filter(|part| !matches!(part, Value::Stack(_)));
    let mut path: Vec<String> = others.map(|part| printable(&text::value(part, options))).collect();
    path.extend(stacks(true).chain(stacks(false)).flat_map(functions));
    Some(path)
}

fn functions(stack: &Stack) -> impl Iterator<Item = String> {
    stack.frames.iter().rev().flat_map(names)
}

/// The frame's function and what was inlined into it, the caller first.
fn names(frame: &StackFrame) -> Vec<String> {
    let escaped = |name: &str| {
        let mut text = String::new();
        text::push_escaped(&mut text, name.as_bytes());
        printable(&text)
    };
    let Some(symbol) = &frame.symbol else { return vec![format!("{:#x}", frame.address)] };
    let inlined = symbol.inlined.iter().rev();
    let inlined = inlined.map(|name| name.split_once('@').map_or(name.as_str(), |(name, _)| name));
    std::iter::once(symbol.name.as_str()).chain(inlined).map(escaped).collect()
}

impl Node {
    fn add(&mut self, path: &[String], weight: u64) {
        let mut node = self;
        node.weight = node.weight.saturating_add(weight);
        for name in path {
            node = node.callees.entry(name.clone()).or_default();
            node.weight = node.weight.saturating_add(weight);
        }
    }

    /// Rows above this one.
    fn depth(&self) -> usize {
        self.callees.values().map(|callee| callee.depth() + 1).max().unwrap_or(0)
    }

    fn place<'a>(&'a self, left: f64, scale: f64, row: usize, boxes: &mut Vec<FrameBox<'a>>) {
        let mut left = left;
        for (name, callee) in &self.callees {
            let width = callee.weight as f64 * scale;
            boxes.push(FrameBox { left, width, row, name });
            callee.place(left, scale, row + 1, boxes);
            left += width;
        }
    }
}

/// The widest frames of the lowest `depth` rows, at least a pixel wide.
fn boxes(root: &Node, depth: usize) -> Vec<FrameBox<'_>> {
    let scale = f64::from(WIDTH - 2 * MARGIN) / root.weight as f64;
    let mut boxes = Vec::new();
    root.place(f64::from(MARGIN), scale, 0, &mut boxes);
    boxes.retain(|frame| frame.row < depth && frame.width >= 1.0);
    boxes.sort_by(|left, right| right.width.total_cmp(&left.width));
    boxes.truncate(MAX_FRAMES);
    boxes.sort_by(|left, right| {
        (left.row, left.left).partial_cmp(&(right.row, right.left)).unwrap_or(std::cmp::Ordering::Equal)
    });
    boxes
}

fn draw(picture: &mut Picture<'_>, frame: &FrameBox<'_>, bottom: i32, index: usize) {
    let bottom = bottom - ROW * frame.row as i32;
    let left = frame.left.round() as i32;
    let right = (frame.left + frame.width).round() as i32;
    // A pixel between neighbours, as long as that leaves something.
    let right = if right - left > 2 { right - 1 } else { right.max(left + 1) };
    let extent = Frame { left, top: bottom - ROW + 1, right, bottom };
    let tint = TINTS.get((index + frame.row) % TINTS.len()).copied().unwrap_or(TINTS[0]);
    picture.rectangle(extent, tint);
    picture.caption(extent, frame.name);
}
