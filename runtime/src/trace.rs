//! One running script, from its first program to its last event.
//!
//! A trace is owned by one thread, which polls it; another may interrupt it through a handle.
//! The order is bpftrace's: `begin`, attach, events, detach, `end`, the last events.

mod child;
mod iterators;
mod missing;
mod wake;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use probebook_compiler::plan::{Attach, MapRole, Plan};

use probebook_compiler::syntax::ast::Span;

use crate::attach::groups;
use crate::attach::{self, AttachError, Attachment, Doomed, Mechanisms, Surroundings};
use crate::events::{
    Actions, Context, Drained, LossCounters, LossReport, MapPrint, Packets, Ring, Severity, Sink, TextSource,
};
use crate::loader::control::{ControlPage, ExitRequest};
use crate::loader::program::{self, Linking};
use crate::maps::{self, LiveMap, MapError};
use crate::session::Shared;
use crate::symbols::Formats;
use crate::value::{MapSnapshot, Resolve};

pub(crate) use child::Target;
use iterators::Iterators;
use wake::Wake;
pub use wake::{TraceHandle, WeakTraceHandle};

/// Time between two looks into the ring buffer: while there is something to read, and at most.
const BUSY: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(8);
/// How often losses are looked for, and processes in maps.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
const OBSERVATION: Duration = Duration::from_millis(20);

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
    #[error("{probe} could not be run: {source}")]
    Run { probe: String, source: io::Error },
    #[error("`{command}` could not be started: {source}")]
    Child { command: String, source: io::Error },
    #[error("the iterator could not be run: {0}")]
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
    /// How each program is linked.
    pub linking: Vec<Linking>,
    pub formats: Arc<Formats>,
    pub target: Target,
    pub mechanisms: Mechanisms,
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
        let with_processes = maps.iter().filter(|map| maps::names_processes(map)).cloned().collect();
        Trace {
            shared,
            plan,
            maps,
            parts,
            attachments: Vec::new(),
            iterators: Iterators::default(),
            wake: Arc::default(),
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
        TraceHandle::new(Arc::clone(&self.wake))
    }

    /// Commands of `system()` do not run beyond `deadline`, except those of `end`. The trace itself goes
    /// on: whoever polls it looks at the clock.
    pub fn end_commands_at(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
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

    /// Attaches every other probe to see whether it can be done, and detaches. Nothing runs, the `-c`
    /// command neither.
    pub fn try_attach(&mut self, sink: &mut dyn Sink) -> Result<usize, TraceError> {
        let result = self.attach_all(sink);
        self.detach();
        result?;
        Ok(self.summary.probes)
    }

    fn attach_all(&mut self, sink: &mut dyn Sink) -> Result<(), AttachError> {
        let shared = Arc::clone(&self.shared);
        let surroundings = Surroundings { system: &shared.system, pid: self.pid(), mechanisms: self.parts.mechanisms };
        for group in groups::in_order(&self.plan, &self.parts.linking) {
            let Some(program) = self.parts.programs.get(group.program) else { continue };
            let Some(kind) = self.plan.programs.get(group.program).map(|program| program.kind) else { continue };
            let linking = self.parts.linking.get(group.program).copied().unwrap_or_default();
            let target = attach::Target { program: program.as_fd(), kind, cookie: 0, linking };
            let probes = group.probes.iter().filter_map(|index| Some((*index, self.plan.probes.get(*index)?)));
            for result in groups::attach_group(&probes.collect::<Vec<_>>(), target, &surroundings) {
                match result {
                    Ok(attachments) => {
                        self.attachments.extend(attachments);
                        self.summary.probes += 1;
                    }
                    Err(error) => missing::pass_over(error, self.plan.settings.missing_probes, sink)?,
                }
            }
        }
        Ok(())
    }

    /// Runs the iterators, and tells where those with a pin are.
    fn start_iterators(&mut self, sink: &mut dyn Sink) -> Result<(), TraceError> {
        for objects in self.attachments.iter_mut().filter_map(Attachment::take_objects) {
            self.iterators.start(objects).map_err(TraceError::Iterator)?;
        }
        for probe in &self.plan.probes {
            if let Attach::Iter { pin: Some(path), .. } = &probe.attach {
                sink.text(TextSource::Printf, format!("Program pinned to {path}\n").as_bytes());
            }
        }
        Ok(())
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

    /// Runs the programs of the signals that have come.
    fn answer_signals(&mut self, sink: &mut dyn Sink) {
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
                sink.map(MapPrint { snapshot, top: 0, div: 0 });
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

    /// Runs the programs of the probes that `wanted` picks, in their order. If they may send more
    /// than the ring buffer holds, it is read meanwhile.
    fn run(&mut self, wanted: impl Fn(&Attach) -> bool, sink: &mut dyn Sink) -> Result<(), TraceError> {
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

    fn run_and_drain(&mut self, program: BorrowedFd<'_>, sink: &mut dyn Sink) -> io::Result<u32> {
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

    fn detach(&mut self) {
        let attachments = std::mem::take(&mut self.attachments);
        if !attachments.is_empty() {
            self.shared.reaper.reap(Doomed { attachments, ..Doomed::default() });
        }
    }

    fn drain_all(&mut self, sink: &mut dyn Sink) {
        while self.drain(sink).more && !self.wake.is_abandoned() {}
        self.parts.target.drain_output(sink);
    }

    /// Hands over a part of what has arrived.
    fn drain(&mut self, sink: &mut dyn Sink) -> Drained {
        self.parts.target.drain_output(sink);
        self.write_packets(sink);
        let Parts { ring, actions, losses, formats, .. } = &mut self.parts;
        let Some(ring) = ring else { return Drained::default() };
        let (shared, wake) = (&self.shared, &self.wake);
        let resolver = shared.symbols.resolver(formats, &shared.maps);
        let resolve_for = |map: &LiveMap, then: &mut dyn FnMut(&dyn Resolve)| {
            then(&shared.symbols.resolver(map.formats(), &shared.maps));
        };
        let deadline = self.deadline;
        let is_interrupted = || wake.is_interrupted() || deadline.is_some_and(|end| Instant::now() >= end);
        let mut context =
            Context { resolve: &resolver, resolve_for: &resolve_for, losses, is_interrupted: &is_interrupted };
        let drained = ring.drain(|event| actions.handle(event, &mut context, sink));
        self.summary.events += drained.events;
        for (address, place) in self.parts.actions.take_unwatched() {
            self.unwatch(address, place, sink);
        }
        drained
    }

    fn write_packets(&mut self, sink: &mut dyn Sink) {
        let Some(packets) = &mut self.parts.packets else { return };
        let (lost, failure) = packets.drain(self.shared.symbols.boot_time());
        if lost > 0 {
            sink.loss(self.parts.losses.note_packets(lost));
        }
        if let Some(failure) = failure {
            sink.message(Severity::Error, &failure, None);
        }
    }

    /// Takes the watchpoints of an address away.
    fn unwatch(&mut self, address: u64, place: Span, sink: &mut dyn Sink) {
        let (attachments, rest) = self.attachments.drain(..).partition(|one: &Attachment| one.watches(address));
        self.attachments = rest;
        if attachments.is_empty() {
            let text = format!("unwatch: no watchpoint of this script is at {address:#x}");
            return sink.message(Severity::Warning, &text, Some(place));
        }
        self.shared.reaper.reap(Doomed { attachments, ..Doomed::default() });
    }

    /// What is done from time to time while events arrive.
    fn keep_house(&mut self, sink: &mut dyn Sink) {
        let now = Instant::now();
        if !self.with_processes.is_empty() && now - self.last_observation > OBSERVATION {
            self.observe_processes();
            // Reading a large map must not become the main occupation.
            self.last_observation = Instant::now() + now.elapsed() * 10;
        }
        if now > self.last_housekeeping + HOUSEKEEPING {
            self.last_housekeeping = now;
            self.report_losses(sink);
        }
    }

    fn report_losses(&mut self, sink: &mut dyn Sink) {
        match self.parts.losses.read() {
            Ok(reports) => reports.into_iter().for_each(|report| sink.loss(report)),
            Err(error) => sink.message(Severity::Error, &format!("losses could not be counted: {error}"), None),
        }
    }

    /// Asks the kernel how often it has skipped programs.
    fn note_missed(&mut self, sink: &mut dyn Sink) {
        for (index, program) in self.parts.programs.iter().enumerate() {
            let total = program::missed_runs(program.as_fd()).unwrap_or(0);
            let report = self.parts.losses.note_missed(index, total, || missing::probes_of(&self.plan, index));
            report.into_iter().for_each(|report| sink.loss(report));
        }
    }

    /// Has the mappings of processes read that occur in maps, while the processes live.
    fn observe_processes(&self) {
        let found = self.with_processes.iter().filter_map(|map| maps::user_stack_processes(map).ok());
        let processes: BTreeSet<u32> = found.flatten().collect();
        if !processes.is_empty() {
            self.shared.symbols.user().observe(processes);
        }
    }

    /// What is traced may end before its symbols are asked for; the files are known.
    fn note_binaries(&self) {
        let paths = self.plan.probes.iter().filter_map(|probe| match &probe.attach {
            Attach::Uprobe { path, .. } => Some(PathBuf::from(path)),
            _ => None,
        });
        let paths: BTreeSet<PathBuf> = paths.collect();
        if !paths.is_empty() {
            self.shared.symbols.user().note_binaries(paths);
        }
    }

    /// Once no program and no trace writes to a map of stacks, those that nothing refers to can go.
    fn sweeper(&mut self) -> Option<attach::Task> {
        let is_stacks = |map: &Arc<LiveMap>| matches!(map.plan().role, MapRole::Stacks { .. });
        let stacks: Vec<Arc<LiveMap>> = self.maps.extract_if(.., |map| is_stacks(map)).collect();
        if stacks.is_empty() {
            return None;
        }
        let shared = Arc::clone(&self.shared);
        Some(Box::new(move || {
            drop(stacks);
            shared.symbols.forget_stacks(&shared.maps.sweep_stacks());
        }))
    }

    fn observe_target(&self) {
        if let Some(pid) = self.pid() {
            self.shared.symbols.user().observe([pid]);
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
