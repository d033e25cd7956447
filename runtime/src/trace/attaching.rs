//! Attaches the probes of a trace, and takes them away.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use probebook_compiler::plan::Attach;
use probebook_compiler::syntax::ast::Span;

use super::{Trace, TraceError, missing};
use crate::attach::{self, AttachError, Attachment, Doomed, Surroundings, groups};
use crate::events::{Severity, Sink, TextSource};

impl Trace {
    /// Attaches every other probe to see whether it can be done, and detaches. Nothing runs, the `-c`
    /// command neither.
    pub fn try_attach(&mut self, sink: &mut dyn Sink) -> Result<usize, TraceError> {
        let result = self.attach_all(sink);
        self.detach();
        result?;
        Ok(self.summary.probes)
    }

    pub(super) fn attach_all(&mut self, sink: &mut dyn Sink) -> Result<(), AttachError> {
        let shared = Arc::clone(&self.shared);
        let surroundings = Surroundings { system: &shared.system, pid: self.pid(), mechanisms: self.parts.mechanisms };
        for group in groups::in_order(&self.plan, &self.parts.linking) {
            let Some(program) = self.parts.programs.get(group.program) else { continue };
            let Some(planned) = self.plan.programs.get(group.program) else { continue };
            let linking = self.parts.linking.get(group.program).copied().unwrap_or_default();
            let target = attach::Target {
                program: program.as_fd(),
                kind: planned.kind,
                cookie: 0,
                linking,
                overrides: planned.overrides,
            };
            let probes = group.probes.iter().filter_map(|index| Some((*index, self.plan.probes.get(*index)?)));
            for result in groups::attach_group(&probes.collect::<Vec<_>>(), target, &surroundings) {
                match result {
                    Ok(attachments) => {
                        self.attachments.extend(attachments);
                        self.summary.probes += 1;
                    }
                    Err(error) if missing::went_away(&error, &self.plan) => {}
                    Err(error) => missing::pass_over(error, self.plan.settings.missing_probes, sink)?,
                }
            }
        }
        Ok(())
    }

    /// Runs the iterators, and tells where those with a pin are.
    pub(super) fn start_iterators(&mut self, sink: &mut dyn Sink) -> Result<(), TraceError> {
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

    pub(super) fn detach(&mut self) {
        let attachments = std::mem::take(&mut self.attachments);
        if !attachments.is_empty() {
            self.shared.reaper.reap(Doomed { attachments, ..Doomed::default() });
        }
    }

    /// Takes the watchpoints of an address away.
    pub(super) fn unwatch(&mut self, address: u64, place: Span, sink: &mut dyn Sink) {
        let (attachments, rest) = self.attachments.drain(..).partition(|one: &Attachment| one.watches(address));
        self.attachments = rest;
        if attachments.is_empty() {
            let text = format!("unwatch: no watchpoint of this script is at {address:#x}");
            return sink.message(Severity::Warning, &text, Some(place));
        }
        self.shared.reaper.reap(Doomed { attachments, ..Doomed::default() });
    }

    /// What is traced may end before its symbols are asked for; the files are known.
    pub(super) fn note_binaries(&self) {
        let paths = self.plan.probes.iter().filter_map(|probe| match &probe.attach {
            Attach::Uprobe { path, .. } => Some(PathBuf::from(path)),
            _ => None,
        });
        let paths: BTreeSet<PathBuf> = paths.collect();
        if !paths.is_empty() {
            self.shared.symbols.user().note_binaries(paths);
        }
    }
}
