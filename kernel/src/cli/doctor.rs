//! `probebook doctor` and `run --info`: what works on this machine.

use std::process::ExitCode;

use clap::Args;
use probebook_runtime::{Session, SessionOptions};

use super::arguments::{Format, version};
use crate::doctor::{self, Line, State};

#[derive(Args, Debug)]
pub struct Arguments {
    /// How findings are written: text or json
    #[arg(short = 'f', value_name = "FORMAT", default_value = "text", value_parser = Format::parse)]
    format: Format,
}

/// Names that bpftrace's `--info` has for helpers.
const BPFTRACE_NAMES: [(&str, &str); 4] = [
    ("d_path", "dpath"),
    ("ktime_get_tai_ns", "get_tai_ns"),
    ("map_lookup_percpu_elem", "lookup_percpu_elem"),
    ("loop", "Loop support"),
];

/// What bpftrace may be built without, by the names that its `--info` has for it.
const BUILT_IN: [&str; 4] = [
    "bcc library path resolution",
    "libdw (DWARF support)",
    "blazesym (advanced symbolization)",
    "dwunwind (DWARF stack unwinding)",
];

/// Prints a line for each thing that was tried. The exit code is 1 if tracing is not possible at all.
pub fn run(arguments: &Arguments) -> ExitCode {
    let session = match Session::new(SessionOptions::default()) {
        Ok(session) => session,
        Err(error) => return super::fail(&super::no_session(&error)),
    };
    let lines = doctor::examine(&session);
    match arguments.format {
        Format::Text => super::say(&text(&lines)),
        Format::Json => super::say(&format!("{:#}\n", serde_json::to_value(&lines).unwrap_or_default())),
    }
    let is_hopeless = lines.iter().any(|line| line.name == "begin" && line.state == State::Fails);
    if is_hopeless { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn text(lines: &[Line]) -> String {
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut area = "";
    for line in lines {
        if line.area != area {
            area = line.area;
            text.push_str(&format!("{}{area}\n", if text.is_empty() { "" } else { "\n" }));
        }
        let mark = match line.state {
            State::Works => "ok  ",
            State::Missing => "-   ",
            State::Fails => "FAIL",
        };
        text.push_str(&format!("  {mark} {:width$}  {}\n", line.name, line.detail));
        if let Some(remedy) = &line.remedy {
            text.push_str(&format!("       {:width$}  -> {remedy}\n", ""));
        }
    }
    text
}

/// `run --info`: versions, and yes or no for each feature.
pub fn info() -> ExitCode {
    let session = match Session::new(SessionOptions::default()) {
        Ok(session) => session,
        Err(error) => return super::fail(&super::no_session(&error)),
    };
    let read = |name: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
    let mut text = format!(
        "System\n  OS: {} {} {}\n  Arch: {}\n\nBuild\n",
        read("ostype").trim(),
        read("osrelease").trim(),
        read("version").trim(),
        std::env::consts::ARCH
    );
    text.extend(version().lines().map(|line| format!("  version: {line}\n")));
    text.push_str("  LLVM: 22\n");
    // What bpftrace may be built without.
    for part in BUILT_IN {
        text.push_str(&format!("  {part}: yes\n"));
    }
    let mut area = "";
    for line in doctor::features(&session) {
        if line.area != area {
            area = line.area;
            text.push_str(&format!("\n{area}\n"));
        }
        let answer = if line.state == State::Works { "yes" } else { "no" };
        let name =
            BPFTRACE_NAMES.iter().find(|(ours, _)| *ours == line.name).map_or(line.name.as_str(), |(_, name)| name);
        text.push_str(&format!("  {name}: {answer}\n"));
    }
    let iterators = !session.system().btf().iterators().is_empty();
    text.push_str(&format!("  iter: {}\n", if iterators { "yes" } else { "no" }));
    super::say(&text);
    ExitCode::SUCCESS
}
