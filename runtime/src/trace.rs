//! One running script, from its first program to its last event.
//!
//! A trace is owned by one thread, which polls it; another may interrupt it through a handle.
//! The order is bpftrace's: `begin`, attach, events, detach, `end`, the last events.

mod attaching;
mod child;
mod draining;
mod housekeeping;
mod iterators;
mod missing;
mod running;
mod wake;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use probebook_compiler::plan::{Attach, Plan};

use crate::attach::{AttachError, Attachment, Doomed, Mechanisms};
use crate::events::{Actions, LossCounters, LossReport, MapPrint, Packets, Ring, Sink};
use crate::loader::control::{ControlPage, ExitRequest};
use crate::loader::program::Linking;
use crate::maps::{self, CData, LiveMap, MapError};
use crate::session::Shared;
use crate::symbols::Formats;
use crate::text::reason;
use crate::value::MapSnapshot;

pub(crate) use child::Target;
use iterators::Iterators;
use wake::Wake;
pub use wake::{TraceHandle, WeakTraceHandle};

/// Time between two looks into the ring buffer: while there is something to read, and at most.
const BUSY: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(8);

/// What a trace is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Running,
    /// The script called `exit()`, or failed.
    Exited(ExitRequest),
    /// The `-c` command has ended; `None` if by a signal.
    ChildExited {
        code: Option<i32>,
    },
    /// [`TraceHandle::interrupt`] was called.
    Interrupted,
    /// Its iterators have gone over everything, and there is nothing else to wait for.
    Finished,
}

/// A trace cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error("{probe} could not be run: {}", reason(.source))]
    Run { probe: String, source: io::Error },
    #[error("`{command}` could not be started: {}", reason(.source))]
    Child { command: String, source: io::Error },
    #[error("the iterator could not be run: {}", reason(.0))]
    Iterator(io::Error),
    /// `missing_probes` has let all of them pass.
    #[error("Attachment failed for all probes.")]
    NothingAttached,
}

/// How a `test` or a `bench` probe did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// What it returned the last time.
    pub returned: u32,
    /// The time that it took on average.
    pub average: Duration,
    /// What it gave to `exit()`.
    pub exit_code: i32,
}

/// What is to be said of a trace when it is over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Everything that was lost, over the whole trace.
    pub losses: Vec<LossReport>,
    /// The maps that the script uses, without `@`, in the order in which they are printed.
    pub touched_maps: Vec<String>,
    /// How many probes were attached, `begin` and `end` included.
    pub probes: usize,
    pub events: u64,
    pub exit: Option<ExitRequest>,
    pub map_time: Duration,
    pub load_time: Duration,
    pub attach_time: Duration,
}

/// What a session puts into a trace.
pub(crate) struct Parts {
    pub actions: Actions,
    pub losses: LossCounters,
    pub ring: Option<Ring>,
    pub packets: Option<Packets>,
    pub control: Option<ControlPage>,
    pub programs: Vec<OwnedFd>,
    /// What the verifier wrote of them, if that was wanted.
    pub verifier_logs: Vec<String>,
    /// Held as long as programs may use it.
    #[expect(dead_code, reason = "what counts is when it is dropped")]
    pub c_data: CData,
    /// How each program is linked.
    pub linking: Vec<Linking>,
    pub formats: Arc<Formats>,
    pub target: Target,
    pub mechanisms: Mechanisms,
    pub handle: TraceHandle,
    pub map_time: Duration,
    pub load_time: Duration,
}

/// One running script.
pub struct Trace {
    shared: Arc<Shared>,
    plan: Plan,
    maps: Vec<Arc<LiveMap>>,
    parts: Parts,
    attachments: Vec<Attachment>,
    iterators: Iterators,
    wake: Arc<Wake>,
    summary: Summary,
    /// New maps have become the session's.
    are_maps_kept: bool,
    /// When commands are ended that are still running.
    deadline: Option<Instant>,
    pause: Duration,
    last_housekeeping: Instant,
    last_observation: Instant,
    /// Maps that name processes whose symbols will be asked for.
    with_processes: Vec<Arc<LiveMap>>,
}

impl Trace {
    pub(crate) fn new(shared: Arc<Shared>, plan: Plan, maps: Vec<Arc<LiveMap>>, parts: Parts) -> Trace {
        let touched: BTreeSet<String> =
            maps.iter().filter_map(|map| map.user()).map(|user| user.name.clone()).collect();
        let summary = Summary {
            touched_maps: touched.into_iter().collect(),
            map_time: parts.map_time,
            load_time: parts.load_time,
            ..Summary::default()
        };
        let wake = Arc::clone(&parts.handle.wake);
        let with_processes = maps.iter().filter(|map| maps::names_processes(map)).cloned().collect();
        Trace {
            shared,
            plan,
            maps,
            parts,
            attachments: Vec::new(),
            iterators: Iterators::default(),
            wake,
            summary,
            are_maps_kept: false,
            deadline: None,
            pause: BUSY,
            last_housekeeping: Instant::now(),
            last_observation: Instant::now(),
            with_processes,
        }
    }

    /// For other threads.
    pub fn handle(&self) -> TraceHandle {
        TraceHandle { wake: Arc::clone(&self.wake) }
    }

    /// Commands of `system()` do not run beyond `deadline`, except those of `end`. The trace itself goes
    /// on: whoever polls it looks at the clock.
    pub fn end_commands_at(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// What the verifier wrote of each program, in the plan's order; empty unless it was wanted.
    pub fn verifier_logs(&self) -> &[String] {
        &self.parts.verifier_logs
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The process that is traced, if it is only one.
    pub fn pid(&self) -> Option<u32> {
        self.parts.target.pid()
    }

    /// Whether there is anything to wait for after `begin`: other probes, or a command.
    pub fn has_probes(&self) -> bool {
        self.plan.probes.iter().any(|probe| waits(&probe.attach)) || matches!(self.parts.target, Target::Held { .. })
    }

    /// Runs the `begin` probes and hands over what they said.
    pub fn run_begin(&mut self, sink: &mut dyn Sink) -> Result<Status, TraceError> {
        if let Some(control) = &self.parts.control {
            let start = crate::system::nanoseconds_since_boot();
            let boot = self.shared.symbols.set_boot_time();
            control.set_times(start.cast_unsigned(), boot.cast_unsigned());
            control.set_surroundings(self.parts.target.child().unwrap_or(0), crate::system::tai_offset());
        }
        self.set_gate(true);
        self.run(|attach| matches!(attach, Attach::Begin), sink)?;
        self.drain_all(sink);
        Ok(self.status())
    }

    /// Attaches every other probe and lets the `-c` command go on. If one probe cannot be attached,
    /// none is. Gives the number of probes attached.
    pub fn attach(&mut self, sink: &mut dyn Sink) -> Result<usize, TraceError> {
        let begun = Instant::now();
        if let Err(error) = self.attach_all(sink) {
            self.set_gate(false);
            self.detach();
            return Err(error.into());
        }
        if self.summary.probes == 0 && !self.plan.probes.is_empty() {
            return Err(TraceError::NothingAttached);
        }
        self.summary.attach_time = begun.elapsed();
        self.note_binaries();
        self.start_iterators(sink)?;
        self.parts.target.release().map_err(|(command, source)| TraceError::Child { command, source })?;
        self.observe_target();
        self.shared.maps.keep_user_maps(&self.maps);
        self.are_maps_kept = true;
        Ok(self.summary.probes)
    }

    /// Hands over what has arrived, waits for more until `timeout` is over, and returns at once
    /// when the trace has ended or was interrupted.
    pub fn poll(&mut self, sink: &mut dyn Sink, timeout: Duration) -> Status {
        let deadline = Instant::now() + timeout;
        loop {
            let drained = self.drain(sink);
            self.keep_house(sink);
            self.answer_signals(sink);
            let status = self.status();
            if status != Status::Running {
                return status;
            }
            self.pause = if drained.events > 0 { BUSY } else { (self.pause * 2).min(IDLE) };
            let now = Instant::now();
            if now >= deadline {
                return Status::Running;
            }
            if !drained.more {
                self.wake.wait(self.pause.min(deadline - now));
            }
        }
    }

    /// What the trace is doing, without waiting for it.
    pub fn status(&mut self) -> Status {
        if let Some(request) = self.exit_request()
            && self.iterators.are_done()
        {
            self.summary.exit = Some(request);
            return Status::Exited(request);
        }
        if let Some(code) = self.parts.target.exit_code() {
            return Status::ChildExited { code };
        }
        if self.wake.is_interrupted() {
            return Status::Interrupted;
        }
        if self.has_finished() { Status::Finished } else { Status::Running }
    }

    /// Whether there were only iterators to wait for, and all have come to their end.
    fn has_finished(&self) -> bool {
        let mut waiting = self.plan.probes.iter().filter(|probe| waits(&probe.attach)).peekable();
        let is_attached = self.summary.probes > 0 && waiting.peek().is_some();
        let only_iterators = waiting.all(|probe| matches!(probe.attach, Attach::Iter { .. }));
        is_attached && only_iterators && self.iterators.are_done()
    }

    fn exit_request(&self) -> Option<ExitRequest> {
        self.parts.control.as_ref()?.exit_request()
    }

    /// Ends the events: programs do nothing from here on. Links are closed in the background.
    pub fn stop(&mut self, sink: &mut dyn Sink) {
        self.set_gate(false);
        if !self.are_maps_kept {
            // `begin` has ended the script before there was anything to attach.
            self.shared.maps.keep_user_maps(&self.maps);
        }
        self.note_missed(sink);
        self.detach();
        let wake = &self.wake;
        self.parts.target.finish_output(sink, || wake.is_abandoned());
        self.drain_all(sink);
        self.parts.actions.report_skipped(sink);
    }

    /// Runs the `end` probes and hands over what they said.
    pub fn run_end(&mut self, sink: &mut dyn Sink) -> Result<(), TraceError> {
        self.wake.reset();
        self.deadline = None;
        self.set_gate(true);
        let result = self.run(|attach| matches!(attach, Attach::End), sink);
        self.set_gate(false);
        self.drain_all(sink);
        result
    }

    /// The maps that the script uses and that are not empty, in the order of printing. A second
    /// interrupt leaves the rest out.
    pub fn print_maps(&mut self, sink: &mut dyn Sink) -> Result<(), MapError> {
        self.report_losses(sink);
        for name in self.summary.touched_maps.clone() {
            if self.wake.is_interrupted() {
                break;
            }
            let Some(snapshot) = self.snapshot(&name)? else { continue };
            if !snapshot.entries.is_empty() {
                sink.map(MapPrint { snapshot, top: 0, div: 0, site: None });
            }
        }
        Ok(())
    }

    /// One of this trace's own maps, even if the session has dropped it since.
    pub fn snapshot(&self, name: &str) -> Result<Option<MapSnapshot>, MapError> {
        let map = self.maps.iter().find(|map| map.user().is_some_and(|user| user.name == name));
        map.map(|map| self.shared.snapshot(map)).transpose()
    }

    /// Ends the trace: tells the last losses and sums up. What is still attached is detached.
    pub fn finish(mut self, sink: &mut dyn Sink) -> Summary {
        self.report_losses(sink);
        self.summary.losses = self.parts.losses.totals();
        std::mem::take(&mut self.summary)
    }

    /// What was lost up to the last look.
    pub fn losses(&self) -> Vec<LossReport> {
        self.parts.losses.totals()
    }

    fn set_gate(&self, open: bool) {
        if let Some(control) = &self.parts.control {
            control.set_gate(open);
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.set_gate(false);
        let programs = std::mem::take(&mut self.parts.programs);
        let attachments = std::mem::take(&mut self.attachments);
        let last = self.sweeper();
        self.shared.reaper.reap(Doomed { attachments, programs, last, done: None });
    }
}

/// Whether there are events of this probe to wait for. A pinned iterator is run by others.
fn waits(attach: &Attach) -> bool {
    !is_trial(attach) && !matches!(attach, Attach::Begin | Attach::End | Attach::Iter { pin: Some(_), .. })
}

/// Whether a probe is run only in a mode of its own.
fn is_trial(attach: &Attach) -> bool {
    matches!(attach, Attach::Test { .. } | Attach::Bench { .. })
}
