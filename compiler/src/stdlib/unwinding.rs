//! User stacks by unwinding tables: the program copies registers and stack, the runtime unwinds.
//!
//! The copy is made only for stacks that are new. What tells them apart is a hash of the registers'
//! instruction and of all words of the stack that point to code, return addresses among them.

use crate::ir::{Expr as Ir, Helper, MapIndex, Op, Scalar, Stmt, Var};
use crate::plan::{EventPlan, Loss, ProgramKind, UNWOUND, UnwindSample};
use crate::semantics::arch::NATIVE;
use crate::semantics::lower::maps::not_null;
use crate::semantics::lower::{Lowered, Lowerer, Operand};
use crate::types::{STACK_KEY_SIZE, StackMode, Type};

use super::symbols::stack_options;
use super::{CallSite, Entry, Lower};

pub const ENTRIES: &[Entry] = &[Entry {
    name: "dw_ustack",
    signatures: &["ustack_t dw_ustack([StackMode mode, ][int limit])", "ustack_t dw_ustack"],
    documentation: "The user stack, innermost frame first, by the unwinding tables (`.eh_frame`) of the program and its libraries: code without frame pointers has its frames too. The innermost 16 KiB of the stack are unwound. `len()` of it is not known in the probe. As a key, equal stacks are one wherever aggregates are printed; in the probe, where `len()` and `for` look at the map, one stack may be there under several keys. Unstable: `config = { unstable_dw_ustack=enable }` allows it without a warning. On x86-64.",
    example: "config = { unstable_dw_ustack=enable } profile:hz:99 { @[dw_ustack] = count(); }",
    kernel: Some("5.15, but for probes in user programs"),
    arguments: (0, Some(2)),
    lower: Lower::Value(unwound_stack),
    ..Entry::BASE
}];

/// Bytes of the stack that are read at once; what lies beyond the stack's end ends the copy.
const PIECE: u32 = 512;
/// The multiplier of the 64-bit FNV hash.
const PRIME: i64 = 0x0100_0000_01b3;
/// `BPF_NOEXIST` of `bpf_map_update_elem`.
const ONLY_NEW: i64 = 1;

fn unwound_stack(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let state = lowerer.env.settings.unstable.dw_ustack;
    lowerer.require_stable("dw_ustack", "unstable_dw_ustack", state, call.span)?;
    if !cfg!(target_arch = "x86_64") {
        return Err(lowerer.error("no-kernel-support", call.span, "dw_ustack is there on x86-64 only"));
    }
    let (mode, limit) = stack_options(lowerer, call)?;
    if mode == StackMode::BuildId {
        return Err(lowerer.error("invalid-argument", call.span, "dw_ustack has no mode build_id"));
    }
    let process = lowerer.helper(Helper::GET_CURRENT_PID_TGID, vec![]);
    let process = lowerer.bind(Scalar::I64, Ir::binary(Op::LShr, process, Ir::int(32)));
    let sample = Ir::Slot(lowerer.new_slot(UnwindSample::SIZE, 8));
    lowerer.header(EventPlan::Unwind, &sample);
    store(lowerer, &sample, UnwindSample::PROCESS, process.clone());
    copy_registers(lowerer, &sample);
    let length = copy_stack(lowerer, &sample);
    store(lowerer, &sample, UnwindSample::LENGTH, Ir::Var(length));
    let id = identity(lowerer, &sample, length, process.clone());
    store(lowerer, &sample, UnwindSample::ID, id.clone());
    send_if_new(lowerer, sample, &id);
    let ty = Type::Stack { user: true, mode, limit };
    let slot = Ir::Slot(lowerer.new_slot(STACK_KEY_SIZE, 8));
    store(lowerer, &slot, 0, id);
    store(lowerer, &slot, 8, process);
    Ok(Operand::memory(ty, slot, call.span))
}

fn store(lowerer: &mut Lowerer, base: &Ir, offset: u32, value: Ir) {
    lowerer.emit(Stmt::Store { ty: Scalar::I64, address: base.clone().offset(offset), value });
}

fn load(base: &Ir, offset: u32) -> Ir {
    Ir::load(Scalar::I64, base.clone().offset(offset))
}

/// The user registers: the context's, where the probe is in a user program, else those that the
/// task came into the kernel with.
fn copy_registers(lowerer: &mut Lowerer, sample: &Ir) {
    let is_user = lowerer.probe.kind == ProgramKind::Probe && !lowerer.probe.provider.starts_with('k');
    let registers = if is_user {
        Ir::Context
    } else {
        let task = Ir::Helper { id: Helper::GET_CURRENT_TASK_BTF, arguments: vec![], returns: Scalar::Pointer };
        let task = lowerer.bind(Scalar::Pointer, task);
        let call = Ir::Helper { id: Helper::TASK_PT_REGS, arguments: vec![task], returns: Scalar::Pointer };
        lowerer.bind(Scalar::Pointer, call)
    };
    for offset in (0..UnwindSample::REGISTERS_SIZE).step_by(8) {
        let value = Ir::Opaque(Box::new(load(&registers, offset)));
        store(lowerer, sample, UnwindSample::REGISTERS + offset, value);
    }
}

/// Copies as much of the stack as there is; gives its length.
fn copy_stack(lowerer: &mut Lowerer, sample: &Ir) -> Var {
    let pointer = NATIVE.offsets.iter().find(|(name, _)| *name == "sp").map_or(0, |(_, offset)| *offset);
    let top = lowerer.bind(Scalar::I64, load(sample, UnwindSample::REGISTERS + pointer));
    let length = lowerer.new_var(Scalar::I64);
    lowerer.emit(Stmt::Set(length, Ir::int(0)));
    for offset in (0..UnwindSample::STACK_SIZE).step_by(PIECE as usize) {
        let (then, ()) = lowerer.nested(|lowerer| {
            let to = sample.clone().offset(UnwindSample::STACK + offset);
            let from = Ir::binary(Op::Add, top.clone(), Ir::int(i64::from(offset)));
            let failed = lowerer.helper(Helper::PROBE_READ_USER, vec![to, Ir::int(i64::from(PIECE)), from]);
            let got = vec![Stmt::Set(length, Ir::int(i64::from(offset + PIECE)))];
            lowerer.emit(Stmt::If { condition: failed.is_nonzero(), then: Vec::new(), otherwise: got });
        });
        let complete = Ir::binary(Op::Eq, Ir::Var(length), Ir::int(i64::from(offset)));
        lowerer.emit(Stmt::If { condition: complete, then, otherwise: Vec::new() });
    }
    length
}

/// A number for the stack, out of the range of those that the kernel gives.
fn identity(lowerer: &mut Lowerer, sample: &Ir, length: Var, process: Ir) -> Ir {
    let pointer = NATIVE.offsets.iter().find(|(name, _)| *name == "ip").map_or(0, |(_, offset)| *offset);
    let hash = lowerer.new_var(Scalar::I64);
    let first = load(sample, UnwindSample::REGISTERS + pointer);
    // Processes that were forked have the same code at the same places.
    let first = Ir::binary(Op::Xor, first, Ir::binary(Op::Shl, process.clone(), Ir::int(32)));
    lowerer.emit(Stmt::Set(hash, Ir::binary(Op::Mul, first, Ir::int(PRIME))));
    let code = code_ranges(lowerer, process);
    let index = lowerer.new_var(Scalar::I64);
    let (body, ()) = lowerer.nested(|lowerer| {
        let at = lowerer.bind(Scalar::I64, Ir::Opaque(Box::new(Ir::Var(index))));
        let at = lowerer.bind(Scalar::I64, Ir::binary(Op::Shl, at, Ir::int(3)));
        let beyond = Ir::binary(Op::SLe, Ir::Var(length), at.clone());
        lowerer.emit(Stmt::If { condition: beyond, then: vec![Stmt::Break], otherwise: Vec::new() });
        // The verifier wants to see the bound.
        let within = Ir::binary(Op::ULt, at.clone(), Ir::int(i64::from(UnwindSample::STACK_SIZE - 7)));
        let (then, ()) = lowerer.nested(|lowerer| {
            let stack = sample.clone().offset(UnwindSample::STACK);
            let place = Ir::Offset { base: Box::new(stack), by: Box::new(Ir::Opaque(Box::new(at))) };
            let word = lowerer.bind(Scalar::I64, Ir::load(Scalar::I64, place));
            let points_to_code = code.iter().map(|(start, size)| {
                let offset = Ir::binary(Op::Sub, word.clone(), start.clone());
                Ir::binary(Op::ULt, offset, size.clone()).bool_to_int()
            });
            let points_to_code = points_to_code.reduce(|one, other| Ir::binary(Op::Or, one, other));
            let mixed = Ir::binary(Op::Xor, Ir::Var(hash), word.clone());
            let mix = vec![Stmt::Set(hash, Ir::binary(Op::Mul, mixed, Ir::int(PRIME)))];
            let condition = points_to_code.unwrap_or(Ir::int(0)).is_nonzero();
            lowerer.emit(Stmt::If { condition, then: mix, otherwise: Vec::new() });
        });
        lowerer.emit(Stmt::If { condition: within, then, otherwise: Vec::new() });
    });
    let words = Ir::int(i64::from(UnwindSample::STACK_SIZE / 8));
    lowerer.emit(Stmt::Range { index, start: Ir::int(0), end: words, body });
    let id = Ir::binary(Op::Or, Ir::binary(Op::LShr, Ir::Var(hash), Ir::int(2)), Ir::int(UNWOUND));
    lowerer.bind(Scalar::I64, id)
}

/// Start and size of two ranges in which the process has its code; all memory, while the runtime
/// has not told them yet.
fn code_ranges(lowerer: &mut Lowerer, process: Ir) -> [(Ir, Ir); 2] {
    let map = lowerer.plan.code_ranges();
    let key = Ir::Slot(lowerer.new_slot(8, 8));
    store(lowerer, &key, 0, process);
    let known = lowerer.lookup(map, key);
    let all = [0, i64::MAX, 0, 0];
    let words = all.map(|word| {
        let var = lowerer.new_var(Scalar::I64);
        lowerer.emit(Stmt::Set(var, Ir::int(word)));
        var
    });
    let then = words.iter().zip([0, 8, 16, 24]).map(|(var, offset)| Stmt::Set(*var, load(&known, offset)));
    lowerer.emit(Stmt::If { condition: not_null(known.clone()), then: then.collect(), otherwise: Vec::new() });
    let [start, size, other_start, other_size] = words.map(Ir::Var);
    [(start, size), (other_start, other_size)]
}

/// Sends the sample unless one with its number was sent already.
fn send_if_new(lowerer: &mut Lowerer, sample: Ir, id: &Ir) {
    let seen = lowerer.plan.unwound_ids();
    let key = Ir::Slot(lowerer.new_slot(8, 8));
    store(lowerer, &key, 0, id.clone());
    let arguments = vec![Ir::Map(seen), key.clone(), key.clone(), Ir::int(ONLY_NEW)];
    let known = lowerer.helper(Helper::MAP_UPDATE_ELEM, arguments);
    let (new, ()) = lowerer.nested(|lowerer| send(lowerer, sample, seen, key));
    lowerer.emit(Stmt::If { condition: known.is_nonzero(), then: Vec::new(), otherwise: new });
}

/// What does not fit in now is sent when the stack comes again.
fn send(lowerer: &mut Lowerer, sample: Ir, seen: MapIndex, key: Ir) {
    let failed = lowerer.output_to_ring(sample, UnwindSample::SIZE);
    let (then, ()) = lowerer.nested(|lowerer| {
        lowerer.helper(Helper::MAP_DELETE_ELEM, vec![Ir::Map(seen), key]);
        let always = Ir::binary(Op::Eq, Ir::int(0), Ir::int(0));
        lowerer.count_loss_if(always, Loss::Event);
    });
    lowerer.emit(Stmt::If { condition: failed, then, otherwise: Vec::new() });
}
