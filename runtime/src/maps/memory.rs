//! How much memory a map takes, and the session's limit on all of them together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use probebook_compiler::plan::{MapKind, MapPlan};

use crate::system::memory::total_memory;

/// A hash map that would take more than this at once is allocated as it grows.
const PREALLOCATION_LIMIT: u64 = 16 << 20;
/// What the kernel adds to each element: `struct htab_elem` is 48 bytes before its key, a stack's
/// bucket 24 (`kernel/bpf/hashtab.c`, `kernel/bpf/stackmap.c`); hash buckets take 16 more.
const HASH_ELEMENT: u64 = 64;
const STACK_ELEMENT: u64 = 32;
/// The part of the machine's memory that a session's maps may take, unless it is told otherwise.
const DEFAULT_SHARE: u64 = 4;

/// The largest size of a map in bytes, with every key in use.
pub fn footprint(plan: &MapPlan, cpus: u32) -> u64 {
    element(plan, cpus).saturating_mul(u64::from(plan.max_entries))
}

/// With how many keys a map would be small enough to have all of its memory from the start.
pub fn preallocated_keys(plan: &MapPlan, cpus: u32) -> u64 {
    PREALLOCATION_LIMIT / element(plan, cpus).max(1)
}

/// What one entry takes.
fn element(plan: &MapPlan, cpus: u32) -> u64 {
    let key = padded(plan.key_size);
    let value = padded(plan.value_size);
    let copies = if plan.kind.is_per_cpu() { u64::from(cpus) } else { 1 };
    match plan.kind {
        MapKind::Array | MapKind::PerCpuArray => value.saturating_mul(copies),
        MapKind::Hash | MapKind::LruHash | MapKind::PerCpuHash | MapKind::LruPerCpuHash => {
            value.saturating_mul(copies).saturating_add(key + HASH_ELEMENT)
        }
        MapKind::StackTrace => value + STACK_ELEMENT,
        MapKind::RingBuffer => 1,
        // A descriptor; the CPUs' buffers are counted where they are made.
        MapKind::PerfEventArray => value,
    }
}

fn padded(size: u32) -> u64 {
    u64::from(size).next_multiple_of(8)
}

/// Whether a map is better allocated element by element. LRU maps cannot be.
///
/// Only where the memory forces it: per-CPU elements that are allocated in the probe run out in a burst
/// of new keys (of 4,000 in a row two thirds were lost), though the map itself would be made 1.5 ms
/// sooner.
pub fn grows_on_demand(plan: &MapPlan, cpus: u32) -> bool {
    matches!(plan.kind, MapKind::Hash | MapKind::PerCpuHash) && footprint(plan, cpus) > PREALLOCATION_LIMIT
}

/// What the maps of a session may take together.
#[derive(Debug)]
pub struct Budget {
    limit: AtomicU64,
    used: AtomicU64,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    /// `limit` in bytes; by default a quarter of the machine's memory.
    pub fn new(limit: Option<u64>) -> Budget {
        let limit = limit.unwrap_or_else(|| total_memory().unwrap_or(4 << 30) / DEFAULT_SHARE);
        Budget { limit: AtomicU64::new(limit), used: AtomicU64::new(0) }
    }

    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, or says how many are taken already.
    pub fn reserve(self: &Arc<Budget>, bytes: u64) -> Result<Reservation, u64> {
        let limit = self.limit();
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= limit)
        });
        taken.map(|_| Reservation { budget: Arc::clone(self), bytes })
    }
}

impl Reservation {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probebook_compiler::plan::MapRole;

    fn plan(kind: MapKind, value_size: u32, max_entries: u32) -> MapPlan {
        MapPlan { role: MapRole::Scratch, kind, key_size: 4, value_size, max_entries }
    }

    #[test]
    fn each_cpu_counts() {
        let dense = plan(MapKind::PerCpuHash, 1000, 4096);
        assert_eq!(footprint(&dense, 4) - footprint(&dense, 2), 2 * 1000 * 4096);
        assert_eq!(footprint(&plan(MapKind::RingBuffer, 0, 4 << 20), 2), 4 << 20);
        assert_eq!(footprint(&plan(MapKind::Hash, u32::MAX, u32::MAX), 2), u64::MAX);
    }

    #[test]
    fn a_map_of_as_many_keys_as_proposed_is_preallocated() {
        let large = plan(MapKind::PerCpuHash, 8192, 4096);
        let keys = preallocated_keys(&large, 2) as u32;
        assert!(!grows_on_demand(&MapPlan { max_entries: keys, ..large.clone() }, 2));
        assert!(grows_on_demand(&MapPlan { max_entries: keys + 1, ..large }, 2));
    }

    #[test]
    fn only_large_plain_hashes_grow_on_demand() {
        assert!(grows_on_demand(&plan(MapKind::PerCpuHash, 8192, 4096), 2));
        assert!(!grows_on_demand(&plan(MapKind::PerCpuHash, 8, 4096), 2));
        assert!(!grows_on_demand(&plan(MapKind::LruHash, 8192, 4096), 2));
    }

    #[test]
    fn a_budget_is_given_back() {
        let budget = Arc::new(Budget::new(Some(100)));
        let first = budget.reserve(60).unwrap();
        assert_eq!(budget.reserve(60).unwrap_err(), 60);
        drop(first);
        assert!(budget.reserve(60).is_ok());
        assert_eq!(budget.used(), 0);
    }
}
