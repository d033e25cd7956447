//! Stacks by their ids: addresses from the session's stack maps, then names for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Show, Symbols};
use crate::maps::MapTable;
use crate::value::{Frame, FrameSymbol};

/// Which stack, and how it is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct StackKey {
    pub user: bool,
    pub limit: u32,
    pub id: i64,
    pub pid: u32,
    pub show: Show,
}

/// More stacks than this are not remembered.
const CAPACITY: usize = 65_536;

/// Resolved stacks. An id stays with its stack for as long as the session's stack map lives.
#[derive(Default)]
pub(super) struct StackCache {
    stacks: Mutex<HashMap<StackKey, Arc<Vec<Frame>>>>,
}

impl StackCache {
    fn get(&self, key: &StackKey) -> Option<Arc<Vec<Frame>>> {
        self.stacks.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: StackKey, frames: Arc<Vec<Frame>>) {
        let mut stacks = self.stacks.lock().unwrap_or_else(PoisonError::into_inner);
        if stacks.len() >= CAPACITY {
            stacks.clear();
        }
        stacks.insert(key, frames);
    }
}

impl Symbols {
    /// The frames of a stack, innermost first; none if its id stands for nothing.
    pub(super) fn stack(&self, maps: &MapTable, key: StackKey) -> Arc<Vec<Frame>> {
        if let Some(frames) = self.stacks.get(&key) {
            return frames;
        }
        let addresses = addresses(maps, &key).unwrap_or_default();
        let frames = if key.user {
            self.user.resolve(key.pid, addresses, key.show)
        } else {
            addresses.into_iter().map(|address| self.kernel_frame(address)).collect()
        };
        let frames = Arc::new(frames);
        self.stacks.put(key, Arc::clone(&frames));
        frames
    }

    fn kernel_frame(&self, address: u64) -> Frame {
        let symbol = self.system.kallsyms().lookup(address).map(|found| FrameSymbol {
            name: found.name.to_owned(),
            offset: found.offset,
            module: found.module.to_owned(),
            location: None,
            inlined: Vec::new(),
        });
        Frame { address, symbol }
    }
}

fn addresses(maps: &MapTable, key: &StackKey) -> Option<Vec<u64>> {
    let id = u32::try_from(key.id).ok()?;
    let map = maps.stacks(key.user, key.limit)?;
    let value = map.io().lookup(&id.to_ne_bytes()).ok()??;
    let (words, _) = value.as_chunks::<8>();
    Some(words.iter().map(|word| u64::from_ne_bytes(*word)).take_while(|address| *address != 0).collect())
}
