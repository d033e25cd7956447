//! The command line as a user sees it: what is printed where, and the exit codes.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)] // a test may fail

mod binaries;
mod check;
mod doc;
mod doctor;
mod flags;
mod limits;
mod listing;
mod privileges;
mod terminal;

use std::io::Write;
use std::process::{Command, Stdio};

/// What one run of the program has said.
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    #[track_caller]
    fn has(&self, line: &str) {
        assert!(self.stdout.lines().any(|known| known == line), "no line {line:?} in {}", self.stdout);
    }
}

/// Runs the program with these arguments, and `input` as its standard input.
fn probebook_with(arguments: &[&str], input: &str) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probebook"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn probebook(arguments: &[&str]) -> Said {
    probebook_with(arguments, "")
}

/// Whether this user may trace; says so if not.
fn is_root() -> bool {
    let is_root = nix_uid() == 0;
    if !is_root {
        println!("skipped: needs root");
    }
    is_root
}

fn nix_uid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").map(|metadata| metadata.uid()).unwrap_or(u32::MAX)
}
