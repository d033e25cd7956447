//! One panel for each key of a map, one above the other.

use probebook_runtime::text::{self, TextOptions};
use probebook_runtime::value::{MapSnapshot, Value};

use super::chart::{Frame, WIDTH, printable};

/// More keys than this are not drawn.
const MAX_PANELS: usize = 6;
const NOTE_HEIGHT: i32 = 20;

/// What is drawn for one key.
pub struct Panel<T> {
    pub title: String,
    /// Its upper edge on the picture.
    pub top: i32,
    pub content: T,
}

/// The panels of a picture, that of the largest entry on top.
pub struct Panels<T> {
    panels: Vec<Panel<T>>,
    keys: usize,
}

impl<T> Panels<T> {
    /// Panels of the map's last (largest) entries for which `content` has something to draw.
    pub fn of(map: &MapSnapshot, options: &TextOptions, content: impl Fn(&Value) -> Option<T>) -> Option<Panels<T>> {
        let contents =
            map.entries.iter().rev().filter_map(|(key, value)| Some((title(map, key, options), content(value)?)));
        let contents: Vec<(String, T)> = contents.collect();
        let keys = contents.len();
        let panel_height = height(keys.min(MAX_PANELS));
        let panels: Vec<Panel<T>> = contents
            .into_iter()
            .take(MAX_PANELS)
            .zip(0..)
            .map(|((title, content), index)| Panel { title, top: index * panel_height, content })
            .collect();
        (!panels.is_empty()).then_some(Panels { panels, keys })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Panel<T>> {
        self.panels.iter()
    }

    /// Each panel with the frame that its marks go into. The scale's labels are left of it.
    pub fn placed(&self) -> impl Iterator<Item = (&Panel<T>, Frame)> {
        let height = height(self.panels.len());
        self.panels.iter().map(move |panel| {
            let (top, bottom) = (panel.top + 56, panel.top + height - 44);
            (panel, Frame { left: 40, top, right: WIDTH - 24, bottom })
        })
    }

    pub fn height(&self) -> i32 {
        let note = if self.note().is_empty() { 0 } else { NOTE_HEIGHT };
        height(self.panels.len()) * self.panels.len() as i32 + note
    }

    /// How many columns or points a panel may have, so that the document stays small.
    pub fn columns(&self) -> usize {
        240 / self.panels.len().max(1)
    }

    /// What was left out.
    pub fn note(&self) -> String {
        let shown = self.panels.len();
        if shown == self.keys {
            return String::new();
        }
        format!("The {shown} largest of {} keys", self.keys)
    }
}

fn height(panels: usize) -> i32 {
    if panels <= 1 { 300 } else { 200 }
}

/// `@name[key]`, as text prints it.
pub fn title(map: &MapSnapshot, key: &Value, options: &TextOptions) -> String {
    match map.key {
        None => format!("@{}", map.name),
        Some(_) => format!("@{}[{}]", map.name, printable(&text::key(key, options))),
    }
}
