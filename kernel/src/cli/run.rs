//! `probebook run`: one script, its output on the terminal, with bpftrace's flags.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use probebook_compiler::diagnostics::{Diagnostic, Sources};
use probebook_compiler::pipeline::Compiled;
use probebook_compiler::semantics::named_parameters::NamedParameter;
use probebook_compiler::syntax::ast::SourceId;
use probebook_runtime::text::{self, TextOptions};
use probebook_runtime::{Session, SessionOptions, StartOptions, Status, Trace, TraceError, TraceHandle};

use super::arguments::{self, Arguments, Format, Mode};
use super::list;
use super::stages::{self, Stage};
use super::terminal::Terminal;
use super::trials;
use crate::engine::{self, PlanPlaces, Script};

/// Runs the script to its end; the code is that of `exit()`, or 1 after an error.
pub fn run(arguments: &Arguments) -> ExitCode {
    if arguments.version {
        super::say(&arguments::version());
        return ExitCode::SUCCESS;
    }
    if arguments.info {
        return super::doctor::info();
    }
    if arguments.list {
        return super::list::run(&arguments.listing());
    }
    match arguments.check().map_err(Failure::Message).and_then(|()| run_script(arguments)) {
        Ok(code) => ExitCode::from(code),
        Err(Failure::Message(message)) => super::fail(&message),
        Err(Failure::Shown) => ExitCode::FAILURE,
    }
}

/// Why there was nothing to run, or no end to it.
enum Failure {
    Message(String),
    /// Diagnostics that have been printed.
    Shown,
}

impl From<io::Error> for Failure {
    /// Of threads and signals, which are all that can fail without being explained where it happens.
    fn from(error: io::Error) -> Failure {
        Failure::Message(super::no_session(&error))
    }
}

/// The script's text with its name, and its parameters.
fn load(arguments: &Arguments) -> Result<(String, String, &[String]), Failure> {
    if let Some(program) = arguments.program() {
        return Ok(("stdin".to_string(), program, arguments.rest()));
    }
    let Some((file, parameters)) = arguments.rest().split_first() else {
        return Err(Failure::Message("USAGE: filename or -e 'program' required.".to_string()));
    };
    let (name, text) = super::read_script(file).map_err(Failure::Message)?;
    Ok((name, text, parameters))
}

/// Parameters with names (`--name=value`, which can only follow `--`), and the others.
fn named_parameters(parameters: &[String]) -> (Vec<NamedParameter>, Vec<String>) {
    let mut positional = Vec::new();
    let mut named = Vec::new();
    for word in parameters {
        match word.strip_prefix("--").and_then(NamedParameter::parse) {
            Some(parameter) => named.push(parameter),
            None => positional.push(word.clone()),
        }
    }
    (named, positional)
}

fn run_script(arguments: &Arguments) -> Result<u8, Failure> {
    let (name, text, parameters) = load(arguments)?;
    let (named, parameters) = named_parameters(parameters);
    let mut sources = Sources::default();
    let source = sources.add(name, text);
    if arguments.shows(Stage::Ast) {
        let tree = stages::tree(&sources, source).map_err(|diagnostics| show(&diagnostics, &sources))?;
        super::say(&tree);
    }
    let session = Session::new(SessionOptions::default())?;
    session.system().user_files().set_debug_directories(arguments.debuginfo.clone());
    list::take_functions(&session, arguments.traceable_functions.as_deref()).map_err(Failure::Message)?;
    let script = Script {
        parameters: &parameters,
        named: &named,
        pid: arguments.pid,
        allow_unsafe: arguments.allow_unsafe,
        flags: &arguments.flags(),
        ..Script::new(&sources, source)
    };
    let begun = Instant::now();
    let compiled = engine::compile(&session, &script).map_err(|diagnostics| show(&diagnostics, &sources))?;
    if !arguments.no_warnings {
        show(&compiled.warnings, &sources);
    }
    if arguments.shows(Stage::Types) {
        super::say(&stages::types(&compiled));
    }
    show_code(arguments, &session, &script, &compiled)?;
    if let Some(path) = &arguments.emit_elf {
        return write_object(path, &compiled);
    }
    match arguments.mode() {
        Some(Mode::Codegen) => Ok(0),
        Some(Mode::CompilerBench) => measure(&session, &script, begun.elapsed()),
        None | Some(Mode::Bench | Mode::Test) if compiled.plan.probes.is_empty() => {
            // bpftrace says so on standard output.
            if !arguments.quiet {
                super::say("No probes to attach\n");
            }
            Ok(1)
        }
        _ => trace(arguments, &session, compiled, &sources, source),
    }
}

/// What LLVM makes of the script, if that is wanted.
fn show_code(arguments: &Arguments, session: &Session, script: &Script, compiled: &Compiled) -> Result<(), Failure> {
    let shown = [Stage::Codegen, Stage::Optimised, Stage::Assembly].map(|stage| arguments.shows(stage));
    if arguments.emit_llvm.is_none() && !shown.contains(&true) {
        return Ok(());
    }
    let listing = engine::list(session, script, compiled).map_err(|errors| show(&errors, script.sources))?;
    let texts = [&listing.original, &listing.optimised, &listing.assembly];
    shown.iter().zip(texts).filter(|(is_shown, _)| **is_shown).for_each(|(_, text)| super::say(text));
    match &arguments.emit_llvm {
        Some(path) => stages::write(path, &listing).map_err(|(path, error)| cannot_open(&path, &error)),
        None => Ok(()),
    }
}

/// `--emit-elf`
fn write_object(path: &Path, compiled: &Compiled) -> Result<u8, Failure> {
    let object = compiled.plan.objects.first().map(Vec::as_slice).unwrap_or_default();
    std::fs::write(path, object).map_err(|error| cannot_open(path, &error))?;
    Ok(0)
}

fn cannot_open(path: &Path, error: &io::Error) -> Failure {
    Failure::Message(format!("Failed to open output file: \"{}\": {}", path.display(), text::reason(error)))
}

/// `--mode compiler-bench`: the whole way and the front end alone, the best and the middle of many times.
fn measure(session: &Session, script: &Script, first: Duration) -> Result<u8, Failure> {
    const TIMES: usize = 20;
    const LONG_ENOUGH: Duration = Duration::from_secs(5);
    let begun = Instant::now();
    let mut times = Vec::with_capacity(TIMES);
    while times.len() < TIMES && (times.is_empty() || begun.elapsed() < LONG_ENOUGH) {
        let once = engine::time_compilation(session, script);
        times.push(once.map_err(|errors| show(&errors, script.sources))?);
    }
    let count = times.len();
    let say = |what: &str, mut durations: Vec<Duration>| {
        durations.sort();
        let (best, middle) = (durations.first().copied(), durations.get(count / 2).copied());
        let (best, middle) = (best.unwrap_or(first), middle.unwrap_or(first));
        super::say(&format!("{what}: {} us (best {} us, {count} times)\n", middle.as_micros(), best.as_micros()));
    };
    super::say(&format!("first: {} us\n", first.as_micros()));
    say("front end", times.iter().map(|times| times.front_end).collect());
    say("compile", times.iter().map(|times| times.whole).collect());
    Ok(0)
}

/// Prints diagnostics as bpftrace does.
fn show(diagnostics: &[Diagnostic], sources: &Sources) -> Failure {
    super::show(diagnostics, sources);
    Failure::Shown
}

fn trace(
    arguments: &Arguments,
    session: &Session,
    compiled: Compiled,
    sources: &Sources,
    source: SourceId,
) -> Result<u8, Failure> {
    let places = PlanPlaces::of(&compiled.plan);
    let print_maps = compiled.plan.settings.print_maps_on_exit;
    let probes = compiled.plan.probes.len();
    let mut terminal = terminal(arguments, session.text_options(&compiled.plan), sources)?;
    let options = StartOptions {
        pid: arguments.pid,
        child: arguments.command.clone(),
        capture_child_output: false,
        allow_unsafe: arguments.allow_unsafe,
        retype: Vec::new(),
        mechanisms: arguments.mechanisms(),
        keeps_verifier_logs: arguments.shows(Stage::Verifier),
        handle: TraceHandle::default(),
    };
    let mut trace = session
        .start(compiled.plan, options)
        .map_err(|error| show(&[engine::start_failure(&error, &places, sources, source)], sources))?;
    if arguments.shows(Stage::Verifier) {
        super::say(&stages::verifier(&trace));
    }
    watch_signals(trace.handle())?;
    crate::signals::forward(trace.plan(), &trace.handle())?;
    let failed = |error| show(&[engine::trace_failure(&error, &places, source)], sources);
    if arguments.dry_run {
        trace.try_attach(&mut terminal).map_err(failed)?;
        return Ok(0);
    }
    if let Some(mode @ (Mode::Bench | Mode::Test)) = arguments.mode() {
        return try_out(mode, arguments.format, &mut trace, terminal).map_err(failed);
    }
    let attached: Vec<_> = trace.plan().probes.iter().map(|probe| &probe.attach).collect();
    if let Some(reminder) = trials::reminder(&attached) {
        return Err(Failure::Message(reminder.to_string()));
    }
    // bpftrace tells the number of probes before anything that `begin` prints.
    terminal.hold();
    let mut status = trace.run_begin(&mut terminal).map_err(failed)?;
    let attached = match status {
        Status::Running => trace.attach(&mut terminal).map_err(failed)?,
        _ => probes,
    };
    terminal.attached((!arguments.quiet).then_some(attached));
    while status == Status::Running && trace.has_probes() && !terminal.is_closed() {
        status = trace.poll(&mut terminal, Duration::from_millis(200));
        terminal.flush_if_due();
    }
    finish(arguments, trace, status, print_maps, &mut terminal).map_err(failed)
}

/// Where the output goes.
fn terminal<'a>(
    arguments: &Arguments,
    text_options: TextOptions,
    sources: &'a Sources,
) -> Result<Terminal<'a>, Failure> {
    let out: Box<dyn Write> = match &arguments.output {
        Some(path) => Box::new(File::create(path).map_err(|error| cannot_open(path, &error))?),
        None => Box::new(io::stdout()),
    };
    let mut terminal = Terminal::new(out, arguments.format, arguments.buffering, text_options, sources);
    terminal.warnings = !arguments.no_warnings;
    terminal.is_watched = arguments.output.is_none() && io::stdout().is_terminal();
    Ok(terminal)
}

/// `--mode bench` and `--mode test`: everything else that the script does goes on in silence.
fn try_out(mode: Mode, format: Format, trace: &mut Trace, mut terminal: Terminal) -> Result<u8, TraceError> {
    terminal.hold();
    trace.run_begin(&mut terminal)?;
    let fine = match mode {
        Mode::Test => trials::run_tests(trace, terminal, format)?,
        _ => trials::run_benchmarks(trace, terminal, format)?,
    };
    Ok(u8::from(!fine))
}

fn finish(
    arguments: &Arguments,
    mut trace: Trace,
    mut status: Status,
    print_maps: bool,
    terminal: &mut Terminal,
) -> Result<u8, TraceError> {
    trace.stop(terminal);
    trace.run_end(terminal)?;
    if let Status::Exited(_) = trace.status() {
        status = trace.status();
    }
    terminal.end_of_events();
    if print_maps && let Err(error) = trace.print_maps(terminal) {
        super::complain(&format!("ERROR: {error}\n"));
    }
    let summary = trace.finish(terminal);
    terminal.flush();
    if arguments.verbose {
        let times = (summary.map_time, summary.load_time, summary.attach_time);
        super::complain(&format!(
            "maps {:?}, load {:?}, attach {:?}, {} events\n",
            times.0, times.1, times.2, summary.events
        ));
    }
    if let Some(error) = terminal.failure() {
        let out = arguments.output.as_ref().map_or("standard output".into(), |path| path.to_string_lossy());
        super::complain(&format!("ERROR: not all of the output could be written to {out}: {}\n", text::reason(error)));
        return Ok(1);
    }
    Ok(match status {
        Status::Exited(request) => request.code as u8,
        _ => 0,
    })
}

/// Ends the trace at the first SIGINT or SIGTERM, and gives up at the second.
fn watch_signals(handle: TraceHandle) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let seen = Arc::new(AtomicUsize::new(0));
    let (ready, is_ready) = std::sync::mpsc::channel();
    thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async move {
            use tokio::signal::unix::{SignalKind, signal};
            let pair = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
            let (Ok(mut interrupt), Ok(mut terminate)) = pair else { return };
            let _ = ready.send(());
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                handle.interrupt();
                if seen.fetch_add(1, Ordering::Relaxed) >= 2 {
                    std::process::exit(130);
                }
            }
        });
    })?;
    let _ = is_ready.recv_timeout(Duration::from_secs(1));
    Ok(())
}
