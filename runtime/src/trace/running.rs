//! Runs programs that need no attachment: `begin`, `end`, signals, `test` and `bench`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use probebook_compiler::plan::Attach;

use super::{BUSY, Measurement, Trace, TraceError};
use crate::events::{Severity, Sink};
use crate::loader::program;

impl Trace {
    /// Runs the programs of the signals that have come.
    pub(super) fn answer_signals(&mut self, sink: &mut dyn Sink) {
        for name in self.wake.take_signals() {
            let ran = self.run(|attach| matches!(attach, Attach::Signal { name: wanted } if *wanted == name), sink);
            if let Err(error) = ran {
                sink.message(Severity::Error, &error.to_string(), None);
            }
            self.drain_all(sink);
        }
    }

    /// Runs a `test` or `bench` probe of the plan so many times, and hands over what it said.
    pub fn measure(&mut self, probe: usize, times: u32, sink: &mut dyn Sink) -> Result<Measurement, TraceError> {
        let Some((name, program)) = self.plan.probes.get(probe).map(|probe| (probe.name.clone(), probe.program)) else {
            return Ok(Measurement { returned: 0, average: Duration::ZERO, exit_code: 0 });
        };
        let Some(program) = self.parts.programs.get(program) else {
            return Ok(Measurement { returned: 0, average: Duration::ZERO, exit_code: 0 });
        };
        self.set_gate(true);
        let (returned, nanoseconds) =
            program::measure(program.as_fd(), times).map_err(|source| TraceError::Run { probe: name, source })?;
        self.drain_all(sink);
        let exit_code = self.exit_request().map_or(0, |request| request.code);
        if let Some(control) = &self.parts.control {
            control.forget_exit();
        }
        Ok(Measurement { returned, average: Duration::from_nanos(nanoseconds.into()), exit_code })
    }

    /// Runs the programs of the probes that `wanted` picks, in their order. If they may send more
    /// than the ring buffer holds, it is read meanwhile.
    pub(super) fn run(&mut self, wanted: impl Fn(&Attach) -> bool, sink: &mut dyn Sink) -> Result<(), TraceError> {
        let chosen = self.plan.probes.iter().filter(|probe| wanted(&probe.attach));
        let chosen = chosen.filter_map(|probe| Some((probe.name.clone(), self.parts.programs.get(probe.program)?)));
        let chosen: Vec<_> = chosen.map(|(name, program)| (name, program.try_clone())).collect();
        for (name, program) in chosen {
            let result = program.and_then(|program| match self.plan.bursts {
                false => program::run(program.as_fd()),
                true => self.run_and_drain(program.as_fd(), sink),
            });
            result.map_err(|source| TraceError::Run { probe: name, source })?;
        }
        Ok(())
    }

    pub(super) fn run_and_drain(&mut self, program: BorrowedFd<'_>, sink: &mut dyn Sink) -> io::Result<u32> {
        let (sender, result) = mpsc::channel();
        thread::scope(|scope| {
            let runner = thread::Builder::new().name("begin".into());
            runner.spawn_scoped(scope, move || sender.send(program::run(program)))?;
            loop {
                match result.recv_timeout(BUSY) {
                    Ok(result) => return result,
                    Err(RecvTimeoutError::Timeout) => drop(self.drain(sink)),
                    Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("the thread has panicked")),
                }
            }
        })
    }
}
