//! Stacks and symbols.

use crate::diagnostics::Diagnostic;
use crate::ir::{Expr as Ir, Helper, Op, Scalar, Stmt};
use crate::plan::Loss;
use crate::semantics::lower::{Lowered, Lowerer, Operand};
use crate::syntax::ast::{ExprKind, TypeOrExpr};
use crate::types::{AddressSpace, STACK_KEY_SIZE, StackMode, Type};

use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "kstack",
        signatures: &["kstack_t kstack([StackMode mode, ][int limit])", "kstack_t kstack"],
        documentation: "The kernel stack, innermost frame first; modes are bpftrace, perf, raw and build_id.",
        example: "profile:hz:99 { @[kstack] = count(); }",
        arguments: (0, Some(2)),
        lower: Lower::Value(|lowerer, call| stack(lowerer, call, false)),
        ..Entry::BASE
    },
    Entry {
        name: "ustack",
        signatures: &["ustack_t ustack([StackMode mode, ][int limit])", "ustack_t ustack"],
        documentation: "The user stack, innermost frame first, by frame pointers; modes are bpftrace, perf, raw and build_id (each file's build ID, and the place in the file).",
        example: "profile:hz:99 { @[ustack] = count(); }",
        arguments: (0, Some(2)),
        lower: Lower::Value(|lowerer, call| stack(lowerer, call, true)),
        ..Entry::BASE
    },
    Entry {
        name: "ksym",
        signatures: &["ksym_t ksym(uint64 addr)"],
        documentation: "The name of the kernel function that contains an address.",
        example: "begin { printf(\"%s\\n\", ksym(kaddr(\"schedule\"))); }",
        mode: Mode::Asynchronous,
        arguments: (1, Some(1)),
        lower: Lower::Value(ksym),
        ..Entry::BASE
    },
    Entry {
        name: "usym",
        signatures: &["usym_t usym(uint64 addr)"],
        documentation: "The name of the function of the current process that contains an address.",
        example: "uprobe:libc:malloc { printf(\"%s\\n\", usym(reg(\"ip\"))); }",
        mode: Mode::Asynchronous,
        arguments: (1, Some(1)),
        lower: Lower::Value(usym),
        ..Entry::BASE
    },
    Entry {
        name: "kaddr",
        signatures: &["uint64 * kaddr(const string name)"],
        documentation: "The address of a kernel symbol.",
        example: "begin { printf(\"%p\\n\", kaddr(\"schedule\")); }",
        mode: Mode::CompileTime,
        arguments: (1, Some(1)),
        lower: Lower::Value(kaddr),
        ..Entry::BASE
    },
    Entry {
        name: "percpu_kaddr",
        signatures: &["uint64 * percpu_kaddr(const string name)", "uint64 * percpu_kaddr(const string name, int cpu)"],
        documentation: "The address of one CPU's copy of a per-CPU kernel symbol: that of the current CPU, or of the one named; NULL if there is no such CPU.",
        example: "interval:s:1 { printf(\"%d\\n\", *percpu_kaddr(\"process_counts\")); }",
        kernel: Some("one with CONFIG_KALLSYMS_ALL"),
        arguments: (1, Some(2)),
        lower: Lower::Value(per_cpu_address),
        ..Entry::BASE
    },
];

const DEFAULT_LIMIT: u32 = 127;
/// `BPF_F_USER_STACK`, `BPF_F_FAST_STACK_CMP` of `bpf_get_stackid`.
const USER_STACK: i64 = 1 << 8;
const FAST_COMPARE: i64 = 1 << 9;
/// Stacks that a session can hold for one kind and limit.
const STACK_ENTRIES: u32 = 16384;

fn stack(lowerer: &mut Lowerer, call: &CallSite, user: bool) -> Lowered<Operand> {
    let (mode, limit) = stack_options(lowerer, call)?;
    let map = lowerer.plan.stacks(user, limit, mode == StackMode::BuildId, STACK_ENTRIES);
    let flags = FAST_COMPARE | if user { USER_STACK } else { 0 };
    let id = lowerer.helper(Helper::GET_STACKID, vec![Ir::Context, Ir::Map(map), Ir::int(flags)]);
    // -EEXIST (-17) says that another stack has this bucket; -EFAULT that there is no such stack.
    // The verifier is not to learn from the comparison what the id is: it would follow everything
    // behind it twice, and a loop with several stacks never ended.
    let difference = Ir::Opaque(Box::new(Ir::binary(Op::Xor, id.clone(), Ir::int(-17))));
    let collided = Ir::binary(Op::Eq, difference, Ir::int(0));
    lowerer.count_loss_if(collided, Loss::Stack(map.0 as usize));
    let ty = Type::Stack { user, mode, limit };
    let slot = Ir::Slot(lowerer.new_slot(STACK_KEY_SIZE, 8));
    lowerer.emit(Stmt::Store { ty: Scalar::I64, address: slot.clone(), value: id });
    let process = if user {
        let both = lowerer.helper(Helper::GET_CURRENT_PID_TGID, vec![]);
        lowerer.bind(Scalar::I64, Ir::binary(Op::LShr, both, Ir::int(32)))
    } else {
        Ir::int(0)
    };
    lowerer.emit(Stmt::Store { ty: Scalar::I64, address: slot.clone().offset(8), value: process });
    Ok(Operand::memory(ty, slot, call.span))
}

/// The number of frames of the current stack: the kernel does not tell it with the stack's id.
pub fn stack_depth(lowerer: &mut Lowerer, user: bool, limit: u32) -> Ir {
    let size = limit * 8;
    let frames = Ir::Slot(lowerer.new_slot(size, 8));
    let flags = if user { USER_STACK } else { 0 };
    let bytes = lowerer.helper(Helper::GET_STACK, vec![Ir::Context, frames, Ir::int(i64::from(size)), Ir::int(flags)]);
    let depth = lowerer.new_var(Scalar::I64);
    let then = vec![Stmt::Set(depth, Ir::binary(Op::AShr, bytes.clone(), Ir::int(3)))];
    let failed = Ir::binary(Op::SLt, bytes, Ir::int(0));
    lowerer.emit(Stmt::If { condition: failed, then: vec![Stmt::Set(depth, Ir::int(0))], otherwise: then });
    Ir::Var(depth)
}

/// Mode and limit of a stack, from arguments or settings.
pub fn stack_options(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<(StackMode, u32)> {
    let mut mode = lowerer.env.settings.stack_mode;
    let mut limit = DEFAULT_LIMIT;
    for (index, argument) in call.arguments.iter().enumerate() {
        let expr = lowerer.value_argument(argument)?;
        match (&expr.kind, index) {
            (ExprKind::Identifier(name), 0) => {
                mode = match name.as_str() {
                    "bpftrace" => StackMode::Bpftrace,
                    "perf" => StackMode::Perf,
                    "raw" => StackMode::Raw,
                    "build_id" => StackMode::BuildId,
                    other => {
                        let message = format!("invalid stack mode: '{other}'");
                        let diagnostic = Diagnostic::error("invalid-argument", expr.span, message);
                        return Err(lowerer.report(diagnostic.hint("the modes are bpftrace, perf, raw and build_id")));
                    }
                };
            }
            _ => limit = lowerer.constant_u32(expr, "the number of frames")?,
        }
    }
    if !(1..=DEFAULT_LIMIT).contains(&limit) {
        let message = format!("{}() takes 1 to {DEFAULT_LIMIT} frames, not {limit}", call.name);
        return Err(lowerer.error("constant-range", call.span, message));
    }
    Ok((mode, limit))
}

fn address(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Ir> {
    let Some(argument) = call.arguments.first() else { return Ok(Ir::int(0)) };
    let argument: &TypeOrExpr = argument;
    let expr = lowerer.value_argument(argument)?;
    lowerer.integer(expr)
}

fn ksym(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let address = address(lowerer, call)?;
    Ok(Operand::scalar(Type::KernelSymbol, address, call.span))
}

fn usym(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let address = address(lowerer, call)?;
    let slot = Ir::Slot(lowerer.new_slot(16, 8));
    lowerer.emit(Stmt::Store { ty: Scalar::I64, address: slot.clone(), value: address });
    let both = lowerer.helper(Helper::GET_CURRENT_PID_TGID, vec![]);
    let process = Ir::binary(Op::LShr, both, Ir::int(32));
    lowerer.emit(Stmt::Store { ty: Scalar::I64, address: slot.clone().offset(8), value: process });
    Ok(Operand::memory(Type::UserSymbol, slot, call.span))
}

fn kaddr(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let name = lowerer.constant_text(argument, "the name given to kaddr()")?;
    let ty = Type::pointer(Type::U64, AddressSpace::Kernel);
    match lowerer.info.kernel_symbol(&name) {
        Some(address) => Ok(Operand::scalar(ty, Ir::int(address as i64), call.span)),
        None if lowerer.env.assume_probes => Ok(Operand::scalar(ty, Ir::int(0), call.span)),
        None => {
            let text = format!("Failed to resolve kernel symbol: {name}");
            let diagnostic = Diagnostic::error("unknown-symbol", call.span, text);
            // It may be that none is known here.
            Err(match lowerer.info.kernel_functions() {
                Err(unavailable) => lowerer.report(diagnostic.hint(unavailable.to_string())),
                Ok(_) => lowerer.report(diagnostic),
            })
        }
    }
}

/// The symbol's address plus the CPU's entry of the kernel's table `__per_cpu_offset`
/// (`per_cpu_offset` in `include/asm-generic/percpu.h`).
fn per_cpu_address(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [name, cpu @ ..] = call.arguments else { return Ok(Operand::void(call.span)) };
    let name = lowerer.constant_text(name, "the name given to percpu_kaddr()")?;
    let addresses = lowerer.info.kernel_symbol(&name).zip(lowerer.info.kernel_symbol("__per_cpu_offset"));
    let addresses = addresses.or(lowerer.env.assume_probes.then_some((0, 0)));
    let Some((symbol, table)) = addresses else {
        let message = format!("the kernel does not tell the address of the per-CPU symbol {name}");
        let diagnostic = Diagnostic::error("unknown-symbol", call.span, message);
        return Err(lowerer.report(diagnostic.hint("only kernels with CONFIG_KALLSYMS_ALL tell the addresses of data")));
    };
    let cpu = match cpu.first() {
        Some(cpu) => {
            let cpu = lowerer.value_argument(cpu)?;
            lowerer.integer(cpu)?
        }
        None => lowerer.helper(Helper::GET_SMP_PROCESSOR_ID, vec![]),
    };
    let cpu = lowerer.bind(Scalar::I64, cpu);
    let address = lowerer.new_var(Scalar::I64);
    let (then, read) = lowerer.nested(|lowerer| {
        let place = Ir::binary(Op::Add, Ir::int(table as i64), Ir::binary(Op::Mul, cpu.clone(), Ir::int(8)));
        let offset = lowerer.read_scalar(&Type::U64, place, AddressSpace::Kernel)?;
        lowerer.emit(Stmt::Set(address, Ir::binary(Op::Add, offset, Ir::int(symbol as i64))));
        Ok(())
    });
    read?;
    let condition = Ir::binary(Op::ULt, cpu, Ir::int(i64::from(lowerer.info.possible_cpus())));
    lowerer.emit(Stmt::If { condition, then, otherwise: vec![Stmt::Set(address, Ir::int(0))] });
    let ty = Type::pointer(Type::U64, AddressSpace::Kernel);
    Ok(Operand::scalar(ty, Ir::Var(address), call.span))
}

/// A 64-bit word of the probe's context: a register, or an argument.
pub fn context_word(lowerer: &mut Lowerer, offset: u32) -> Ir {
    let value = Ir::load(Scalar::I64, Ir::Context.offset(offset));
    lowerer.bind(Scalar::I64, value)
}
