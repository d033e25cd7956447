//! Stacks that were unwound here, not recorded by the kernel: their addresses by their numbers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// More stacks than this are not remembered.
const CAPACITY: usize = 1 << 18;

/// Every number that a program has made up for a stack; several may stand for the same one.
#[derive(Default)]
pub(super) struct UnwoundStacks {
    stacks: Mutex<Stacks>,
}

#[derive(Default)]
struct Stacks {
    by_id: HashMap<(i64, u32), Arc<[u64]>>,
    /// The first number that stood for a stack.
    first: HashMap<(u32, Arc<[u64]>), i64>,
}

impl UnwoundStacks {
    pub fn put(&self, id: i64, pid: u32, addresses: Vec<u64>) {
        let mut stacks = self.stacks.lock().unwrap_or_else(PoisonError::into_inner);
        if stacks.by_id.len() >= CAPACITY {
            *stacks = Stacks::default();
        }
        let addresses: Arc<[u64]> = addresses.into();
        stacks.first.entry((pid, Arc::clone(&addresses))).or_insert(id);
        stacks.by_id.insert((id, pid), addresses);
    }

    pub fn get(&self, id: i64, pid: u32) -> Option<Arc<[u64]>> {
        self.stacks.lock().unwrap_or_else(PoisonError::into_inner).by_id.get(&(id, pid)).cloned()
    }

    /// The one number for all that stand for the same stack.
    pub fn canonical(&self, id: i64, pid: u32) -> i64 {
        let stacks = self.stacks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(addresses) = stacks.by_id.get(&(id, pid)) else { return id };
        stacks.first.get(&(pid, Arc::clone(addresses))).copied().unwrap_or(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_equal_stacks_have_one_that_stands_for_all() {
        let stacks = UnwoundStacks::default();
        stacks.put(5, 1, vec![10, 20]);
        stacks.put(6, 1, vec![10, 20]);
        stacks.put(7, 2, vec![10, 20]);
        assert_eq!([5, 6, 9].map(|id| stacks.canonical(id, 1)), [5, 5, 9]);
        assert_eq!(stacks.canonical(7, 2), 7, "another process");
        assert_eq!(stacks.get(6, 1).as_deref(), Some([10, 20].as_slice()));
    }
}
