//! Counts what was lost, where it was lost.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use probebook_compiler::plan::{Loss, MapRole, Plan};

use super::sink::{LossKind, LossReport};
use crate::maps::LiveMap;

/// The counters of one trace: what they mean, and what has been told already.
pub struct LossCounters {
    counters: Option<Arc<LiveMap>>,
    losses: Vec<Counted>,
    /// By program: its probes, and how often it was skipped.
    missed: BTreeMap<usize, (String, u64)>,
    packets: u64,
    /// Of `dw_ustack`: how many the session had forgotten before the trace, and now.
    forgotten: (u64, u64),
}

struct Counted {
    kind: LossKind,
    /// The map to which lost keys belong.
    keys_of: Option<Arc<LiveMap>>,
    told: u64,
}

impl LossCounters {
    /// `maps` are those of the plan, `forgotten` stacks those that the session has lost already.
    pub fn new(plan: &Plan, maps: &[Arc<LiveMap>], forgotten: u64) -> LossCounters {
        let counters = maps.iter().find(|map| map.plan().role == MapRole::Counters).cloned();
        let losses = plan.losses.iter().map(|loss| counted(loss, maps)).collect();
        LossCounters { counters, losses, missed: BTreeMap::new(), packets: 0, forgotten: (forgotten, forgotten) }
    }

    /// What was lost since the last call.
    pub fn read(&mut self) -> io::Result<Vec<LossReport>> {
        let Some(counters) = &self.counters else { return Ok(Vec::new()) };
        let Some(value) = counters.io().lookup(&0u32.to_ne_bytes())? else { return Ok(Vec::new()) };
        let mut reports = Vec::new();
        for (index, loss) in self.losses.iter_mut().enumerate() {
            let total = word(&value, index);
            let new = total.saturating_sub(loss.told);
            if new > 0 {
                loss.told = total;
                loss.keys_of.as_ref().inspect(|map| map.add_lost_keys(new));
                reports.push(LossReport { kind: loss.kind.clone(), new, total });
            }
        }
        Ok(reports)
    }

    /// Notes packets that were lost.
    pub fn note_packets(&mut self, new: u64) -> LossReport {
        self.packets += new;
        LossReport { kind: LossKind::Packets, new, total: self.packets }
    }

    /// Notes how many stacks the session has forgotten so far; gives what is new.
    pub fn note_forgotten(&mut self, now: u64) -> Option<LossReport> {
        let new = now.saturating_sub(std::mem::replace(&mut self.forgotten.1, now));
        let total = now.saturating_sub(self.forgotten.0);
        (new > 0).then_some(LossReport { kind: LossKind::ForgottenStacks, new, total })
    }

    /// Notes how often the kernel has skipped a program so far; gives what is new. `probe` says which of the
    /// script's probes that was.
    pub fn note_missed(&mut self, program: usize, total: u64, probe: impl FnOnce() -> String) -> Option<LossReport> {
        if total == 0 {
            return None;
        }
        let (probe, told) = self.missed.entry(program).or_insert_with(|| (probe(), 0));
        let new = total.saturating_sub(std::mem::replace(told, total));
        (new > 0).then(|| LossReport { kind: LossKind::Missed { probe: probe.clone() }, new, total })
    }

    /// Everything that was ever lost.
    pub fn totals(&self) -> Vec<LossReport> {
        let counted = self.losses.iter().map(|loss| (loss.kind.clone(), loss.told));
        let missed = self.missed.values().map(|(probe, count)| (LossKind::Missed { probe: probe.clone() }, *count));
        let forgotten = (LossKind::ForgottenStacks, self.forgotten.1 - self.forgotten.0);
        counted
            .chain(missed)
            .chain([forgotten])
            .filter(|(_, total)| *total > 0)
            .map(|(kind, total)| LossReport { kind, new: 0, total })
            .collect()
    }
}

fn counted(loss: &Loss, maps: &[Arc<LiveMap>]) -> Counted {
    let (map, kind) = match loss {
        Loss::Event => (None, LossKind::Events),
        Loss::MapFull(index) => (maps.get(*index), LossKind::MapFull { map: name(maps.get(*index)) }),
        Loss::NoMemory(index) => {
            let map = maps.get(*index);
            let ready = map.map_or(0, |map| map.preallocated_keys());
            (map, LossKind::NoMemory { map: name(map), ready })
        }
        Loss::Stack(index) => {
            let of_user = |map: &Arc<LiveMap>| matches!(map.plan().role, MapRole::Stacks { user: true, .. });
            (None, LossKind::Stacks { user: maps.get(*index).is_some_and(of_user) })
        }
    };
    Counted { kind, keys_of: map.cloned(), told: 0 }
}

fn name(map: Option<&Arc<LiveMap>>) -> String {
    map.and_then(|map| map.user()).map(|user| user.name.clone()).unwrap_or_default()
}

fn word(value: &[u8], index: usize) -> u64 {
    let word = value.get(index * 8..index * 8 + 8).and_then(|word| word.try_into().ok());
    word.map_or(0, u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_lie_one_after_another() {
        let value: Vec<u8> = [1u64, 20].iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!([0, 1, 2].map(|index| word(&value, index)), [1, 20, 0]);
    }

    #[test]
    fn only_what_a_trace_has_seen_forgotten_is_reported() {
        let mut losses = LossCounters::new(&Plan::default(), &[], 10);
        assert!(losses.note_forgotten(10).is_none() && losses.totals().is_empty());
        assert_eq!(losses.note_forgotten(15).map(|report| (report.new, report.total)), Some((5, 5)));
        assert_eq!(losses.note_forgotten(16).map(|report| (report.new, report.total)), Some((1, 6)));
        assert_eq!(losses.totals().first().map(|report| report.total), Some(6));
    }

    #[test]
    fn only_new_misses_are_reported() {
        let mut losses = LossCounters::new(&Plan::default(), &[], 0);
        let mut note = |total| losses.note_missed(3, total, || "profile:hz:99".into());
        assert!(note(0).is_none());
        assert_eq!(note(5).map(|report| report.new), Some(5));
        assert_eq!(note(7).map(|report| (report.new, report.total)), Some((2, 7)));
        assert!(note(7).is_none());
        assert_eq!(losses.totals().len(), 1);
    }
}
