//! The current task's relations, and the command that is traced.

use crate::ir::{Expr as Ir, Helper, Op, Scalar, Stmt};
use crate::plan::{Control, EventPlan, Stream};
use crate::semantics::arch::NATIVE;
use crate::semantics::lower::{Lowered, Lowerer, Operand};
use crate::types::Type;

use super::symbols::context_word;
use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "ppid",
        signatures: &["uint32 ppid()", "uint32 ppid", "uint32 ppid(struct task_struct * task)"],
        documentation: "The process ID of the parent of a task's process, as seen from the initial namespace; of the current task unless another is given.",
        example: "tracepoint:syscalls:sys_enter_execve { @[ppid] = count(); }",
        arguments: (0, Some(1)),
        lower: Lower::Value(|lowerer, call| relative(lowerer, call, &["real_parent", "tgid"], Type::U32)),
        ..Entry::BASE
    },
    Entry {
        name: "pcomm",
        signatures: &["string pcomm()", "string pcomm", "string pcomm(struct task_struct * task)"],
        documentation: "The name of the task's parent.",
        example: "tracepoint:syscalls:sys_enter_execve { @[pcomm] = count(); }",
        arguments: (0, Some(1)),
        lower: Lower::Value(|lowerer, call| relative(lowerer, call, &["real_parent", "comm"], Type::Void)),
        ..Entry::BASE
    },
    Entry {
        name: "leader_tid",
        signatures: &["uint32 leader_tid()", "uint32 leader_tid", "uint32 leader_tid(struct task_struct * task)"],
        documentation: "The thread ID of the leader of a task's thread group.",
        example: "tracepoint:raw_syscalls:sys_enter { @[leader_tid] = count(); }",
        arguments: (0, Some(1)),
        lower: Lower::Value(|lowerer, call| relative(lowerer, call, &["group_leader", "pid"], Type::U32)),
        ..Entry::BASE
    },
    Entry {
        name: "leader_comm",
        signatures: &["string leader_comm()", "string leader_comm", "string leader_comm(struct task_struct * task)"],
        documentation: "The name of the leader of a task's thread group.",
        example: "tracepoint:raw_syscalls:sys_enter { @[leader_comm] = count(); }",
        arguments: (0, Some(1)),
        lower: Lower::Value(|lowerer, call| relative(lowerer, call, &["group_leader", "comm"], Type::Void)),
        ..Entry::BASE
    },
    Entry {
        name: "cpid",
        signatures: &["uint32 cpid()", "uint32 cpid"],
        documentation: "The process ID of the command started with `-c`. Without one it is 0, with a warning.",
        example: "tracepoint:syscalls:sys_enter_read /pid == cpid/ { @ = count(); }",
        lower: Lower::Value(child),
        ..Entry::BASE
    },
    Entry {
        name: "has_cpid",
        signatures: &["bool has_cpid()", "bool has_cpid"],
        documentation: "Whether there is a command started with `-c`, so that `cpid` is its process ID.",
        example: "begin { if (has_cpid) { print(cpid); } }",
        lower: Lower::Value(|lowerer, call| {
            let child = child_id(lowerer);
            let has = lowerer.bind(Scalar::I64, child.is_nonzero().bool_to_int());
            Ok(Operand::scalar(Type::Bool, has, call.span))
        }),
        ..Entry::BASE
    },
    Entry {
        name: "username",
        signatures: &["string username()", "string username"],
        documentation: "The name of the user that the current thread runs as, looked up when it is printed.",
        example: "tracepoint:syscalls:sys_enter_execve { @[username] = count(); }",
        mode: Mode::Asynchronous,
        lower: Lower::Value(|lowerer, call| {
            let both = lowerer.helper(Helper::GET_CURRENT_UID_GID, vec![]);
            let user = lowerer.bind(Scalar::I64, Ir::binary(Op::And, both, Ir::int(0xffff_ffff)));
            Ok(Operand::scalar(Type::Username, user, call.span))
        }),
        ..Entry::BASE
    },
    Entry {
        name: "usermode",
        signatures: &["uint8 usermode()", "uint8 usermode"],
        documentation: "1 if the CPU ran in user mode when the probe fired, else 0. Only on x86_64.",
        example: "profile:hz:99 { @[usermode] = count(); }",
        lower: Lower::Value(user_mode),
        ..Entry::BASE
    },
];

/// Reads what lies behind a few pointers from the task that is given, or else the current one.
/// `ty` is the type of the result, unless that of the last field is to stay.
fn relative(lowerer: &mut Lowerer, call: &CallSite, path: &[&str], ty: Type) -> Lowered<Operand> {
    let task = match call.arguments.first() {
        Some(task) => {
            let task = lowerer.value_argument(task)?;
            lowerer.expr(task)?
        }
        None => super::process::current_task(lowerer, call)?,
    };
    if task.is_unknown() {
        return lowerer.unknown(&task).map(|()| task);
    }
    let found = lowerer.follow(task, path, call.span)?;
    Ok(match ty {
        Type::Void => found,
        ty => {
            let value = lowerer.register(found)?;
            let value = lowerer.narrow(&ty, value);
            Operand::scalar(ty, value, call.span)
        }
    })
}

/// The runtime writes it before the first program runs.
fn child_id(lowerer: &mut Lowerer) -> Ir {
    let control = lowerer.plan.control();
    lowerer.load_scalar(&Type::U32, Ir::MapValue { map: control, offset: Control::CHILD })
}

fn child(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let id = child_id(lowerer);
    let format = "No child command (`-c`); cpid is zero".to_string();
    let event = EventPlan::Printf { format, arguments: vec![], stream: Stream::Warning(lowerer.origin(call.span)) };
    let (then, ()) = lowerer.nested(|lowerer| lowerer.signal(event));
    let condition = Ir::binary(Op::Eq, id.clone(), Ir::int(0));
    lowerer.emit(Stmt::If { condition, then, otherwise: vec![] });
    Ok(Operand::scalar(Type::U32, id, call.span))
}

/// Probes whose context begins with the registers of what was interrupted.
const WITH_REGISTERS: &[&str] =
    &["kprobe", "kretprobe", "uprobe", "uretprobe", "usdt", "profile", "software", "hardware"];

fn user_mode(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some((_, offset)) = NATIVE.offsets.iter().find(|(name, _)| *name == "cs") else {
        return Err(lowerer.error(
            "unsupported-architecture",
            call.span,
            "'usermode' builtin is only supported on x86_64",
        ));
    };
    let provider = lowerer.probe.provider;
    let value = if WITH_REGISTERS.contains(&provider) {
        let segment = context_word(lowerer, *offset);
        // The requested privilege level: 3 is user mode.
        let level = Ir::binary(Op::And, segment, Ir::int(3));
        lowerer.bind(Scalar::I64, Ir::binary(Op::Eq, level, Ir::int(3)).bool_to_int())
    } else {
        // Those of the runtime itself run on its behalf, all others in the kernel.
        Ir::int(i64::from(matches!(provider, "begin" | "end" | "self" | "test" | "bench")))
    };
    Ok(Operand::scalar(Type::U8, value, call.span))
}
