//! Stacks that were unwound here, not recorded by the kernel: their addresses by their numbers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// When there are so many, all are forgotten, and counted.
const CAPACITY: usize = 1 << 18;

/// Every number that a program has made up for a stack; several may stand for the same one.
#[derive(Default)]
pub(super) struct UnwoundStacks {
    stacks: Mutex<Stacks>,
    forgotten: AtomicU64,
}

#[derive(Default)]
struct Stacks {
    by_id: HashMap<(i64, u32), Arc<[u64]>>,
    /// The number that stands for a process's stack, or for as much of it as was asked for.
    canonical: HashMap<(u32, Arc<[u64]>), i64>,
}

impl UnwoundStacks {
    pub fn put(&self, id: i64, pid: u32, addresses: Vec<u64>) {
        let mut stacks = self.stacks.lock().unwrap_or_else(PoisonError::into_inner);
        if stacks.by_id.len() >= CAPACITY {
            self.forgotten.fetch_add(stacks.by_id.len() as u64, Ordering::Relaxed);
            *stacks = Stacks::default();
        }
        stacks.by_id.insert((id, pid), addresses.into());
    }

    /// How many have been forgotten so far.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    pub fn get(&self, id: i64, pid: u32) -> Option<Arc<[u64]>> {
        self.stacks.lock().unwrap_or_else(PoisonError::into_inner).by_id.get(&(id, pid)).cloned()
    }

    /// The one number for all stacks whose innermost `limit` frames are the same.
    pub fn canonical(&self, id: i64, pid: u32, limit: u32) -> i64 {
        let mut stacks = self.stacks.lock().unwrap_or_else(PoisonError::into_inner);
        let Stacks { by_id, canonical } = &mut *stacks;
        let Some(addresses) = by_id.get(&(id, pid)) else { return id };
        let shown = match addresses.get(..limit as usize) {
            Some(innermost) if innermost.len() < addresses.len() => innermost.into(),
            _ => Arc::clone(addresses),
        };
        *canonical.entry((pid, shown)).or_insert(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_is_counted() {
        let stacks = UnwoundStacks::default();
        (0..CAPACITY as i64).for_each(|id| stacks.put(id, 1, vec![10]));
        assert_eq!((stacks.forgotten(), stacks.get(5, 1).is_some()), (0, true));
        stacks.put(-1, 1, vec![10]);
        assert_eq!((stacks.forgotten(), stacks.get(5, 1).is_some()), (CAPACITY as u64, false));
        assert!(stacks.get(-1, 1).is_some());
    }

    #[test]
    fn numbers_of_equal_stacks_have_one_that_stands_for_all() {
        let stacks = UnwoundStacks::default();
        stacks.put(5, 1, vec![10, 20]);
        stacks.put(6, 1, vec![10, 20]);
        stacks.put(7, 2, vec![10, 20]);
        assert_eq!([5, 6, 9].map(|id| stacks.canonical(id, 1, 127)), [5, 5, 9]);
        assert_eq!(stacks.canonical(7, 2, 127), 7, "another process");
        assert_eq!(stacks.get(6, 1).as_deref(), Some([10, 20].as_slice()));
    }

    #[test]
    fn stacks_that_differ_beyond_the_limit_are_equal() {
        let stacks = UnwoundStacks::default();
        stacks.put(5, 1, vec![10, 20, 30]);
        stacks.put(6, 1, vec![10, 20, 40]);
        assert_eq!([5, 6].map(|id| stacks.canonical(id, 1, 2)), [5, 5]);
        assert_eq!([5, 6].map(|id| stacks.canonical(id, 1, 3)), [5, 6]);
    }
}
