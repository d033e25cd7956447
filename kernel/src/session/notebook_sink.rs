//! A trace's output as Jupyter messages: streams, and displays for maps.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use probebook_compiler::diagnostics::Sources;
use probebook_compiler::syntax::ast::Span;
use probebook_runtime::events::{LossReport, MapPrint, Severity, Sink, TextSource};
use probebook_runtime::text::{self, Escaper, TextOptions};
use probebook_runtime::value::Value;

use super::magics::PrintMode;
use crate::engine::loss_text;
use crate::jupyter::{MimeBundle, Output};
use crate::render::{self, Png};

/// The least time between two states of one display.
const UPDATE_EVERY: Duration = Duration::from_millis(250);

/// The sink of a cell; it may outlive the cell in a background job.
pub struct NotebookSink {
    output: Output,
    options: TextOptions,
    sources: Arc<Sources>,
    mode: PrintMode,
    displays: HashMap<Shown, Display>,
    /// For what files and commands say.
    foreign: Escaper,
}

/// What has a display of its own: a map, printed in one way (`top` and `div`) by one statement. What two statements
/// print, such as before and after `clear`, are two results.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Shown {
    map: String,
    top: u32,
    div: u32,
    site: Option<usize>,
}

impl Shown {
    fn is_same_but_for_site(&self, other: &Shown) -> bool {
        (&self.map, self.top, self.div) == (&other.map, other.top, other.div)
    }
}

struct Display {
    id: String,
    shown: Instant,
    /// A state that came too soon after the last one.
    pending: Option<MapPrint>,
}

impl NotebookSink {
    pub fn new(output: Output, options: TextOptions, sources: Arc<Sources>, mode: PrintMode) -> NotebookSink {
        NotebookSink { output, options, sources, mode, displays: HashMap::new(), foreign: Escaper::default() }
    }

    pub fn output(&self) -> Output {
        self.output.clone()
    }

    /// What follows is printed anew: only a probe that fires again and again updates its display.
    pub fn begin_is_over(&mut self) {
        self.show_all();
        self.displays.clear();
    }

    /// Shows states that have waited long enough.
    pub fn show_due(&mut self) {
        self.show_pending(|display| display.shown.elapsed() >= UPDATE_EVERY, Png::Without);
    }

    /// Shows what has waited, and every last state, with a picture for all viewers.
    pub fn show_all(&mut self) {
        let mut rest = String::new();
        self.foreign.finish(&mut rest);
        if !rest.is_empty() {
            self.output.stdout(&rest);
        }
        self.show_pending(|_| true, Png::With);
    }

    fn show_pending(&mut self, due: impl Fn(&Display) -> bool, png: Png) {
        for display in self.displays.values_mut() {
            if !due(display) {
                continue;
            }
            if let Some(print) = display.pending.take() {
                let bundle = bundle(&print, &self.options, png);
                self.output.update_display(bundle, &display.id);
                display.shown = Instant::now();
            }
        }
    }

    /// Where a map is shown: at the end, in the latest display that it has.
    fn place_of(&self, print: &MapPrint) -> Shown {
        let shown = Shown { map: print.snapshot.name.clone(), top: print.top, div: print.div, site: print.site };
        if print.site.is_some() {
            return shown;
        }
        let others = self.displays.iter().filter(|(other, _)| other.is_same_but_for_site(&shown));
        others.max_by_key(|(_, display)| display.shown).map_or(shown.clone(), |(other, _)| other.clone())
    }

    fn show(&mut self, print: MapPrint) {
        let shown = self.place_of(&print);
        match self.displays.get_mut(&shown).filter(|_| self.mode == PrintMode::Update) {
            Some(display) if display.shown.elapsed() < UPDATE_EVERY => display.pending = Some(print),
            Some(display) => {
                display.pending = None;
                self.output.update_display(bundle(&print, &self.options, Png::Without), &display.id);
                display.shown = Instant::now();
            }
            None => {
                let id = uuid::Uuid::new_v4().to_string();
                self.output.display(bundle(&print, &self.options, Png::With), Some(&id));
                self.displays.insert(shown, Display { id, shown: Instant::now(), pending: None });
            }
        }
    }
}

/// A map's text, picture and data.
fn bundle(print: &MapPrint, options: &TextOptions, png: Png) -> MimeBundle {
    let text = text::map(&print.snapshot, print.top, print.div, options);
    let data = render::bundle(&print.snapshot, print.top, print.div, &text, options, png);
    MimeBundle { data, ..MimeBundle::default() }
}

impl Sink for NotebookSink {
    fn text(&mut self, source: TextSource, text: &[u8]) {
        match source {
            // The script's own words, in which what was traced is escaped already.
            TextSource::Printf | TextSource::Time | TextSource::Join => {
                self.output.stdout(&String::from_utf8_lossy(text));
            }
            TextSource::Cat | TextSource::System | TextSource::Child => {
                let mut shown = String::new();
                self.foreign.push(&mut shown, text);
                self.output.stdout(&shown);
            }
        }
    }

    fn message(&mut self, severity: Severity, text: &str, place: Option<Span>) {
        let label = place.map(|span| format!("{}: ", self.sources.label(span))).unwrap_or_default();
        let word = if severity == Severity::Error { "ERROR" } else { "WARNING" };
        self.output.stderr(&format!("{label}{word}: {text}\n"));
    }

    fn value(&mut self, value: Value) {
        self.output.stdout(&text::print(&value, &self.options));
    }

    fn map_value(&mut self, _map: &str, _key: Value, value: Value) {
        self.value(value);
    }

    fn map(&mut self, print: MapPrint) {
        self.show(print);
    }

    fn loss(&mut self, report: LossReport) {
        self.output.stderr(&format!("{}\n", loss_text(&report)));
    }
}
