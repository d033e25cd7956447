//! `--mode test` and `--mode bench`: runs `test` and `bench` probes and says how they did.

use std::io;
use std::time::Duration;

use probebook_compiler::plan::Attach;
use probebook_compiler::syntax::ast::Span;
use probebook_runtime::events::{LossReport, MapPrint, Severity, Sink, TextSource};
use probebook_runtime::text::json;
use probebook_runtime::value::Value;
use probebook_runtime::{Measurement, Trace, TraceError};
use serde_json::json;

use super::arguments::Format;
use super::terminal::Terminal;

/// A benchmark runs until it has taken so long.
const LONG_ENOUGH: Duration = Duration::from_millis(1);
/// Columns of bpftrace's table of results.
const NAME_WIDTH: usize = 40;
const TIME_WIDTH: usize = 15;

/// Keeps what a trial prints, and counts its errors.
struct Capture<'a> {
    terminal: Terminal<'a>,
    errors: usize,
}

impl<'a> Capture<'a> {
    fn new(mut terminal: Terminal<'a>) -> Self {
        terminal.hold();
        Capture { terminal, errors: 0 }
    }

    fn take(&mut self) -> String {
        self.errors = 0;
        String::from_utf8_lossy(&self.terminal.take_held()).into_owned()
    }
}

impl Sink for Capture<'_> {
    fn text(&mut self, source: TextSource, text: &[u8]) {
        self.terminal.text(source, text);
    }

    fn message(&mut self, severity: Severity, text: &str, _: Option<Span>) {
        let label = if severity == Severity::Error { "ERROR" } else { "WARNING" };
        self.errors += usize::from(severity == Severity::Error);
        self.terminal.text(TextSource::Printf, format!("{label}: {text}\n").as_bytes());
    }

    fn value(&mut self, value: Value) {
        self.terminal.value(value);
    }

    fn map_value(&mut self, map: &str, key: Value, value: Value) {
        self.terminal.map_value(map, key, value);
    }

    fn map(&mut self, print: MapPrint) {
        self.terminal.map(print);
    }

    fn loss(&mut self, _: LossReport) {}
}

/// The probes of one kind: their places in the plan, and their names without the kind's.
fn trials(trace: &Trace, wanted: fn(&Attach) -> Option<&str>) -> Vec<(usize, String)> {
    let probes = trace.plan().probes.iter().enumerate();
    probes.filter_map(|(index, probe)| Some((index, wanted(&probe.attach)?.to_string()))).collect()
}

fn in_color(code: u8, text: &str) -> String {
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

fn passed(text: &str) -> String {
    in_color(32, text)
}

fn failed(text: &str) -> String {
    in_color(31, text)
}

/// A duration with the unit that suits it.
fn readable(time: Duration) -> String {
    let nanoseconds = time.as_nanos();
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{} us", nanoseconds / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", nanoseconds / 1_000_000),
        _ => format!("{} s", nanoseconds / 1_000_000_000),
    }
}

/// Runs every test. Gives whether all passed: nothing returned, no error said, no exit code.
pub fn run_tests(trace: &mut Trace, capture: Terminal<'_>, format: Format) -> Result<bool, TraceError> {
    let tests = trials(trace, |attach| match attach {
        Attach::Test { name } => Some(name),
        _ => None,
    });
    let mut capture = Capture::new(capture);
    let mut lost = Vec::new();
    if format == Format::Text {
        super::say(&format!("{} Running {} tests.\n", passed("[==========]"), tests.len()));
    }
    for (probe, name) in &tests {
        let result = trace.measure(*probe, 1, &mut capture)?;
        let fine = result.returned == 0 && result.exit_code == 0 && capture.errors == 0;
        let output = capture.take();
        if !fine {
            lost.push(name.clone());
        }
        match format {
            Format::Json => {
                let data = json!({ "duration": result.average.as_nanos() as u64, "passed": fine, "output": output });
                super::say(&json::line("test_result", &json!({ name.as_str(): data })));
            }
            Format::Text => tell_test(name, &result, fine, &output),
        }
    }
    if format == Format::Text {
        sum_up(tests.len(), &lost);
    }
    Ok(lost.is_empty())
}

fn tell_test(name: &str, result: &Measurement, fine: bool, output: &str) {
    let mut text = format!("{} {name}\n", passed("[ RUN      ]"));
    let verdict = if fine { passed("[       OK ]") } else { failed("[  FAILED  ]") };
    if !fine {
        output.lines().filter(|line| !line.is_empty()).for_each(|line| text.push_str(&format!("{line}\n")));
    }
    text.push_str(&format!("{verdict} {name} ({})\n", readable(result.average)));
    super::say(&text);
}

fn sum_up(count: usize, lost: &[String]) {
    let tests = |count: usize| if count == 1 { "1 test".to_string() } else { format!("{count} tests") };
    let mut text = format!("{} {} ran.\n", passed("[==========]"), tests(count));
    text.push_str(&format!("{} {}.\n", passed("[  PASSED  ]"), tests(count - lost.len())));
    if !lost.is_empty() {
        text.push_str(&format!("{} {}, listed below:\n", failed("[  FAILED  ]"), tests(lost.len())));
        lost.iter().for_each(|name| text.push_str(&format!("{} {name}\n", failed("[  FAILED  ]"))));
    }
    super::say(&text);
}

/// Runs every benchmark, more and more often until it takes a millisecond. Gives whether none failed.
pub fn run_benchmarks(trace: &mut Trace, capture: Terminal<'_>, format: Format) -> Result<bool, TraceError> {
    let benchmarks = trials(trace, |attach| match attach {
        Attach::Bench { name } => Some(name),
        _ => None,
    });
    let longest = benchmarks.iter().map(|(_, name)| name.len()).max().unwrap_or(0).max(NAME_WIDTH);
    if format == Format::Text {
        let (name, time, count) = ("Benchmark", "Time(ns)", "Iterations");
        let line = "-".repeat(longest + 1 + TIME_WIDTH + count.len());
        super::say(&format!("{name:<width$}{time:<TIME_WIDTH$}{count}\n{line}\n", width = longest + 1));
    }
    let mut capture = Capture::new(capture);
    let mut all_fine = true;
    for (probe, name) in &benchmarks {
        let Some((result, times)) = settle(trace, *probe, &mut capture)? else { continue };
        let fine = result.exit_code == 0 && capture.errors == 0;
        capture.take();
        if !fine {
            super::complain(&format!("ERROR: Benchmark '{name}' failed.\n"));
            all_fine = false;
            continue;
        }
        let average = result.average.as_nanos() as u64;
        match format {
            Format::Json => {
                let data = json!({ name.as_str(): { "average": average, "iters": times } });
                super::say(&json::line("benchmark_result", &data));
            }
            Format::Text => super::say(&format!("{name:<width$}{average:<TIME_WIDTH$}{times}\n", width = longest + 1)),
        }
    }
    Ok(all_fine)
}

/// Measures with more and more repetitions. A benchmark that returns something wants to be skipped.
fn settle(
    trace: &mut Trace,
    probe: usize,
    capture: &mut Capture<'_>,
) -> Result<Option<(Measurement, u32)>, TraceError> {
    let mut times = 1u32;
    loop {
        let result = trace.measure(probe, times, capture)?;
        if result.exit_code == 0 && result.returned != 0 {
            return Ok(None);
        }
        let total = result.average * times;
        let more = match total.as_nanos() {
            0..1_000 => 1_000,
            1_000..10_000 => 100,
            10_000..100_000 => 10,
            _ if total < LONG_ENOUGH => 2,
            _ => return Ok(Some((result, times))),
        };
        match times.checked_mul(more).filter(|_| result.exit_code == 0) {
            Some(next) => times = next,
            None => return Ok(Some((result, times))),
        }
    }
}

/// What is said when nothing but such probes is there, and the mode is another.
pub fn reminder(trace_probes: &[&Attach]) -> Option<io::Error> {
    let all = |matches: fn(&Attach) -> bool| !trace_probes.is_empty() && trace_probes.iter().all(|one| matches(one));
    let text = if all(|attach| matches!(attach, Attach::Test { .. })) {
        "No probes attached; use --mode test to run test probes."
    } else if all(|attach| matches!(attach, Attach::Bench { .. })) {
        "No probes attached; use --mode bench to run benchmark probes."
    } else {
        return None;
    };
    Some(io::Error::other(text))
}
