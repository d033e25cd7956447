//! The command line: what it takes, and which part of the program answers.

mod arguments;
mod check;
mod doc;
mod doctor;
mod list;
mod run;
mod stages;
mod terminal;
mod trials;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use probebook_compiler::diagnostics::{Diagnostic, Sources, render};

use probebook_runtime::text::reason;

use crate::install::{self, Destination};
use crate::session::Notebook;

/// A Jupyter kernel for the bpftrace tracing language.
#[derive(Parser)]
#[command(name = "probebook", version)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run a script, as bpftrace does
    #[command(
        help_template = arguments::HELP,
        override_usage = arguments::USAGE,
        args_override_self = true
    )]
    Run(Box<arguments::Arguments>),
    /// List probes: `probebook list 'tracepoint:syscalls:*'`
    List(list::Arguments),
    /// Say what is wrong with scripts, without running them
    Check(check::Arguments),
    /// Show the documentation of a builtin or function
    Doc {
        /// Its name; all of them without it
        name: Option<String>,
    },
    /// Try what works on this machine, and say how to get the rest
    Doctor(doctor::Arguments),
    /// Tell Jupyter about this kernel
    Install(Place),
    /// Serve a Jupyter client (Jupyter calls this)
    Kernel {
        /// The file in which Jupyter says where it listens
        #[arg(long, short = 'f')]
        connection_file: PathBuf,
    },
}

#[derive(clap::Args)]
#[group(multiple = false)]
struct Place {
    /// For the current user (the default)
    #[arg(long)]
    user: bool,
    /// Below this folder, such as a virtual environment
    #[arg(long)]
    prefix: Option<PathBuf>,
    /// For the Python environment that is active
    #[arg(long)]
    sys_prefix: bool,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let action = match Command::try_parse() {
        Ok(command) => command.action,
        Err(error) if std::env::args().nth(1).is_some_and(|word| word == "run") => {
            return arguments::refuse::<Command>(&error);
        }
        Err(error) => error.exit(),
    };
    match action {
        Action::Run(arguments) => run::run(&arguments),
        Action::List(arguments) => list::run(&arguments),
        Action::Check(arguments) => check::run(&arguments),
        Action::Doc { name } => doc::run(name.as_deref()),
        Action::Doctor(arguments) => doctor::run(&arguments),
        Action::Install(place) => install_kernel(&place),
        Action::Kernel { connection_file } => serve(&connection_file),
    }
}

fn install_kernel(place: &Place) -> ExitCode {
    let destination = match (&place.prefix, place.sys_prefix) {
        (Some(prefix), _) => Destination::Prefix(prefix.clone()),
        (None, true) => Destination::SysPrefix,
        (None, false) => Destination::User,
    };
    match install::install(&destination) {
        Ok(folder) => {
            say(&format!("Installed the probebook kernel in {}\n", folder.display()));
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.to_string()),
    }
}

fn serve(connection_file: &std::path::Path) -> ExitCode {
    start_logging();
    let notebook = match Notebook::new() {
        Ok(notebook) => Arc::new(notebook),
        Err(error) => return fail(&no_session(&error)),
    };
    match crate::jupyter::serve(connection_file, notebook) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

/// Why there are no threads or signals to begin with.
fn no_session(error: &std::io::Error) -> String {
    format!("no session could be started: {}; are there too many threads or processes? (ulimit -u)", reason(error))
}

/// `PROBEBOOK_LOG=debug` shows what the kernel does, on standard error.
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("PROBEBOOK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// More than any script has; `/dev/zero` has no end.
const LARGEST_SCRIPT: u64 = 16 << 20;

/// A script's name in messages, and its text; `-` is standard input.
fn read_script(file: &str) -> Result<(String, String), String> {
    let failed = |error: std::io::Error| format!("failed to open file '{file}': {}", reason(&error));
    let (name, input): (&str, Box<dyn Read>) = match file {
        "-" => ("stdin", Box::new(std::io::stdin())),
        _ => (file, Box::new(std::fs::File::open(file).map_err(failed)?)),
    };
    let mut bytes = Vec::new();
    input.take(LARGEST_SCRIPT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST_SCRIPT {
        return Err(format!("{file} is larger than {} MiB", LARGEST_SCRIPT >> 20));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{file} is not UTF-8 text"))?;
    Ok((name.to_string(), text))
}

/// Prints diagnostics as bpftrace does.
fn show(diagnostics: &[Diagnostic], sources: &Sources) {
    for diagnostic in diagnostics {
        complain(&render::to_bpftrace_text(diagnostic, sources));
    }
}

fn fail(message: &str) -> ExitCode {
    complain(&format!("ERROR: {message}\n"));
    ExitCode::FAILURE
}

/// Writes to standard output. A reader that has gone away is no reason to fail (`println!` would).
fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Writes to standard error. The same holds.
fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
