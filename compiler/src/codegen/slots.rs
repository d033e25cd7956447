//! The pass that decides where each slot lies: on the BPF stack or in per-CPU scratch memory.
//!
//! A program has 512 bytes of stack (`MAX_BPF_STACK` in `include/linux/filter.h`), which it shares
//! with the callbacks of its loops and with what the register allocator spills. Scratch memory
//! costs a map lookup at the program's start, so slots go there only when the stack does not do.

use super::{capture, walk};
use crate::ir::{Module, Program, Slot};

/// Bytes of stack that slots and the frame shared with callbacks may take together. The rest is
/// for spilled registers, the stack of callbacks, and the scratch lookup's key.
const STACK_BUDGET: u32 = 320;
/// The same for a function that programs call.
const FUNCTION_BUDGET: u32 = 48;
const ALIGN: u32 = 8;

/// Sets [`SlotInfo::scratch`](crate::ir::SlotInfo::scratch) of every slot. Returns how many bytes
/// of scratch memory the most demanding program needs: 0 if no program needs any, and then the
/// module needs no scratch map.
pub fn place_slots(module: &mut Module) -> u32 {
    // The stack is shared with what is called, from function to function.
    let budget = if module.functions.is_empty() { STACK_BUDGET } else { STACK_BUDGET / 2 };
    let programs = module.programs.iter_mut().map(|program| place(program, budget)).max().unwrap_or(0);
    let functions = module.functions.iter_mut().map(|function| place(&mut function.program, FUNCTION_BUDGET)).max();
    programs.max(functions.unwrap_or(0))
}

/// The smallest slots stay on the stack; the rest lie one after another in scratch memory. Parts of a program
/// do not run at the same time: their own slots may lie in the same place.
fn place(program: &mut Program, budget: u32) -> u32 {
    program.slots.iter_mut().for_each(|slot| slot.scratch = None);
    let all: u32 = program.slots.iter().map(|slot| room(slot.size)).fold(ALIGN, u32::saturating_add);
    // Most programs are like that, and need not be surveyed for it.
    if all <= budget && !walk::has_regions(&program.body) {
        return 0;
    }
    let frame = capture::analyse(program);
    let captured: u32 = frame.slots.keys().filter_map(|s| program.slots.get(s.0 as usize)).map(|s| room(s.size)).sum();
    // A part's stack comes on top of that of the program.
    let budget = if frame.has_parts() { budget / 2 } else { budget };
    // Should any slot leave the stack, callbacks may need the scratch pointer in their frame.
    let mut stack = Shares::new(frame.parts.len(), frame.frame_size - captured + ALIGN);
    let mut scratch = Shares::new(frame.parts.len(), 0);
    let mut by_size: Vec<_> = program.slots.iter_mut().enumerate().collect();
    by_size.sort_by_key(|(_, slot)| slot.size);
    let mut moved = Vec::new();
    for (number, slot) in by_size {
        let part = frame.part_of(Slot(number as u32));
        let size = room(slot.size);
        if stack.total_with(part) + size <= budget {
            stack.take(part, size);
        } else {
            slot.scratch = Some(scratch.take(part, size));
            moved.push((part, slot));
        }
    }
    for (_, slot) in moved.into_iter().filter(|(part, _)| *part != capture::MAIN) {
        slot.scratch = slot.scratch.map(|offset| offset + scratch.shared);
    }
    scratch.total_with(capture::MAIN)
}

/// Bytes that the whole program uses, and each of its parts beside them.
struct Shares {
    shared: u32,
    parts: Vec<u32>,
    largest: u32,
}

impl Shares {
    fn new(regions: usize, shared: u32) -> Self {
        Self { shared, parts: vec![0; regions], largest: 0 }
    }

    /// What is used at a time in a part, or at most if it is the main program.
    fn total_with(&self, part: usize) -> u32 {
        match part {
            capture::MAIN => self.shared + self.largest,
            _ => self.shared + self.parts.get(part).copied().unwrap_or(0),
        }
    }

    /// Takes bytes, and gives their offset.
    fn take(&mut self, part: usize, size: u32) -> u32 {
        let used = match self.parts.get_mut(part) {
            Some(used) if part != capture::MAIN => used,
            _ => &mut self.shared,
        };
        let offset = *used;
        *used += size;
        self.largest = self.parts.iter().copied().max().unwrap_or(0);
        offset
    }
}

fn room(size: u32) -> u32 {
    size.next_multiple_of(ALIGN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Expr, SlotInfo, Stmt};
    use crate::plan::ProgramKind;

    fn module(sizes: &[u32]) -> Module {
        let slots = sizes.iter().map(|size| SlotInfo { size: *size, align: 8, scratch: None }).collect();
        let program = Program {
            symbol: "p".into(),
            kind: ProgramKind::Run,
            vars: Vec::new(),
            slots,
            body: Vec::new(),
            default_return: 0,
        };
        Module { programs: vec![program], ..Module::default() }
    }

    fn placed(sizes: &[u32]) -> (u32, Vec<Option<u32>>) {
        let mut module = module(sizes);
        let size = place_slots(&mut module);
        (size, module.programs[0].slots.iter().map(|slot| slot.scratch).collect())
    }

    #[test]
    fn small_slots_stay_on_the_stack() {
        assert_eq!(placed(&[16, 64, 200]), (0, vec![None; 3]));
    }

    #[test]
    fn large_slots_go_to_scratch_one_after_another() {
        assert_eq!(placed(&[1025, 16, 400]), (1432, vec![Some(400), None, Some(0)]));
    }

    #[test]
    fn the_smallest_come_first() {
        assert_eq!(placed(&[300, 64]), (304, vec![Some(0), None]));
    }

    #[test]
    fn slots_of_parts_lie_in_the_same_place() {
        let mut module = module(&[1000, 2000, 104, 104]);
        let part = |slots: [u32; 2]| Stmt::Apart { body: slots.map(|s| Stmt::Evaluate(Expr::Slot(Slot(s)))).into() };
        module.programs[0].body = vec![part([0, 2]), part([1, 3])];
        let size = place_slots(&mut module);
        let scratch: Vec<_> = module.programs[0].slots.iter().map(|slot| slot.scratch).collect();
        assert_eq!((size, scratch), (2000, vec![Some(0), Some(0), None, None]));
    }

    #[test]
    fn placing_twice_gives_the_same() {
        let mut module = module(&[1000, 8]);
        assert_eq!((place_slots(&mut module), place_slots(&mut module)), (1000, 1000));
    }
}
