//! Who runs: process, thread, user, cgroup, CPU.

use crate::ir::{Expr as Ir, Helper, Op, Scalar, Stmt};
use crate::plan::{EventPlan, Stream};
use crate::semantics::lower::{Lowered, Lowerer, Operand};
use crate::syntax::ast::{ExprKind, TypeOrExpr};
use crate::types::{AddressSpace, Type};

use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "pid",
        signatures: &["uint32 pid", "uint32 pid([curr_ns|init])"],
        documentation: "The process ID of the current thread, as seen from the PID namespace of probebook, or from the initial one with `init`.",
        example: "tracepoint:syscalls:sys_enter_openat { @[pid] = count(); }",
        arguments: (0, Some(1)),
        lower: Lower::Value(|lowerer, call| process_id(lowerer, call, true)),
        ..Entry::BASE
    },
    Entry {
        name: "tid",
        signatures: &["uint32 tid", "uint32 tid([curr_ns|init])"],
        documentation: "The thread ID of the current thread, as seen from the PID namespace of probebook, or from the initial one with `init`.",
        example: "tracepoint:syscalls:sys_enter_read { @start[tid] = nsecs; }",
        arguments: (0, Some(1)),
        lower: Lower::Value(|lowerer, call| process_id(lowerer, call, false)),
        ..Entry::BASE
    },
    Entry {
        name: "uid",
        signatures: &["uint64 uid()", "uint64 uid"],
        documentation: "The user ID of the current thread, as seen from the initial namespace.",
        example: "tracepoint:syscalls:sys_enter_execve { @[uid] = count(); }",
        lower: Lower::Value(|lowerer, call| {
            let both = lowerer.helper(Helper::GET_CURRENT_UID_GID, vec![]);
            unsigned(lowerer, Ir::binary(Op::And, both, Ir::int(0xffff_ffff)), call)
        }),
        ..Entry::BASE
    },
    Entry {
        name: "gid",
        signatures: &["uint64 gid()", "uint64 gid"],
        documentation: "The group ID of the current thread, as seen from the initial namespace.",
        example: "tracepoint:syscalls:sys_enter_execve { @[gid] = count(); }",
        lower: Lower::Value(|lowerer, call| {
            let both = lowerer.helper(Helper::GET_CURRENT_UID_GID, vec![]);
            unsigned(lowerer, Ir::binary(Op::LShr, both, Ir::int(32)), call)
        }),
        ..Entry::BASE
    },
    Entry {
        name: "comm",
        signatures: &["string comm()", "string comm", "string comm(uint32 pid)"],
        documentation: "The name of the current thread (at most 15 bytes), or of the process with a number, as the initial namespace numbers them. That works where the kernel allows `bpf_task_from_pid`: in fentry, fexit, iter and rawtracepoint, and from 6.12 on in most others.",
        example: "tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }",
        arguments: (0, Some(1)),
        lower: Lower::Value(comm),
        ..Entry::BASE
    },
    Entry {
        name: "cgroup",
        signatures: &["uint64 cgroup()", "uint64 cgroup"],
        documentation: "The ID of the cgroup (v2) that the current process belongs to.",
        example: "tracepoint:syscalls:sys_enter_openat /cgroup == 1/ { @[comm] = count(); }",
        lower: Lower::Value(|lowerer, call| {
            let id = lowerer.helper(Helper::GET_CURRENT_CGROUP_ID, vec![]);
            unsigned(lowerer, id, call)
        }),
        ..Entry::BASE
    },
    Entry {
        name: "curtask",
        signatures: &["struct task_struct * curtask()", "struct task_struct * curtask"],
        documentation: "The kernel's `struct task_struct` of the current task.",
        example: "tracepoint:sched:sched_switch { printf(\"%d\\n\", curtask.pid); }",
        lower: Lower::Value(current_task),
        ..Entry::BASE
    },
    Entry {
        name: "cpu",
        signatures: &["uint32 cpu()", "uint32 cpu"],
        documentation: "The number of the CPU that runs the probe.",
        example: "profile:hz:99 { @[cpu] = count(); }",
        lower: Lower::Value(|lowerer, call| {
            let id = lowerer.helper(Helper::GET_SMP_PROCESSOR_ID, vec![]);
            Ok(Operand::scalar(Type::U32, id, call.span))
        }),
        ..Entry::BASE
    },
    Entry {
        name: "numaid",
        signatures: &["uint32 numaid()", "uint32 numaid"],
        documentation: "The number of the NUMA node that runs the probe.",
        example: "profile:hz:99 { @[numaid] = count(); }",
        lower: Lower::Value(|lowerer, call| {
            let id = lowerer.helper(Helper::GET_NUMA_NODE_ID, vec![]);
            Ok(Operand::scalar(Type::U32, id, call.span))
        }),
        ..Entry::BASE
    },
    Entry {
        name: "ncpus",
        signatures: &["uint64 ncpus()", "uint64 ncpus"],
        documentation: "The number of CPUs.",
        example: "begin { printf(\"%d\\n\", ncpus); }",
        mode: Mode::CompileTime,
        lower: Lower::Value(|lowerer, call| {
            let cpus = i64::from(lowerer.info.possible_cpus());
            Ok(Operand::scalar(Type::U64, Ir::int(cpus), call.span))
        }),
        ..Entry::BASE
    },
    Entry {
        name: "rand",
        signatures: &["uint32 rand()", "uint32 rand"],
        documentation: "A pseudo-random number.",
        example: "interval:ms:10 { @ = hist(rand % 100); }",
        lower: Lower::Value(|lowerer, call| {
            let number = lowerer.helper(Helper::GET_PRANDOM_U32, vec![]);
            let number = lowerer.narrow(&Type::U32, number);
            Ok(Operand::scalar(Type::U32, number, call.span))
        }),
        ..Entry::BASE
    },
];

/// `TASK_COMM_LEN`
const COMM: u32 = 16;

fn unsigned(lowerer: &mut Lowerer, value: Ir, call: &CallSite) -> Lowered<Operand> {
    let value = lowerer.bind(Scalar::I64, value);
    Ok(Operand::scalar(Type::U64, value, call.span))
}

fn process_id(lowerer: &mut Lowerer, call: &CallSite, process: bool) -> Lowered<Operand> {
    let initial = match call.arguments {
        [] => false,
        [TypeOrExpr::Expr(expr)] => match &expr.kind {
            ExprKind::Identifier(name) if name == "init" => true,
            ExprKind::Identifier(name) if name == "curr_ns" => false,
            _ => return Err(namespace_error(lowerer, call)),
        },
        _ => return Err(namespace_error(lowerer, call)),
    };
    let value = current_id(lowerer, process, initial);
    Ok(Operand::scalar(Type::U32, value, call.span))
}

/// The number of the current process or thread, as seen from our namespace or from the `initial` one.
pub fn current_id(lowerer: &mut Lowerer, process: bool, initial: bool) -> Ir {
    let namespace = lowerer.info.pid_namespace().filter(|_| !initial);
    match namespace {
        None => {
            let both = lowerer.helper(Helper::GET_CURRENT_PID_TGID, vec![]);
            let shift = Ir::binary(Op::LShr, both.clone(), Ir::int(32));
            let value = if process { shift } else { Ir::binary(Op::And, both, Ir::int(0xffff_ffff)) };
            lowerer.bind(Scalar::I64, value)
        }
        Some((device, inode)) => {
            // struct bpf_pidns_info { u32 pid; u32 tgid; }
            let slot = Ir::Slot(lowerer.new_slot(8, 8));
            lowerer.emit(Stmt::Zero { to: slot.clone(), size: 8, align: 8 });
            let arguments = vec![Ir::int(device as i64), Ir::int(inode as i64), slot.clone(), Ir::int(8)];
            lowerer.helper(Helper::GET_NS_CURRENT_PID_TGID, arguments);
            lowerer.load_scalar(&Type::U32, slot.offset(if process { 4 } else { 0 }))
        }
    }
}

fn namespace_error(lowerer: &mut Lowerer, call: &CallSite) -> crate::semantics::lower::Reported {
    let message = format!("{}() takes curr_ns or init", call.name);
    lowerer.error("invalid-argument", call.span, message)
}

/// Read from the task itself where BTF tells where: a third of what the helper takes. The kernel
/// keeps the name padded with zeros (`__set_task_comm`), so the bytes serve as a map key.
fn comm(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    if let Some(pid) = call.arguments.first() {
        return comm_of(lowerer, call, pid);
    }
    let ty = Type::String { capacity: COMM };
    let slot = Ir::Slot(lowerer.slot_for(&ty));
    let place = lowerer.info.struct_type("struct task_struct").and_then(|task| {
        let field = task.fields.iter().find(|field| field.name == "comm")?;
        (field.ty.size() == COMM && field.offset % 8 == 0).then_some(field.offset)
    });
    match place {
        Some(offset) => {
            let call = Ir::Helper { id: Helper::GET_CURRENT_TASK_BTF, arguments: vec![], returns: Scalar::Pointer };
            let task = lowerer.bind(Scalar::Pointer, call);
            // The words are opaque so that LLVM does not merge these loads with those of another
            // string: the verifier wants one kind of pointer at one instruction.
            for at in [0, 8] {
                let word = Ir::Opaque(Box::new(Ir::load(Scalar::I64, task.clone().offset(offset + at))));
                lowerer.emit(Stmt::Store { ty: Scalar::I64, address: slot.clone().offset(at), value: word });
            }
        }
        None => {
            lowerer.helper(Helper::GET_CURRENT_COMM, vec![slot.clone(), Ir::int(i64::from(COMM))]);
        }
    }
    Ok(Operand::memory(ty, slot, call.span))
}

/// Finds the task, reads its name, and gives the task back, as the verifier demands.
fn comm_of(lowerer: &mut Lowerer, call: &CallSite, pid: &TypeOrExpr) -> Lowered<Operand> {
    const FIND: &str = "bpf_task_from_pid";
    let pid = lowerer.value_argument(pid)?;
    let pid = lowerer.integer(pid)?;
    let pid = lowerer.bind(Scalar::I64, pid);
    let task = lowerer.info.struct_type("struct task_struct");
    let offset = task.and_then(|task| Some(task.fields.iter().find(|field| field.name == "comm")?.offset));
    let (Some(offset), Some(_)) = (offset, lowerer.info.function_prototype("vmlinux", FIND)) else {
        let message = format!("comm() of another process needs a kernel with {FIND} (6.2) and BTF");
        return Err(lowerer.error("no-kernel-support", call.span, message));
    };
    // The kernel wants to know the types of what it hands over.
    lowerer.probe.needs_types.set(true);
    lowerer.probe.depends.set(true);
    let ty = Type::String { capacity: COMM };
    let slot = Ir::Slot(lowerer.slot_for(&ty));
    let find = lowerer.plan.kernel_function(FIND);
    let release = lowerer.plan.kernel_function("bpf_task_release");
    lowerer.emit(Stmt::At(call.span));
    let task = lowerer.helper(find, vec![pid.clone()]);
    let (then, ()) = lowerer.nested(|lowerer| {
        let name = Ir::binary(Op::Add, task.clone(), Ir::int(i64::from(offset)));
        lowerer.probe_read(slot.clone(), COMM, name, AddressSpace::Kernel);
        lowerer.emit(Stmt::Evaluate(Ir::Helper { id: release, arguments: vec![task.clone()], returns: Scalar::I64 }));
    });
    let (otherwise, warned) = lowerer.nested(|lowerer| {
        let mut bytes = b"N/A".to_vec();
        bytes.resize(COMM as usize, 0);
        lowerer.emit(Stmt::Bytes { to: slot.clone(), bytes, align: 8 });
        let format = "No such process (pid=%d)".to_string();
        let event = EventPlan::Printf {
            format,
            arguments: vec![Type::I64],
            stream: Stream::Warning(lowerer.origin(call.span)),
        };
        lowerer.send(event, &[Operand::scalar(Type::I64, pid.clone(), call.span)], &[Type::I64])
    });
    warned?;
    lowerer.emit(Stmt::If { condition: task.is_nonzero(), then, otherwise });
    Ok(Operand::memory(ty, slot, call.span))
}

pub fn current_task(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let address = lowerer.helper(Helper::GET_CURRENT_TASK, vec![]);
    let ty = match lowerer.env.c_types.struct_type("struct task_struct", lowerer.info) {
        Some(info) => Type::pointer(Type::Struct(info), AddressSpace::Kernel),
        None => Type::U64,
    };
    Ok(Operand::scalar(ty, address, call.span))
}
