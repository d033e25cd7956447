//! The process that a trace is about, if it is about one.

use std::io::{self, PipeReader, Read};
use std::mem;
use std::process::Child;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::events::{Sink, TextSource};
use crate::loader::child::HeldChild;

/// How long the output of a command that has ended may take to arrive.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// What is traced.
#[derive(Default)]
pub(crate) enum Target {
    #[default]
    Everything,
    /// `-p`
    Process(u32),
    /// `-c`, before the probes are attached.
    Held { command: String, child: HeldChild, output: Option<PipeReader> },
    /// `-c`, running or ended.
    Running(Running),
}

/// Whether a process runs: one that has ended stays in the list until its parent has noticed.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // `pid (comm) state …`, and a comm may hold anything.
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// A command that was let go. It does not outlive its trace.
pub(crate) struct Running {
    child: Child,
    output: Option<mpsc::Receiver<Vec<u8>>>,
    /// Once it has ended: its code, or none if a signal ended it.
    code: Option<Option<i32>>,
}

impl Target {
    pub fn pid(&self) -> Option<u32> {
        match self {
            Target::Everything => None,
            Target::Process(pid) => Some(*pid),
            Target::Held { child, .. } => Some(child.pid()),
            Target::Running(running) => Some(running.child.id()),
        }
    }

    /// The command's process id.
    pub fn child(&self) -> Option<u32> {
        match self {
            Target::Held { .. } | Target::Running(_) => self.pid(),
            Target::Everything | Target::Process(_) => None,
        }
    }

    /// Lets a held command go on.
    pub fn release(&mut self) -> Result<(), (String, io::Error)> {
        match mem::take(self) {
            Target::Held { command, child, output } => {
                let failed = |error| (command.clone(), error);
                let child = child.release().map_err(failed)?;
                let output = output.map(read_in_background).transpose().map_err(failed)?;
                *self = Target::Running(Running { child, output, code: None });
            }
            other => *self = other,
        }
        Ok(())
    }

    /// `Some` once the process has ended: a command's code, or none if a signal ended it.
    pub fn exit_code(&mut self) -> Option<Option<i32>> {
        if let Target::Process(pid) = self {
            // It is not our child, so its code is not for us to know.
            return (!is_alive(*pid)).then_some(None);
        }
        let Target::Running(Running { child, code, .. }) = self else { return None };
        if code.is_none() {
            // A command that cannot be waited for is as good as ended.
            *code = match child.try_wait() {
                Ok(status) => status.map(|status| status.code()),
                Err(_) => Some(None),
            };
        }
        *code
    }

    /// Hands over what the command has printed.
    pub fn drain_output(&mut self, sink: &mut dyn Sink) {
        let Target::Running(Running { output: Some(output), .. }) = self else { return };
        while let Ok(chunk) = output.try_recv() {
            sink.text(TextSource::Child, &chunk);
        }
    }

    /// Hands over the rest of what a command that has ended has printed. Something that it left
    /// in the background may hold its output open; that is not waited for.
    pub fn finish_output(&mut self, sink: &mut dyn Sink) {
        let Target::Running(Running { output: Some(output), code: Some(_), .. }) = self else { return };
        while let Ok(chunk) = output.recv_timeout(LAST_WORDS) {
            sink.text(TextSource::Child, &chunk);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.code.is_none() {
            // It may have ended by itself.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn read_in_background(mut pipe: PipeReader) -> io::Result<mpsc::Receiver<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("child-output".into()).spawn(move || {
        let mut buffer = [0u8; 8192];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            if sender.send(buffer.get(..length).unwrap_or_default().to_vec()).is_err() {
                break;
            }
        }
    })?;
    Ok(receiver)
}
