//! Hands over what the programs and the command have written.

use std::time::Instant;

use super::{Parts, Trace};
use crate::events::{Context, Drained, Severity, Sink};
use crate::maps::LiveMap;
use crate::value::Resolve;

impl Trace {
    pub(super) fn drain_all(&mut self, sink: &mut dyn Sink) {
        while self.drain(sink).more && !self.wake.is_abandoned() {}
        self.parts.target.drain_output(sink);
    }

    /// Hands over a part of what has arrived.
    pub(super) fn drain(&mut self, sink: &mut dyn Sink) -> Drained {
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
        let unwind = |event: &[u8]| shared.unwind(event, &self.maps);
        let mut context = Context {
            resolve: &resolver,
            resolve_for: &resolve_for,
            losses,
            unwind: &unwind,
            is_interrupted: &is_interrupted,
        };
        let drained = ring.drain(|event| actions.handle(event, &mut context, sink));
        self.summary.events += drained.events;
        for (address, place) in self.parts.actions.take_unwatched() {
            self.unwatch(address, place, sink);
        }
        drained
    }

    pub(super) fn write_packets(&mut self, sink: &mut dyn Sink) {
        let Some(packets) = &mut self.parts.packets else { return };
        let (lost, failure) = packets.drain(self.shared.symbols.boot_time());
        if lost > 0 {
            sink.loss(self.parts.losses.note_packets(lost));
        }
        if let Some(failure) = failure {
            sink.message(Severity::Error, &failure, None);
        }
    }
}
