//! `probebook list` and `run -l`: the probes that a pattern matches, or those of a script.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgAction, Args};
use probebook_compiler::diagnostics::Sources;
use probebook_runtime::text::reason;
use probebook_runtime::{Session, SessionOptions};

use super::arguments::parse_pid;
use crate::session::probe_list::Listing;

/// Everything that a wildcard over all types shows.
const EVERYTHING: &str = "*:*";

#[derive(Args, Debug, Default)]
pub struct Arguments {
    /// A probe with wildcards, a part of a name, a type (struct file), several of these with commas
    /// between, or a script; every probe of the kernel without it
    pub pattern: Option<String>,
    /// List the probes of this program
    #[arg(short = 'e', value_name = "PROGRAM", allow_hyphen_values = true)]
    pub program: Option<String>,
    /// List user probes of this process, those of its libraries too
    #[arg(short = 'p', long = "pid", value_name = "PID", value_parser = parse_pid)]
    pub pid: Option<u32>,
    /// Show arguments of probes, and definitions of types
    #[arg(short = 'v', long)]
    pub verbose: bool,
    /// Look in this folder too for debug information that was stripped off programs
    #[arg(long, value_name = "DIR[:DIR]", value_delimiter = ':', action = ArgAction::Append)]
    pub debuginfo: Vec<PathBuf>,
    /// Take the kernel functions that this file lists for the traceable ones
    #[arg(long, value_name = "FILE")]
    pub traceable_functions: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> ExitCode {
    let session = match Session::new(SessionOptions::default()) {
        Ok(session) => session,
        Err(error) => return super::fail(&super::no_session(&error)),
    };
    session.system().user_files().set_debug_directories(arguments.debuginfo.clone());
    if let Err(message) = take_functions(&session, arguments.traceable_functions.as_deref()) {
        return super::fail(&message);
    }
    let listing = Listing { system: session.system(), pid: arguments.pid, verbose: arguments.verbose };
    let pattern = arguments.pattern.as_deref();
    let lines = match (&arguments.program, pattern) {
        (Some(program), _) => of_script(&listing, "stdin", program),
        (None, Some(file)) if Path::new(file).is_file() => match super::read_script(file) {
            Ok((name, text)) => of_script(&listing, &name, &text),
            Err(message) => Err(super::fail(&message)),
        },
        (None, pattern) => {
            warn_of_missing_file(pattern.unwrap_or_default());
            listing.search(pattern.unwrap_or(EVERYTHING)).map_err(|message| super::fail(&message))
        }
    };
    match lines {
        Ok(lines) => {
            super::say(&lines.iter().map(|line| format!("{line}\n")).collect::<String>());
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// `--traceable-functions`
pub fn take_functions(session: &Session, list: Option<&Path>) -> Result<(), String> {
    let Some(path) = list else { return Ok(()) };
    let read = session.system().read_kernel_functions(path);
    read.map_err(|error| format!("--traceable-functions {}: {}", path.display(), reason(&error)))
}

fn of_script(listing: &Listing, name: &str, text: &str) -> Result<Vec<String>, ExitCode> {
    let mut sources = Sources::default();
    let source = sources.add(name, text);
    listing.script(text, source, &[]).map_err(|diagnostics| {
        super::show(&diagnostics, &sources);
        ExitCode::FAILURE
    })
}

/// A name with a dot is probably meant as a file.
fn warn_of_missing_file(pattern: &str) {
    if pattern.contains('.') && !pattern.contains([':', '*']) {
        super::complain(&format!(
            "WARNING: It appears that '{pattern}' is a filename but the file does not exist. Treating '{pattern}' as a \
             search pattern.\n"
        ));
    }
}
