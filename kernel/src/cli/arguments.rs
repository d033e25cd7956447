//! What `probebook run` takes: bpftrace's flags, and what is wrong with a command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory};
use probebook_compiler::semantics::probe_filter::ProbeFilter;
use probebook_runtime::Mechanisms;
use regex_lite::Regex;

use super::list;
use super::stages::Stage;
use crate::engine::Flags;

/// The version of bpftrace whose language and flags these are.
pub const LANGUAGE_VERSION: &str = "0.26";
/// The largest process number that Linux can be configured for (`PID_MAX_LIMIT` of `linux/threads.h`).
const LARGEST_PID: u64 = 0x40_0000;

/// How the help of `run` is laid out; `USAGE:` is what scripts look for.
pub const HELP: &str = "{about}\n\nUSAGE:\n    {usage}\n\n{all-args}\n";
pub const USAGE: &str = "probebook run [OPTIONS] FILE [PARAMETER]... [-- --NAME=VALUE...]
    probebook run [OPTIONS] -e PROGRAM [PARAMETER]... [-- --NAME=VALUE...]
    probebook run -l [-v] [PATTERN | FILE | -e PROGRAM]";

#[derive(Args, Debug)]
pub struct Arguments {
    /// Run this program instead of a file; several are joined
    #[arg(short = 'e', value_name = "PROGRAM", action = ArgAction::Append, allow_hyphen_values = true)]
    programs: Vec<String>,
    /// List the probes that a pattern matches, or those of a script; with -v also their arguments
    #[arg(short = 'l', long = "list")]
    pub list: bool,
    /// Start a command and trace while it runs
    #[arg(short = 'c', long = "cmd", value_name = "COMMAND")]
    pub command: Option<String>,
    /// Trace this process only
    #[arg(short = 'p', long = "pid", value_name = "PID", value_parser = parse_pid, allow_hyphen_values = true)]
    pub pid: Option<u32>,
    /// How results are written: text or json
    #[arg(short = 'f', value_name = "FORMAT", default_value = "text", value_parser = Format::parse)]
    pub format: Format,
    /// Write the output to a file
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How output is buffered: line, full or none
    #[arg(short = 'B', value_name = "MODE", default_value = "full", value_parser = Buffering::parse)]
    pub buffering: Buffering,
    /// Do not tell how many probes were attached
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Tell how long each step took, and more about failures
    #[arg(short = 'v', long)]
    pub verbose: bool,
    /// Warn when memory cannot be read or a map has no such entry
    #[arg(short = 'k', long = "warnings", action = ArgAction::Count)]
    pub read_warnings: u8,
    /// Do not show warnings
    #[arg(long, conflicts_with = "read_warnings")]
    pub no_warnings: bool,
    /// Allow functions that change the traced system
    #[arg(long = "unsafe")]
    pub allow_unsafe: bool,
    /// Look for C headers in this folder too
    #[arg(short = 'I', value_name = "DIR", action = ArgAction::Append)]
    pub include_dirs: Vec<PathBuf>,
    /// Include this C header before the script
    #[arg(long = "include", value_name = "FILE", action = ArgAction::Append)]
    pub include_files: Vec<String>,
    /// Look in this folder too for debug information that was stripped off programs
    #[arg(long, value_name = "DIR[:DIR]", value_delimiter = ':', action = ArgAction::Append)]
    pub debuginfo: Vec<PathBuf>,
    /// Do without kernel features: kprobe_multi, kprobe_session, uprobe_multi
    #[arg(long, value_name = "FEATURE", value_delimiter = ',', action = ArgAction::Append, value_parser = feature)]
    pub no_feature: Vec<String>,
    /// Only probes whose full names match this regular expression, and begin and end
    #[arg(long, value_name = "REGEX", value_parser = regular_expression)]
    pub probe_filter: Option<Regex>,
    /// Take the kernel functions that this file lists for the traceable ones
    #[arg(long, value_name = "FILE")]
    pub traceable_functions: Option<PathBuf>,
    /// Enable USDT semaphores in every process that has the file mapped
    #[arg(long)]
    pub usdt_file_activation: bool,
    /// Load and attach everything, then end
    #[arg(long)]
    pub dry_run: bool,
    /// Show inner forms: ast, types (or ir), codegen, codegen-opt, dis, verifier, all
    #[arg(short = 'd', long = "debug", value_name = "STAGE", value_delimiter = ',', action = ArgAction::Append,
          value_parser = Stage::parse)]
    pub debug: Vec<Stage>,
    /// codegen ends after compiling, compiler-bench measures it; bench and test run the probes of that type
    #[arg(long = "mode", value_name = "MODE", value_parser = Mode::parse)]
    given_mode: Option<Mode>,
    /// Run the test probes, as --mode test does
    #[arg(long, conflicts_with_all = ["bench", "given_mode"])]
    test: bool,
    /// Run the bench probes, as --mode bench does
    #[arg(long, conflicts_with = "given_mode")]
    bench: bool,
    /// Write LLVM's form of the script to FILE.original.ll and FILE.optimized.ll
    #[arg(long, value_name = "FILE")]
    pub emit_llvm: Option<PathBuf>,
    /// Write the BPF object to this file instead of running it
    #[arg(long, value_name = "FILE")]
    pub emit_elf: Option<PathBuf>,
    /// Refused: a script is compiled when it is run, which takes milliseconds
    #[arg(long, value_name = "FILE", hide = true)]
    pub aot: Option<PathBuf>,
    /// What the kernel and this program can do
    #[arg(long)]
    pub info: bool,
    /// Show the versions of this program and of the language
    #[arg(short = 'V', long)]
    pub version: bool,
    /// The script's file (- for standard input), unless -e is given; then its parameters
    #[arg(value_name = "FILE [PARAMETER]")]
    rest: Vec<String>,
    /// `dw_ustack` finds the unwinding tables of any process when it comes across it.
    #[arg(long, value_name = "PID", action = ArgAction::Append, value_parser = parse_pid, hide = true)]
    dwarf_pid: Vec<u32>,
    /// BTF is used whenever it is there.
    #[arg(short = 'b', long, hide = true)]
    btf: bool,
    /// The debug build always does.
    #[arg(long, hide = true)]
    verify_llvm_ir: bool,
}

impl Arguments {
    /// The programs of all `-e`, a line each.
    pub fn program(&self) -> Option<String> {
        (!self.programs.is_empty()).then(|| self.programs.join("\n"))
    }

    /// Everything that is no flag: the file unless `-e` is given, then parameters.
    pub fn rest(&self) -> &[String] {
        &self.rest
    }

    /// What is done instead of tracing.
    pub fn mode(&self) -> Option<Mode> {
        let short = || match (self.test, self.bench) {
            (true, _) => Some(Mode::Test),
            (_, true) => Some(Mode::Bench),
            _ => None,
        };
        self.given_mode.or_else(short)
    }

    pub fn shows(&self, stage: Stage) -> bool {
        self.debug.contains(&stage) || self.debug.contains(&Stage::All) && stage != Stage::Verifier
    }

    /// What `-l` lists.
    pub fn listing(&self) -> list::Arguments {
        let pattern = if self.programs.is_empty() { self.rest.first().cloned() } else { None };
        let debuginfo = self.debuginfo.clone();
        let traceable_functions = self.traceable_functions.clone();
        let (program, pid, verbose) = (self.program(), self.pid, self.verbose);
        list::Arguments { pattern, program, pid, verbose, debuginfo, traceable_functions }
    }

    /// What compiling depends on.
    pub fn flags(&self) -> Flags {
        Flags {
            include_dirs: self.include_dirs.clone(),
            include_files: self.include_files.clone(),
            read_warnings: self.read_warnings > 0,
            assume_probes: false,
            probe_filter: self.probe_filter.clone().map(|regex| ProbeFilter::new(move |name| regex.is_match(name))),
            no_kprobe_sessions: self.is_without("kprobe_session"),
            one_file: self.emit_elf.is_some(),
        }
    }

    /// What attaching depends on.
    pub fn mechanisms(&self) -> Mechanisms {
        Mechanisms {
            kprobe_multi: !self.is_without("kprobe_multi"),
            uprobe_multi: !self.is_without("uprobe_multi"),
            usdt_file_activation: self.usdt_file_activation,
        }
    }

    /// Whether a feature of the kernel is not to be used. A session is a link of many kprobes too.
    fn is_without(&self, feature: &str) -> bool {
        let names = |name: &String| name == feature || name == "kprobe_multi" && feature == "kprobe_session";
        self.no_feature.iter().any(names)
    }

    /// What clap does not see: flags that exclude each other, and those that cannot be had.
    pub fn check(&self) -> Result<(), String> {
        if self.command.is_some() && self.pid.is_some() {
            return Err("USAGE: Cannot use both -c and -p.".to_string());
        }
        if self.read_warnings > 1 {
            return Err("USAGE: -kk is no longer known; a single -k warns of failed reads and lookups".to_string());
        }
        if self.aot.is_some() {
            let reason = "a program file cannot be made ahead of time: scripts are compiled when they are run, which \
                          takes milliseconds; --emit-elf writes the BPF object";
            return Err(format!("--aot is not supported: {reason}"));
        }
        Ok(())
    }
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

impl Format {
    pub fn parse(text: &str) -> Result<Format, String> {
        match text {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err(format!("Invalid output format \"{text}\"\nValid formats: 'text', 'json'")),
        }
    }
}

/// When output is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffering {
    Line,
    Full,
    None,
}

impl Buffering {
    fn parse(text: &str) -> Result<Buffering, String> {
        match text {
            "line" => Ok(Buffering::Line),
            "full" => Ok(Buffering::Full),
            "none" => Ok(Buffering::None),
            _ => Err("USAGE: -B must be either 'line', 'full', or 'none'.".to_string()),
        }
    }
}

/// What is done instead of tracing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Codegen,
    CompilerBench,
    /// Runs `bench` probes.
    Bench,
    /// Runs `test` probes.
    Test,
}

impl Mode {
    fn parse(text: &str) -> Result<Mode, String> {
        match text {
            "codegen" => Ok(Mode::Codegen),
            "compiler-bench" => Ok(Mode::CompilerBench),
            "bench" => Ok(Mode::Bench),
            "test" => Ok(Mode::Test),
            "format" => Err(format!("--mode {text} is not supported yet")),
            _ => Err("USAGE: --mode can only be 'codegen', 'compiler-bench', 'bench' or 'test'.".to_string()),
        }
    }
}

/// Features of the kernel that `--no-feature` knows.
const FEATURES: [&str; 3] = ["kprobe_multi", "kprobe_session", "uprobe_multi"];

fn feature(text: &str) -> Result<String, String> {
    if FEATURES.contains(&text) {
        return Ok(text.to_string());
    }
    Err(format!("USAGE: --no-feature can only have values '{}'.", FEATURES.join(",")))
}

fn regular_expression(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("Invalid --probe-filter regex: {error}"))
}

/// A process number, with bpftrace's words for what is none.
pub fn parse_pid(text: &str) -> Result<u32, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text.get(digits..).unwrap_or_default();
    let number: Option<u64> = text.get(..digits).and_then(|digits| digits.parse().ok());
    match number {
        Some(_) if !rest.is_empty() => Err(format!("Failed to parse pid: invalid trailing bytes: {text}")),
        Some(pid) if pid <= LARGEST_PID => Ok(pid as u32),
        Some(pid) => Err(format!("Pid out of range: {pid}")),
        None if digits > 0 => Err(format!("Pid out of range: {text}")),
        None => Err(format!("Failed to parse pid: invalid integer: {text}")),
    }
}

/// Our version, and that of the language.
pub fn version() -> String {
    format!("probebook {}\nbpftrace v{LANGUAGE_VERSION} (the language)\n", env!("CARGO_PKG_VERSION"))
}

/// Says what is wrong with a command line of `run`; a wrong value by its own message, a wrong flag
/// with the usage.
pub fn refuse<C: CommandFactory>(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp => {
            let mut command = C::command();
            let help = command.find_subcommand_mut("run").map(|run| run.render_help().to_string());
            super::say(&help.unwrap_or_default());
            ExitCode::SUCCESS
        }
        ErrorKind::ValueValidation => {
            let reason = std::error::Error::source(error).map(ToString::to_string);
            super::fail(&reason.unwrap_or_else(|| error.to_string()))
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            super::complain(&format!("ERROR: {first}\n\nUSAGE:\n    {USAGE}\n"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_numbers_are_told_from_other_words() {
        assert_eq!(parse_pid("1"), Ok(1));
        assert_eq!(parse_pid("4194304"), Ok(4_194_304));
        for (text, message) in [
            ("a1111", "Failed to parse pid: invalid integer: a1111"),
            ("111a1", "Failed to parse pid: invalid trailing bytes: 111a1"),
            ("-1", "Failed to parse pid: invalid integer: -1"),
            ("5000000", "Pid out of range: 5000000"),
            ("99999999999999999999", "Pid out of range: 99999999999999999999"),
        ] {
            assert_eq!(parse_pid(text), Err(message.to_string()));
        }
    }
}
