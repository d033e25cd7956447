//! Collects what a script needs beside its programs: maps, events, formats, losses.

use std::collections::HashMap;

use crate::ir::{Helper, MapIndex, Module};
use crate::plan::{Control, EventPlan, Loss, MapKind, MapPlan, MapRole, UserMap};
use crate::semantics::environment::{KeyInfo, MapInfo};
use crate::semantics::lower::maps::present_offset;
use crate::types::{STACK_BUILD_ID_SIZE, Type};

/// The largest entry of a per-CPU map (the kernel's `PCPU_MIN_UNIT_SIZE`).
const PER_CPU_ENTRY: u32 = 32 << 10;

/// Grows while programs are lowered; indices stay what they are.
#[derive(Clone, Debug, Default)]
pub struct PlanBuilder {
    pub maps: Vec<MapPlan>,
    pub events: Vec<EventPlan>,
    pub losses: Vec<Loss>,
    pub time_formats: Vec<String>,
    pub cgroup_filters: Vec<String>,
    pub kernel_functions: Vec<String>,
    /// The event that comes next if the program sends what an earlier one of its action does.
    repeated: usize,
    /// How many events the earlier programs send.
    earlier_events: usize,
    constants: Vec<u8>,
    /// Where in them what is there already lies.
    constant_offsets: HashMap<Vec<u8>, u32>,
}

/// How much a [`PlanBuilder`] held at some time.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    maps: usize,
    events: usize,
    losses: usize,
    time_formats: usize,
    cgroup_filters: usize,
    kernel_functions: usize,
    constants: usize,
    repeated: usize,
}

impl PlanBuilder {
    /// For [`PlanBuilder::roll_back`].
    pub fn mark(&self) -> Mark {
        Mark {
            maps: self.maps.len(),
            events: self.events.len(),
            losses: self.losses.len(),
            time_formats: self.time_formats.len(),
            cgroup_filters: self.cgroup_filters.len(),
            kernel_functions: self.kernel_functions.len(),
            constants: self.constants.len(),
            repeated: self.repeated,
        }
    }

    /// Forgets what has come since: it was lowered for its type only.
    pub fn roll_back(&mut self, mark: Mark) {
        self.maps.truncate(mark.maps);
        self.events.truncate(mark.events);
        self.losses.truncate(mark.losses);
        self.time_formats.truncate(mark.time_formats);
        self.cgroup_filters.truncate(mark.cgroup_filters);
        self.kernel_functions.truncate(mark.kernel_functions);
        self.constants.truncate(mark.constants);
        self.constant_offsets.retain(|_, offset| (*offset as usize) < mark.constants);
        self.repeated = mark.repeated;
    }

    /// The map `@name`, with the types known by now.
    pub fn user_map(&mut self, name: &str, info: &MapInfo, max_keys: u32) -> MapIndex {
        let found = self.maps.iter().position(|map| matches!(&map.role, MapRole::User(user) if user.name == name));
        if let Some(index) = found {
            return MapIndex(index as u32);
        }
        let value = info.value.clone().unwrap_or(Type::U64);
        let key = match &info.key {
            KeyInfo::Keyed(key) => Some(key.clone()),
            _ => None,
        };
        let aggregate = matches!(value, Type::Aggregate(_));
        let kind = match (&key, aggregate, info.declared) {
            (None, true, _) => MapKind::PerCpuArray,
            (None, false, _) => MapKind::Array,
            (Some(_), _, Some(declared)) => declared.kind,
            (Some(_), true, None) => MapKind::PerCpuHash,
            (Some(_), false, None) => MapKind::Hash,
        };
        let max_entries = match (&key, info.declared) {
            (None, _) => 1,
            (Some(_), Some(declared)) => declared.max_entries,
            (Some(_), None) => max_keys,
        };
        let (key_size, value_size) = match &key {
            Some(key) => (key.size(), value.size().max(1)),
            None => (4, present_offset(&value) + 8),
        };
        let user = UserMap { name: name.to_string(), key, value, span: info.first };
        self.add(MapPlan { role: MapRole::User(user), kind, key_size, value_size, max_entries })
    }

    fn add(&mut self, map: MapPlan) -> MapIndex {
        self.maps.push(map);
        MapIndex(self.maps.len() as u32 - 1)
    }

    fn singleton(&mut self, role: MapRole, kind: MapKind, key_size: u32, value_size: u32, entries: u32) -> MapIndex {
        match self.maps.iter().position(|map| map.role == role) {
            Some(index) => MapIndex(index as u32),
            None => self.add(MapPlan { role, kind, key_size, value_size, max_entries: entries }),
        }
    }

    pub fn control(&mut self) -> MapIndex {
        self.singleton(MapRole::Control, MapKind::Array, 4, Control::SIZE, 1)
    }

    /// The size of the ring buffer is settled by the runtime.
    pub fn ring_buffer(&mut self) -> MapIndex {
        self.singleton(MapRole::Events, MapKind::RingBuffer, 0, 0, 0)
    }

    /// Where errors go that find the ring buffer full.
    pub fn error_buffer(&mut self) -> MapIndex {
        self.singleton(MapRole::Errors, MapKind::RingBuffer, 0, 0, 0)
    }

    /// Grows with the losses; see [`PlanBuilder::finish`]. CPUs share it: what fails so often that they
    /// hinder each other there has them wait for a full map or buffer long before.
    pub fn counters(&mut self) -> MapIndex {
        self.singleton(MapRole::Counters, MapKind::Array, 4, 8, 1)
    }

    /// Whether there are constants already, so that one more costs no map.
    pub fn has_constants(&self) -> bool {
        !self.constants.is_empty()
    }

    /// Bytes that programs may only read: in which map they lie, and where in its only entry.
    pub fn constant(&mut self, mut bytes: Vec<u8>) -> (MapIndex, u32) {
        // Its bytes are put there in the end: see `finish`.
        let map = self.singleton(MapRole::Constants { bytes: Vec::new() }, MapKind::Array, 4, 8, 1);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        if let Some(offset) = self.constant_offsets.get(&bytes) {
            return (map, *offset);
        }
        let offset = self.constants.len() as u32;
        self.constants.extend_from_slice(&bytes);
        self.constant_offsets.insert(bytes, offset);
        (map, offset)
    }

    pub fn stacks(&mut self, user: bool, limit: u32, build_ids: bool, max_entries: u32) -> MapIndex {
        let frame = if build_ids { STACK_BUILD_ID_SIZE } else { 8 };
        let role = MapRole::Stacks { user, limit, build_ids };
        self.singleton(role, MapKind::StackTrace, 4, limit * frame, max_entries)
    }

    /// Where processes have their code; the least recently used are forgotten.
    pub fn code_ranges(&mut self) -> MapIndex {
        self.singleton(MapRole::CodeRanges, MapKind::LruHash, 8, 32, 1024)
    }

    pub fn unwound_ids(&mut self) -> MapIndex {
        self.singleton(MapRole::UnwoundIds, MapKind::LruHash, 8, 8, 16384)
    }

    /// The buffers for packets, one for each CPU.
    pub fn packets(&mut self, cpus: u32) -> MapIndex {
        self.singleton(MapRole::Packets, MapKind::PerfEventArray, 4, 4, cpus)
    }

    /// Room for values too large for the stack: one entry a program and CPU.
    pub fn scratch(&mut self, module: &mut Module, size: u32, cpus: u32) {
        let programs = (module.programs.len() + module.functions.len()) as u32;
        module.scratch_by_cpu = size > PER_CPU_ENTRY;
        let (kind, entries) = match module.scratch_by_cpu {
            false => (MapKind::PerCpuArray, programs),
            true => (MapKind::Array, programs * cpus),
        };
        module.scratch = Some(self.singleton(MapRole::Scratch, kind, 4, size, entries));
    }

    /// A program begins whose action had sent `first` events by the time that its first program began.
    pub fn begin_program(&mut self, first: usize) {
        self.repeated = first;
        self.earlier_events = self.events.len();
    }

    /// The index of an event. Programs of one action mostly send the same ones: they get the same indices,
    /// so that equal programs are seen to be equal.
    pub fn event(&mut self, event: EventPlan) -> u32 {
        let index = self.repeated;
        if index < self.earlier_events {
            // The next one stands at the next place, also if this one is another.
            self.repeated += 1;
            if self.events.get(index) == Some(&event) {
                return index as u32;
            }
        }
        self.events.push(event);
        self.events.len() as u32 - 1
    }

    /// The index of a loss counter.
    pub fn loss(&mut self, loss: Loss) -> u32 {
        match self.losses.iter().position(|known| *known == loss) {
            Some(index) => index as u32,
            None => {
                self.losses.push(loss);
                self.losses.len() as u32 - 1
            }
        }
    }

    pub fn time_format(&mut self, format: &str) -> u32 {
        index_of(&mut self.time_formats, format)
    }

    /// What calls a kernel function by its name.
    pub fn kernel_function(&mut self, name: &str) -> Helper {
        Helper(Helper::KERNEL_FUNCTIONS + index_of(&mut self.kernel_functions, name))
    }

    pub fn cgroup_filter(&mut self, filter: &str) -> u32 {
        index_of(&mut self.cgroup_filters, filter)
    }

    /// Settles what depends on everything else.
    pub fn finish(&mut self) {
        let size = 8 * self.losses.len() as u32;
        for map in &mut self.maps {
            match &mut map.role {
                MapRole::Counters => map.value_size = size.max(8),
                MapRole::Constants { bytes } => {
                    *bytes = std::mem::take(&mut self.constants);
                    map.value_size = bytes.len() as u32;
                }
                _ => {}
            }
        }
    }
}

fn index_of(list: &mut Vec<String>, text: &str) -> u32 {
    match list.iter().position(|known| known == text) {
        Some(index) => index as u32,
        None => {
            list.push(text.to_string());
            list.len() as u32 - 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_of_what_was_lowered_for_its_type_are_forgotten() {
        let mut plan = PlanBuilder::default();
        plan.constant(b"kept".to_vec());
        let mark = plan.mark();
        plan.constant(b"unevaluated".to_vec());
        plan.kernel_function("bpf_rcu_read_lock");
        plan.roll_back(mark);
        let (_, offset) = plan.constant(b"next".to_vec());
        assert_eq!(offset, 8);
        let (_, offset) = plan.constant(b"unevaluated".to_vec());
        assert_eq!(offset, 16);
        assert!(plan.kernel_functions.is_empty());
    }
}
