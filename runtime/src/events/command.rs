//! `system()`: a shell command, its output, and an end to it if the user wants one.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::loader::limits;
use crate::process::{Chunk, Leash, Output};

/// How often a running command is looked at.
const TICK: Duration = Duration::from_millis(20);

/// Runs a command with `sh`, standard error with standard output, handing its output over as it
/// comes. `is_interrupted` is asked from time to time; if so, the command is killed, and with it
/// what it has started.
pub fn run(script: &str, mut output: impl FnMut(&[u8]), is_interrupted: impl Fn() -> bool) -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    limits::restore_descriptors(&mut command);
    let mut child = command.spawn()?;
    // Holds the pipe's writing ends, which must be closed for the reader to see the end.
    drop(command);
    let leash = Leash::group(child.id())?;
    let chunks = Output::new(reader);
    loop {
        match chunks.next(TICK) {
            Chunk::Bytes(bytes) => output(&bytes),
            Chunk::End => break,
            // A command may leave something in the background that keeps its output open.
            Chunk::Nothing if child.try_wait()?.is_some() => {
                chunks.finish(&mut output, &is_interrupted);
                return Ok(());
            }
            Chunk::Nothing => {}
        }
        if is_interrupted() {
            leash.kill();
            break;
        }
    }
    child.wait().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn output_of(script: &str) -> String {
        let mut text = Vec::new();
        run(script, |chunk| text.extend_from_slice(chunk), || false).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn both_streams_are_passed_on_as_they_are() {
        assert_eq!(output_of("printf one; echo two >&2"), "onetwo\n");
    }

    #[test]
    fn a_background_process_is_not_waited_for() {
        let start = Instant::now();
        assert_eq!(output_of("echo started; sleep 30 &"), "started\n");
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn an_interrupt_ends_the_command_and_what_it_has_started() {
        let mut text = Vec::new();
        let printed = std::cell::Cell::new(false);
        let output = |chunk: &[u8]| {
            text.extend_from_slice(chunk);
            printed.set(true);
        };
        let start = Instant::now();
        run("sleep 30 & echo $!; wait; true", output, || printed.get()).unwrap();
        let sleeper = String::from_utf8(text).unwrap();
        let stat = || std::fs::read_to_string(format!("/proc/{}/stat", sleeper.trim())).unwrap_or_default();
        while !stat().is_empty() && !stat().contains(") Z") && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(TICK);
        }
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn an_interrupt_ends_a_command_that_never_pauses() {
        let bytes = std::cell::Cell::new(0);
        run("exec yes", |chunk| bytes.set(bytes.get() + chunk.len()), || bytes.get() > 10_000_000).unwrap();
        assert!(bytes.get() < 20_000_000);
    }
}
