//! What is done beside the events: losses are counted, processes looked at while they live, stacks swept.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use probebook_compiler::plan::MapRole;

use super::{Trace, missing};
use crate::attach;
use crate::events::{Severity, Sink};
use crate::loader::program;
use crate::maps::{self, LiveMap};
use crate::text::reason;

/// How often losses are looked for, and processes in maps.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
const OBSERVATION: Duration = Duration::from_millis(20);

impl Trace {
    /// What is done from time to time while events arrive.
    pub(super) fn keep_house(&mut self, sink: &mut dyn Sink) {
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

    pub(super) fn report_losses(&mut self, sink: &mut dyn Sink) {
        match self.parts.losses.read() {
            Ok(reports) => reports.into_iter().for_each(|report| sink.loss(report)),
            Err(error) => {
                let text = format!("what was lost could not be counted: {}", reason(&error));
                sink.message(Severity::Error, &text, None);
            }
        }
        if self.maps.iter().any(|map| map.plan().role == MapRole::CodeRanges) {
            let forgotten = self.shared.symbols.forgotten_stacks();
            self.parts.losses.note_forgotten(forgotten).into_iter().for_each(|report| sink.loss(report));
        }
    }

    /// Asks the kernel how often it has skipped programs.
    pub(super) fn note_missed(&mut self, sink: &mut dyn Sink) {
        for (index, program) in self.parts.programs.iter().enumerate() {
            let total = program::missed_runs(program.as_fd()).unwrap_or(0);
            let report = self.parts.losses.note_missed(index, total, || missing::probes_of(&self.plan, index));
            report.into_iter().for_each(|report| sink.loss(report));
        }
    }

    /// Has the mappings of processes read that occur in maps, while the processes live.
    pub(super) fn observe_processes(&self) {
        let found = self.with_processes.iter().filter_map(|map| maps::user_stack_processes(map).ok());
        let processes: BTreeSet<u32> = found.flatten().collect();
        if !processes.is_empty() {
            self.shared.symbols.user().observe(processes);
        }
    }

    pub(super) fn observe_target(&self) {
        if let Some(pid) = self.pid() {
            self.shared.symbols.user().observe([pid]);
        }
    }

    /// Once no program and no trace writes to a map of stacks, those that nothing refers to can go.
    pub(super) fn sweeper(&mut self) -> Option<attach::Task> {
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
}
