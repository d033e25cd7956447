//! The interpreter behind the protocol: one per notebook.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use probebook_compiler::codegen::Cache;
use probebook_compiler::syntax;
use probebook_runtime::maps::MapError;
use probebook_runtime::text::{self};
use probebook_runtime::{Session, SessionOptions, TraceHandle};

use super::jobs::{JobError, Jobs};
use super::magics::{self, Command, MagicError, PrintMode, Word};
use super::probe_list::Listing;
use super::tables::MapOrigins;
use super::{complete, documentation, errors, words};
use crate::engine::Definitions;
use crate::jupyter::{
    Completeness, Completion, CompletionMatch, ErrorReport, ExecuteOutcome, ExecuteRequest, HelpLink, Interpreter,
    KernelInfo, LanguageInfo, MimeBundle, Output,
};

/// Cells of one notebook, and what lives on between them.
pub struct Notebook {
    pub(super) session: Arc<Session>,
    pub(super) state: Mutex<State>,
    pub(super) jobs: Jobs,
    foreground: Mutex<Foreground>,
    /// What cells were compiled to: one that is run again is not compiled again.
    pub(super) objects: Cache,
}

/// What magics and cells change.
#[derive(Default)]
pub(super) struct State {
    pub origins: MapOrigins,
    pub definitions: Arc<Definitions>,
    pub allow_unsafe: bool,
    pub print: PrintMode,
}

/// The cell that runs now.
#[derive(Default)]
struct Foreground {
    trace: Option<TraceHandle>,
    /// An interrupt that came before there was a trace.
    interrupted: bool,
}

impl Notebook {
    pub fn new() -> io::Result<Notebook> {
        let session = Arc::new(Session::new(SessionOptions { many_scripts: true, ..SessionOptions::default() })?);
        Ok(Notebook {
            session,
            state: Mutex::default(),
            jobs: Jobs::default(),
            foreground: Mutex::default(),
            objects: Cache::default(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn foreground(&self) -> MutexGuard<'_, Foreground> {
        self.foreground.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a trace the one that the stop button is for.
    pub(super) fn enter(&self, handle: TraceHandle) {
        let mut foreground = self.foreground();
        if foreground.interrupted {
            handle.interrupt();
        }
        foreground.trace = Some(handle);
    }

    pub(super) fn leave(&self) {
        let mut foreground = self.foreground();
        *foreground = Foreground::default();
        self.session.system().give_up_compiling(false);
    }

    /// Whether the stop button was pressed while no trace ran.
    pub(super) fn was_interrupted(&self) -> bool {
        self.foreground().interrupted
    }

    /// Does what a magic says; what it has to tell goes to standard output.
    fn command(&self, command: Command, output: &Output) -> Result<(), Problem> {
        match command {
            Command::Maps => output.stdout(&self.map_table()?),
            Command::Clear(names) => {
                names
                    .iter()
                    .try_for_each(|name| self.session.clear_map(&name.text).map_err(|error| at(name, error)))?;
            }
            Command::Drop(names) => {
                names.iter().try_for_each(|name| self.drop_map(&name.text).map_err(|error| at(name, error)))?;
            }
            Command::DropAll => {
                for plan in self.session.maps()? {
                    self.drop_map(&plan.name)?;
                }
            }
            Command::Jobs => output.stdout(&self.jobs.table()),
            Command::Stop(names) => {
                self.check_jobs(&names)?;
                names.iter().try_for_each(|name| self.jobs.stop(&name.text).map_err(|error| at(name, error)))?;
            }
            Command::StopAll => self.jobs.stop_all(),
            Command::Wait(names) => {
                self.check_jobs(&names)?;
                let wait = |name: &Word| self.jobs.wait(&name.text, &|| self.was_interrupted());
                names.iter().try_for_each(|name| wait(name).map_err(|error| at(name, error)))?;
            }
            Command::Unsafe(on) => {
                self.state().allow_unsafe = on;
                output.stdout(if on { "Unsafe functions are allowed.\n" } else { "Unsafe functions are refused.\n" });
            }
            Command::Print(mode) => self.state().print = mode,
            Command::Probes { pattern, verbose } => self.list_probes(&pattern, verbose, output)?,
            Command::Help => output.stdout(&help()),
        }
        Ok(())
    }

    /// None is stopped or waited for if one of them is not there.
    fn check_jobs(&self, names: &[Word]) -> Result<(), Problem> {
        names.iter().try_for_each(|name| self.jobs.check_known(&name.text).map_err(|error| at(name, error)))
    }

    fn list_probes(&self, pattern: &Word, verbose: bool, output: &Output) -> Result<(), Problem> {
        let listing = Listing { system: self.session.system(), pid: None, verbose };
        let found = listing.search(&pattern.text);
        let place = Some(pattern.place.clone());
        let found = found.map_err(|message| Problem { kind: "system-information", message, place })?;
        if found.is_empty() {
            output.stderr(&format!("No probe matches {}.\n", pattern.text));
        }
        output.stdout(&found.iter().map(|line| format!("{line}\n")).collect::<String>());
        Ok(())
    }

    fn drop_map(&self, name: &str) -> Result<(), MapError> {
        self.state().origins.forget(name);
        self.session.drop_map(name)
    }

    fn map_table(&self) -> Result<String, MapError> {
        let maps = self.session.maps()?;
        if maps.is_empty() {
            return Ok("There are no maps yet.\n".to_string());
        }
        let state = self.state();
        let rows = maps.iter().map(|map| {
            let key = map.key.as_ref().map_or(String::new(), |key| format!("[{key}]"));
            [
                format!("@{}{key}", map.name),
                map.value.to_string(),
                format!("{} of {}", map.entries, map.max_entries),
                format!("{} KiB", map.bytes.div_ceil(1024)),
                state.origins.label(&map.name).to_string(),
            ]
        });
        Ok(table(["map", "value", "entries", "memory", "defined in"], rows))
    }
}

/// A magic that could not do what it says.
pub(super) struct Problem {
    kind: &'static str,
    message: String,
    /// The word in the cell that it is about.
    place: Option<Range<usize>>,
}

impl Problem {
    pub(super) fn report(self, request: &ExecuteRequest) -> ErrorReport {
        match &self.place {
            Some(place) => errors::magic(self.kind, &self.message, place, (&label(request), &request.code)),
            None => errors::plain(self.kind, &self.message),
        }
    }
}

impl From<MagicError> for Problem {
    fn from(error: MagicError) -> Problem {
        Problem { kind: "magic", message: error.message, place: Some(error.place) }
    }
}

impl From<MapError> for Problem {
    fn from(error: MapError) -> Problem {
        Problem { kind: "map-failed", message: error.to_string(), place: None }
    }
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Problem {
        Problem { kind: error.id(), message: error.to_string(), place: None }
    }
}

/// A problem with what a word names.
pub(super) fn at(word: &Word, error: impl Into<Problem>) -> Problem {
    Problem { place: Some(word.place.clone()), ..error.into() }
}

/// What a cell is called in messages.
pub(super) fn label(request: &ExecuteRequest) -> String {
    format!("In [{}]", request.execution_count)
}

/// Columns as wide as their widest cell.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_string)).chain(rows).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn help() -> String {
    table(
        ["magic", "what it does"],
        magics::MAGICS.iter().map(|(_, usage, what)| [usage.to_string(), what.to_string()]),
    )
}

impl Interpreter for Notebook {
    fn kernel_info(&self) -> KernelInfo {
        let version = env!("CARGO_PKG_VERSION");
        KernelInfo {
            implementation: "probebook".to_string(),
            implementation_version: version.to_string(),
            banner: format!("probebook {version}: bpftrace in a notebook. %help lists magics."),
            language_info: LanguageInfo {
                name: "bpftrace".to_string(),
                version: "0.26".to_string(),
                mimetype: Some("text/x-bpftrace".to_string()),
                file_extension: Some(".bt".to_string()),
                pygments_lexer: Some("c".to_string()),
                codemirror_mode: Some(jupyter_protocol::CodeMirrorMode::Simple("text/x-csrc".to_string())),
                nbconvert_exporter: None,
            },
            help_links: vec![HelpLink {
                text: "The bpftrace language".to_string(),
                url: "https://github.com/bpftrace/bpftrace/blob/master/docs/language.md".to_string(),
            }],
        }
    }

    fn execute(&self, request: &ExecuteRequest, output: &Output) -> ExecuteOutcome {
        self.leave();
        let result = self.run_cell(request, output);
        self.leave();
        match result {
            Ok(()) => ExecuteOutcome::ok(),
            Err(report) => ExecuteOutcome::Error(report),
        }
    }

    fn interrupt(&self) {
        let mut foreground = self.foreground();
        foreground.interrupted = true;
        match &foreground.trace {
            Some(trace) => trace.interrupt(),
            None => self.session.system().give_up_compiling(true),
        }
    }

    fn is_complete(&self, code: &str) -> Completeness {
        let Ok(cell) = magics::parse(code) else { return Completeness::Invalid };
        // Lines of magics are no part of it.
        let script = code.get(cell.head..).unwrap_or_default();
        if script.trim().is_empty() {
            return Completeness::Complete;
        }
        match syntax::completeness(script) {
            syntax::Completeness::Complete => Completeness::Complete,
            syntax::Completeness::Incomplete => Completeness::Incomplete { indent: "  ".to_string() },
            syntax::Completeness::Invalid => Completeness::Invalid,
        }
    }

    fn complete(&self, code: &str, cursor: usize) -> Completion {
        let code: Vec<char> = code.chars().collect();
        let maps = self.session.map_plans();
        let found = complete::at(&code, cursor, &maps, self.session.system().as_ref());
        let matches = found.matches.into_iter().map(|(text, kind)| CompletionMatch {
            text,
            kind: Some(kind.to_string()),
            signature: None,
        });
        Completion { matches: matches.collect(), cursor_start: found.start, cursor_end: found.end }
    }

    fn inspect(&self, code: &str, cursor: usize, _detail: u8) -> Option<MimeBundle> {
        let code: Vec<char> = code.chars().collect();
        let (start, end) = words::around(&code, cursor);
        let word: String = code.get(start..end)?.iter().collect();
        let text = match word.strip_prefix('@') {
            Some(name) => self.describe_map(name)?,
            None if word.starts_with('%') => {
                let (_, usage, what) = magics::MAGICS.iter().find(|(magic, ..)| *magic == word)?;
                format!("{usage}\n\n{what}")
            }
            None => documentation::at(&code, cursor, self.session.system())?,
        };
        Some(MimeBundle::text(text))
    }

    fn evaluate(&self, expression: &str) -> Result<MimeBundle, ErrorReport> {
        let Some(name) = expression.trim().strip_prefix('@') else {
            return Err(errors::plain("not-a-map", "only maps can be evaluated, such as @name"));
        };
        let snapshot = self.session.snapshot(name).map_err(|error| errors::plain("map-failed", &error.to_string()))?;
        let options = self.session.text_options(&Default::default());
        let text = text::map(&snapshot, 0, 0, &options);
        let data = crate::render::bundle(&snapshot, 0, 0, &text, &options, crate::render::Png::Without);
        Ok(MimeBundle { data, ..MimeBundle::default() })
    }

    fn shutdown(&self, _restart: bool) {
        self.interrupt();
        self.jobs.stop_all();
    }
}

impl Notebook {
    fn run_cell(&self, request: &ExecuteRequest, output: &Output) -> Result<(), ErrorReport> {
        let cell = magics::parse(&request.code).map_err(|error| Problem::from(error).report(request))?;
        for command in cell.commands {
            self.command(command, output).map_err(|problem| problem.report(request))?;
        }
        if request.code.get(cell.head..).unwrap_or_default().trim().is_empty() {
            return Ok(());
        }
        self.run_script(cell.head, &cell.run, request, output)
    }

    fn describe_map(&self, name: &str) -> Option<String> {
        let maps = self.session.maps().ok()?;
        let map = maps.iter().find(|map| map.name == name)?;
        let key = map.key.as_ref().map_or(String::new(), |key| format!("[{key}]"));
        let label = self.state().origins.label(name).to_string();
        Some(format!(
            "@{name}{key}: {}\n\n{} of {} entries, defined in {label}",
            map.value, map.entries, map.max_entries
        ))
    }
}
