//! Stacks by their ids: addresses from the session's stack maps, then names for them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use probebook_compiler::plan::UNWOUND;
use probebook_compiler::types::STACK_BUILD_ID_SIZE;

use super::{Show, Symbols};
use crate::maps::{MapTable, RemovedStack};
use crate::value::{Frame, FrameSymbol};

/// Which stack, and how it is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct StackKey {
    pub user: bool,
    pub limit: u32,
    /// Frames are build IDs and places in files.
    pub build_ids: bool,
    pub id: i64,
    pub pid: u32,
    pub show: Show,
}

/// More stacks than this are not remembered.
const CAPACITY: usize = 65_536;

/// Resolved stacks. An id stays with its stack until it is removed from the session's map.
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

    pub(super) fn forget(&self, gone: &[RemovedStack]) {
        if gone.is_empty() {
            return;
        }
        let gone: HashSet<&RemovedStack> = gone.iter().collect();
        let mut stacks = self.stacks.lock().unwrap_or_else(PoisonError::into_inner);
        stacks.retain(|key, _| {
            let StackKey { user, limit, build_ids, id, .. } = *key;
            u32::try_from(id).is_ok_and(|id| !gone.contains(&RemovedStack { user, limit, build_ids, id }))
        });
    }
}

impl Symbols {
    /// The frames of a stack, innermost first; none if its id stands for nothing.
    pub(super) fn stack(&self, maps: &MapTable, key: StackKey) -> Arc<Vec<Frame>> {
        if let Some(frames) = self.stacks.get(&key) {
            return frames;
        }
        if key.id >= UNWOUND {
            return self.unwound_stack(key);
        }
        let bytes = recorded(maps, &key).unwrap_or_default();
        let addresses = addresses(&bytes);
        let frames = if key.build_ids {
            by_build_id(&bytes)
        } else if key.user {
            self.user.resolve(key.pid, addresses, key.show)
        } else {
            addresses.into_iter().map(|address| self.kernel_frame(address)).collect()
        };
        let frames = Arc::new(frames);
        self.stacks.put(key, Arc::clone(&frames));
        frames
    }

    fn unwound_stack(&self, key: StackKey) -> Arc<Vec<Frame>> {
        // Its sample may still come: nothing is remembered then.
        let Some(addresses) = self.unwound.get(key.id, key.pid) else { return Arc::default() };
        let addresses = addresses.iter().copied().take(key.limit as usize).collect();
        let frames = Arc::new(self.user.resolve(key.pid, addresses, key.show));
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

/// The stack as the kernel has recorded it.
fn recorded(maps: &MapTable, key: &StackKey) -> Option<Vec<u8>> {
    let id = u32::try_from(key.id).ok()?;
    let map = maps.stacks(key.user, key.limit, key.build_ids)?;
    map.io().lookup(&id.to_ne_bytes()).ok()?
}

fn addresses(stack: &[u8]) -> Vec<u64> {
    let (words, _) = stack.as_chunks::<8>();
    words.iter().map(|word| u64::from_ne_bytes(*word)).take_while(|address| *address != 0).collect()
}

/// `BPF_STACK_BUILD_ID_EMPTY` and `BPF_STACK_BUILD_ID_VALID`; a frame of another status has an
/// address only.
const EMPTY: i32 = 0;
const VALID: i32 = 1;

fn by_build_id(stack: &[u8]) -> Vec<Frame> {
    let records = stack.chunks_exact(STACK_BUILD_ID_SIZE as usize);
    let frames = records.map_while(|record| {
        let status = i32::from_ne_bytes(*record.first_chunk()?);
        let address = u64::from_ne_bytes(*record.get(24..)?.first_chunk()?);
        let id: String = record.get(4..24)?.iter().map(|byte| format!("{byte:02x}")).collect();
        let symbol = (status == VALID).then(|| FrameSymbol {
            name: String::new(),
            offset: address,
            module: id,
            location: None,
            inlined: Vec::new(),
        });
        (status != EMPTY).then_some(Frame { address, symbol })
    });
    frames.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_ids_end_at_the_first_empty_record() {
        let mut stack = vec![0u8; 3 * STACK_BUILD_ID_SIZE as usize];
        stack[0] = 1;
        stack[4..24].copy_from_slice(&[0xab; 20]);
        stack[24] = 0x10;
        stack[32] = 2;
        stack[56] = 0x20;
        let frames = by_build_id(&stack);
        assert_eq!(frames.len(), 2);
        let symbol = frames[0].symbol.as_ref().unwrap();
        assert_eq!((symbol.module.as_str(), symbol.offset), ("ab".repeat(20).as_str(), 0x10));
        assert_eq!((frames[1].address, frames[1].symbol.is_none()), (0x20, true));
    }
}
