//! `probebook run`: one script, its output on the terminal, with bpftrace's flags.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use probebook_compiler::diagnostics::{Diagnostic, Sources, render};
use probebook_compiler::pipeline::Compiled;
use probebook_compiler::semantics::named_parameters::NamedParameter;
use probebook_runtime::{Session, SessionOptions, StartOptions, Status, Trace, TraceHandle};

use super::terminal::{Format, Terminal};
use crate::engine::{self, Definitions, PlanPlaces, Script};

#[derive(Args)]
pub struct Arguments {
    /// Run this program instead of a file
    #[arg(short = 'e', value_name = "PROGRAM")]
    expression: Option<String>,
    /// Start a command and trace while it runs
    #[arg(short = 'c', long = "cmd", value_name = "COMMAND")]
    command: Option<String>,
    /// Trace this process
    #[arg(short = 'p', long = "pid", value_name = "PID")]
    pid: Option<String>,
    /// text or json
    #[arg(short = 'f', value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Write the output to a file
    #[arg(short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// Do not tell how many probes were attached
    #[arg(short = 'q', long)]
    quiet: bool,
    /// How output is buffered
    #[arg(short = 'B', value_name = "MODE", default_value = "full")]
    buffering: Buffering,
    /// Allow functions that change the traced system
    #[arg(long = "unsafe")]
    allow_unsafe: bool,
    /// Tell how long each step took, and more about failures
    #[arg(short = 'v', long)]
    verbose: bool,
    /// Do not show warnings of the compiler
    #[arg(long)]
    no_warnings: bool,
    /// Compile only; attach nothing
    #[arg(long)]
    dry_run: bool,
    /// Show an inner form: ir
    #[arg(short = 'd', value_name = "STAGE")]
    debug: Option<Stage>,
    /// The script's file (- for standard input), unless -e is given; then its parameters
    #[arg(value_name = "FILE [PARAMETER]", trailing_var_arg = false)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Buffering {
    Line,
    Full,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stage {
    Ir,
}

/// Runs the script to its end; the code is that of `exit()`, or 1 after an error.
pub fn run(arguments: Arguments) -> ExitCode {
    match run_script(&arguments) {
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
    fn from(error: io::Error) -> Failure {
        Failure::Message(error.to_string())
    }
}

/// The script's text with its name, and its parameters.
fn load(arguments: &Arguments) -> Result<(String, String, &[String]), Failure> {
    if let Some(program) = &arguments.expression {
        return Ok(("stdin".to_string(), program.clone(), &arguments.rest));
    }
    let Some((file, parameters)) = arguments.rest.split_first() else {
        return Err(Failure::Message("no script: give a file, or a program with -e".to_string()));
    };
    if file == "-" {
        return Ok(("stdin".to_string(), io::read_to_string(io::stdin())?, parameters));
    }
    let bytes = std::fs::read(file).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.split(" (os error").next().unwrap_or_default();
        Failure::Message(format!("failed to open file '{file}': {reason}"))
    })?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::Message(format!("{file} is not UTF-8 text")))?;
    Ok((file.clone(), text, parameters))
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
    let pid = arguments.pid.as_deref().map(parse_pid).transpose()?;
    let mut sources = Sources::default();
    let source = sources.add(name, text);
    let session = Session::new(SessionOptions::default())?;
    let script = Script {
        sources: &sources,
        source,
        live_maps: &[],
        definitions: &Definitions::default(),
        parameters: &parameters,
        named: &named,
        pid,
        allow_unsafe: arguments.allow_unsafe,
    };
    let compiled = engine::compile(&session, &script).map_err(|diagnostics| show(&diagnostics, &sources))?;
    if !arguments.no_warnings {
        show(&compiled.warnings, &sources);
    }
    if arguments.debug == Some(Stage::Ir) {
        compiled.module.programs.iter().for_each(|program| super::say(&format!("{program}\n")));
    }
    if arguments.dry_run {
        return Ok(0);
    }
    if compiled.plan.probes.is_empty() {
        return Err(Failure::Message("No probes to attach".to_string()));
    }
    trace(arguments, &session, compiled, &sources, source, pid)
}

/// A process number, with bpftrace's words for what is none.
fn parse_pid(text: &str) -> Result<u32, Failure> {
    text.parse().map_err(|_| {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let rest = text.get(digits..).unwrap_or_default();
        let problem = if digits > 0 && !rest.is_empty() {
            format!("invalid trailing bytes: {text}")
        } else {
            format!("invalid integer: {text}")
        };
        Failure::Message(format!("Failed to parse pid: {problem}"))
    })
}

/// Prints diagnostics as bpftrace does.
fn show(diagnostics: &[Diagnostic], sources: &Sources) -> Failure {
    for diagnostic in diagnostics {
        super::complain(&render::to_bpftrace_text(diagnostic, sources));
    }
    Failure::Shown
}

fn trace(
    arguments: &Arguments,
    session: &Session,
    compiled: Compiled,
    sources: &Sources,
    source: probebook_compiler::syntax::ast::SourceId,
    pid: Option<u32>,
) -> Result<u8, Failure> {
    let places = PlanPlaces::of(&compiled.plan);
    let print_maps = compiled.plan.settings.print_maps_on_exit;
    let probes = compiled.plan.probes.len();
    let text_options = session.text_options(&compiled.plan);
    let out: Box<dyn Write> = match &arguments.output {
        Some(path) => Box::new(File::create(path).map_err(|e| Failure::Message(format!("{}: {e}", path.display())))?),
        None => Box::new(io::stdout()),
    };
    let mut terminal = Terminal::new(out, arguments.format, arguments.buffering, text_options, sources);
    terminal.warnings = !arguments.no_warnings;
    let options = StartOptions {
        pid,
        child: arguments.command.clone(),
        capture_child_output: false,
        allow_unsafe: arguments.allow_unsafe,
    };
    let mut trace = session
        .start(compiled.plan, options)
        .map_err(|error| show(&[engine::start_failure(&error, &places, sources, source)], sources))?;
    watch_signals(trace.handle())?;
    let failed = |error| show(&[engine::trace_failure(&error, &places, source)], sources);
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

fn finish(
    arguments: &Arguments,
    mut trace: Trace,
    mut status: Status,
    print_maps: bool,
    terminal: &mut Terminal,
) -> Result<u8, probebook_runtime::TraceError> {
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
