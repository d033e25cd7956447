//! The process that a trace is about, if it is about one.

use std::io::{self, PipeReader};
use std::mem;
use std::process::Child;

use crate::events::{Sink, TextSource};
use crate::loader::child::HeldChild;
use crate::process::{Leash, Output};

/// What is traced.
#[derive(Default)]
pub(crate) enum Target {
    #[default]
    Everything,
    /// `-p`
    Process(u32),
    /// `-c`, before the probes are attached. Where its output is read, it leads a process group.
    Held { command: String, child: HeldChild, leash: Leash, output: Option<PipeReader> },
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

/// A command that was let go. It does not outlive its trace, nor what it has started if it leads a
/// group.
pub(crate) struct Running {
    child: Child,
    /// Until it has ended.
    leash: Option<Leash>,
    output: Option<Output>,
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
            Target::Held { command, child, leash, output } => {
                let child = child.release().map_err(|error| (command, error))?;
                let output = output.map(Output::new);
                *self = Target::Running(Running { child, leash: Some(leash), output, code: None });
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
        let Target::Running(Running { child, leash, code, .. }) = self else { return None };
        if code.is_none() {
            // A command that cannot be waited for is as good as ended.
            *code = match child.try_wait() {
                Ok(status) => status.map(|status| status.code()),
                Err(_) => Some(None),
            };
            if code.is_some() {
                *leash = None;
            }
        }
        *code
    }

    /// Hands over some of what the command has printed.
    pub fn drain_output(&mut self, sink: &mut dyn Sink) {
        let Target::Running(Running { output: Some(output), .. }) = self else { return };
        output.drain(|bytes| sink.text(TextSource::Child, bytes));
    }

    /// Hands over the rest of what a command that has ended has printed.
    pub fn finish_output(&mut self, sink: &mut dyn Sink, is_abandoned: impl Fn() -> bool) {
        let Target::Running(Running { output: Some(output), code: Some(_), .. }) = self else { return };
        output.finish(|bytes| sink.text(TextSource::Child, bytes), is_abandoned);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.code.is_none() && !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.leash.as_ref().inspect(|leash| leash.kill());
            let _ = self.child.wait();
        }
    }
}
