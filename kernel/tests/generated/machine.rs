//! Takes a script the whole way: compiled, its maps made, its programs through the verifier, `begin` run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use probebook_compiler::diagnostics::{Sources, render};
use probebook_compiler::syntax::ast::Span;
use probebook_kernel::engine::{self, PlanPlaces, Script};
use probebook_runtime::events::{LossReport, MapPrint, Severity, Sink, TextSource};
use probebook_runtime::value::Value;
use probebook_runtime::{Session, SessionOptions, StartError, StartOptions};

/// What went wrong, as coarse as is needed to recognise the same failure in a smaller script.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// The compiler found fault with it: diagnostic id.
    Refused(&'static str),
    /// The kernel did: the verifier's message, digits taken out.
    Rejected(String),
    Panicked(String),
    Other(String),
}

/// A failure, and the words to show.
pub struct Trouble {
    pub kind: Failure,
    pub details: String,
}

/// What a script that ran has printed.
#[derive(Default)]
pub struct Output {
    #[allow(dead_code)]
    pub text: String,
    /// How many programs the kernel took.
    pub programs: usize,
}

/// A session in which one script after another is run.
pub struct Machine {
    session: Session,
    /// Holds the script that is being run, to be found there if the process should not survive it.
    last: PathBuf,
}

/// Keeps text, formats everything else to see that it can be.
#[derive(Default)]
struct Listener {
    text: String,
}

impl Sink for Listener {
    fn text(&mut self, _source: TextSource, text: &[u8]) {
        self.text.push_str(&String::from_utf8_lossy(text));
    }

    fn message(&mut self, _severity: Severity, _text: &str, _place: Option<Span>) {}

    fn value(&mut self, value: Value) {
        assert!(!format!("{value:?}").is_empty());
    }

    fn map_value(&mut self, _map: &str, key: Value, value: Value) {
        assert!(!format!("{key:?} {value:?}").is_empty());
    }

    fn map(&mut self, print: MapPrint) {
        assert!(!format!("{:?}", print.snapshot).is_empty());
    }

    fn loss(&mut self, _report: LossReport) {}
}

impl Machine {
    /// `None` (and a word about it) without the privilege to trace.
    pub fn new(name: &str) -> Option<Machine> {
        if let Some(missing) = probebook_runtime::loader::privilege::missing_privilege() {
            println!("skipped: needs root ({missing} is missing)");
            return None;
        }
        let session = Session::new(SessionOptions::default()).unwrap();
        let last = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.bt"));
        Some(Machine { session, last })
    }

    /// Runs a script; its maps are forgotten afterwards.
    pub fn run(&self, text: &str) -> Result<Output, Box<Trouble>> {
        std::fs::write(&self.last, text).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.whole_way(text)));
        for map in self.session.maps().unwrap_or_default() {
            let _ = self.session.drop_map(&map.name);
        }
        outcome.unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().cloned();
            let message = message.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
            let message = message.unwrap_or_default();
            Err(Box::new(Trouble { kind: Failure::Panicked(message.clone()), details: format!("panic: {message}") }))
        })
    }

    fn whole_way(&self, text: &str) -> Result<Output, Box<Trouble>> {
        let mut sources = Sources::default();
        let source = sources.add("generated", text);
        let parameters = ["7".to_owned(), "seven".to_owned()];
        let script = Script { parameters: &parameters, allow_unsafe: true, ..Script::new(&sources, source) };
        let compiled = engine::compile(&self.session, &script).map_err(|found| {
            let details: Vec<String> = found.iter().map(|one| render::to_text(one, &sources, false)).collect();
            let kind = Failure::Refused(found.iter().find(|one| one.is_error()).map_or("none", |one| one.id));
            Box::new(Trouble { kind, details: details.join("\n") })
        })?;
        let places = PlanPlaces::of(&compiled.plan);
        let programs = compiled.plan.programs.len();
        let started = self.session.start(compiled.plan, StartOptions::default());
        let mut trace = started.map_err(|error| {
            let diagnostic = engine::start_failure(&error, &places, &sources, source);
            let details = render::to_text(&diagnostic, &sources, false);
            Box::new(Trouble { kind: kind_of(&error), details: format!("{details}\n{}", end_of_log(&error)) })
        })?;
        let mut listener = Listener::default();
        let failed = |error: String| Box::new(Trouble { kind: Failure::Other(error.clone()), details: error });
        trace.run_begin(&mut listener).map_err(|error| failed(error.to_string()))?;
        trace.print_maps(&mut listener).map_err(|error| failed(error.to_string()))?;
        trace.finish(&mut listener);
        Ok(Output { text: listener.text, programs })
    }
}

fn kind_of(error: &StartError) -> Failure {
    use probebook_runtime::loader::program::LoadError;
    match error {
        StartError::Load(LoadError::Rejected { message, .. }) => {
            Failure::Rejected(message.chars().filter(|c| !c.is_ascii_digit()).collect())
        }
        other => Failure::Other(other.to_string()),
    }
}

/// The last lines that the verifier wrote.
fn end_of_log(error: &StartError) -> String {
    use probebook_runtime::loader::program::LoadError;
    let StartError::Load(LoadError::Rejected { log, .. }) = error else { return String::new() };
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
