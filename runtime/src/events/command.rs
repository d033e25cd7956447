//! `system()`: a shell command, its output, and an end to it if the user wants one.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How often a running command is looked at.
const TICK: Duration = Duration::from_millis(20);
/// How long the output of a command that has ended may take to arrive.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// Runs a command with `sh`, standard error with standard output, handing its output over as it
/// comes. `is_interrupted` is asked from time to time; if so, the command is killed.
pub fn run(script: &str, mut output: impl FnMut(&[u8]), is_interrupted: impl Fn() -> bool) -> io::Result<()> {
    let (mut reader, writer) = io::pipe()?;
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // Holds the pipe's writing ends, which must be closed for the reader to see the end.
    drop(command);
    let (sender, chunks) = mpsc::channel();
    thread::Builder::new().name("system".into()).spawn(move || {
        let mut buffer = [0u8; 8192];
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            if sender.send(buffer.get(..length).unwrap_or_default().to_vec()).is_err() {
                break;
            }
        }
    })?;
    loop {
        match chunks.recv_timeout(TICK) {
            Ok(chunk) => output(&chunk),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            // A command may leave something in the background that keeps its output open.
            Err(mpsc::RecvTimeoutError::Timeout) if child.try_wait()?.is_some() => {
                while let Ok(chunk) = chunks.recv_timeout(LAST_WORDS) {
                    output(&chunk);
                }
                break;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if is_interrupted() {
            child.kill()?;
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
    fn an_interrupt_ends_the_command() {
        let start = Instant::now();
        run("exec sleep 30", |_| {}, || true).unwrap();
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
