//! Every probe type, tried with a script that is compiled, loaded and attached as any other.

use probebook_compiler::diagnostics::{Diagnostic, Sources};
use probebook_compiler::syntax::ast::Span;
use probebook_runtime::events::{LossReport, MapPrint, Severity, Sink, TextSource};
use probebook_runtime::loader::feature;
use probebook_runtime::text::reason;
use probebook_runtime::value::Value;
use probebook_runtime::{Session, StartOptions};

use super::{Line, State, remedies};
use crate::engine::{self, PlanPlaces, Script};

const AREA: &str = "probes";

/// A probe of each type that every machine has, if it has the type; few of them ever fire.
const TRIALS: &[(&str, &str)] = &[
    ("begin", "begin { }"),
    ("self", "self:signal:SIGUSR1 { }"),
    ("test", "test:nothing { }"),
    ("bench", "bench:nothing { }"),
    ("interval", "interval:s:100 { }"),
    ("profile", "profile:s:100 { }"),
    ("software", "software:emulation-faults:1000 { }"),
    ("hardware", "hardware:cpu-cycles:1000000000 { }"),
    ("tracepoint", "tracepoint:sched:sched_kthread_stop { }"),
    ("rawtracepoint", "rawtracepoint:sched_kthread_stop { }"),
    ("uprobe", "uprobe:libc:posix_fallocate { }"),
    ("uretprobe", "uretprobe:libc:posix_fallocate { }"),
    ("kprobe", "kprobe:vfs_rename { }"),
    ("kretprobe", "kretprobe:vfs_rename { }"),
    ("fentry", "fentry:vfs_rename { }"),
    ("fexit", "fexit:vfs_rename { }"),
    ("iter", "iter:task { }"),
    ("watchpoint", "watchpoint:0x10000:8:w { }"),
];

/// A line for each probe type.
pub fn lines(session: &Session) -> Vec<Line> {
    let one = |(provider, script): &(&'static str, &str)| match attach(session, provider, script) {
        Ok(()) => Line::works(AREA, *provider, format!("attached: {}", script.trim_end_matches(" { }"))),
        Err(failure) => {
            let remedy = failure.hint.as_deref().or(remedies::for_probe(provider)).unwrap_or("");
            Line::not(State::Fails, AREA, *provider, failure.message, remedy)
        }
    };
    TRIALS.iter().map(one).collect()
}

/// Ways to attach many probes at once; without them it is done one by one.
pub fn mechanisms() -> Vec<Line> {
    let line = |name: &str, since: &str, result: std::io::Result<()>| match result {
        Ok(()) => Line::works(AREA, name, "one link for many functions"),
        Err(error) => {
            let detail = format!("{}; probes are attached one by one", reason(&error));
            Line::not(State::Missing, AREA, name, detail, &format!("it needs Linux {since}"))
        }
    };
    vec![
        line("kprobe_multi", "5.18 with CONFIG_FPROBE", feature::kprobe_multi(false)),
        line("kprobe_session", "6.10 with CONFIG_FPROBE", feature::kprobe_multi(true)),
        line("uprobe_multi", "6.6", feature::uprobe_multi()),
    ]
}

/// Does with the script what is done with any, up to where it would run.
fn attach(session: &Session, provider: &str, text: &str) -> Result<(), Diagnostic> {
    let mut sources = Sources::default();
    let source = sources.add("doctor", text);
    // Breakpoints are set in one process: this one will do.
    let pid = (provider == "watchpoint").then(std::process::id);
    let script = Script { pid, ..Script::new(&sources, source) };
    let nothing = || Diagnostic::error("no-reason", Span { source, start: 0, end: 0 }, "no reason was given");
    let compiled =
        engine::compile(session, &script).map_err(|errors| errors.into_iter().next().unwrap_or_else(nothing))?;
    let places = PlanPlaces::of(&compiled.plan);
    let options = StartOptions { pid, ..StartOptions::default() };
    let mut trace = session
        .start(compiled.plan, options)
        .map_err(|error| engine::start_failure(&error, &places, &sources, source))?;
    trace.try_attach(&mut Silence).map_err(|error| engine::trace_failure(&error, &places, source))?;
    Ok(())
}

/// Nothing is said: nothing runs.
struct Silence;

impl Sink for Silence {
    fn text(&mut self, _: TextSource, _: &[u8]) {}
    fn message(&mut self, _: Severity, _: &str, _: Option<Span>) {}
    fn value(&mut self, _: Value) {}
    fn map_value(&mut self, _: &str, _: Value, _: Value) {}
    fn map(&mut self, _: MapPrint) {}
    fn loss(&mut self, _: LossReport) {}
}
