//! Sending signals to what is traced.

use crate::diagnostics::Diagnostic;
use crate::ir::{Expr as Ir, Helper, Op, Stmt};
use crate::plan::{EventPlan, Stream};
use crate::semantics::lower::{Lowered, Lowerer, Operand, Repr};
use crate::semantics::nearest::nearest;
use crate::types::Type;

use super::names::{signal_names, signal_number};
use super::{CallSite, Entry, Lower};

/// Where the current task is the one that is traced.
const PROBES: &[&str] = &[
    "kprobe",
    "kretprobe",
    "uprobe",
    "uretprobe",
    "usdt",
    "tracepoint",
    "rawtracepoint",
    "profile",
    "fentry",
    "fexit",
];

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "signal",
        signatures: &["void signal(const string sig)", "void signal(uint32 signum)"],
        documentation: "Sends a signal, by name or number, to the current process; any of its threads may get it.",
        example: "tracepoint:syscalls:sys_enter_execve /comm == \"evil\"/ { signal(\"SIGKILL\"); }",
        is_unsafe: true,
        probes: PROBES,
        arguments: (1, Some(1)),
        lower: Lower::Value(|lowerer, call| send(lowerer, call, Helper::SEND_SIGNAL)),
        ..Entry::BASE
    },
    Entry {
        name: "signal_thread",
        signatures: &["void signal_thread(const string sig)", "void signal_thread(uint32 signum)"],
        documentation: "Sends a signal, by name or number, to the current thread.",
        example: "uprobe:/bin/bash:readline { signal_thread(\"SIGUSR1\"); }",
        is_unsafe: true,
        probes: PROBES,
        arguments: (1, Some(1)),
        lower: Lower::Value(|lowerer, call| send(lowerer, call, Helper::SEND_SIGNAL_THREAD)),
        ..Entry::BASE
    },
];

/// The highest number of a signal (`_NSIG` of Linux).
const LAST: i64 = 64;

fn send(lowerer: &mut Lowerer, call: &CallSite, helper: Helper) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let argument = lowerer.value_argument(argument)?;
    let operand = lowerer.expr(argument)?;
    if operand.is_unknown() {
        return lowerer.unknown(&operand).map(|()| operand);
    }
    if let Some(number) = known_number(lowerer, call, &operand)? {
        deliver(lowerer, call, helper, Ir::int(number))?;
        return Ok(Operand::void(call.span));
    }
    if !operand.ty.is_integer() {
        let message = format!("{} accepts a string literal or an integer, not {}", call.name, operand.ty);
        return Err(lowerer.error("type-mismatch", operand.span, message));
    }
    let number = lowerer.register(operand)?;
    let (then, delivered) = lowerer.nested(|lowerer| deliver(lowerer, call, helper, number.clone()));
    delivered?;
    let format = format!("{}() expects an integer between 1 and {LAST} (inclusive). Got %d", call.name);
    let event =
        EventPlan::Printf { format, arguments: vec![Type::I64], stream: Stream::Error(lowerer.origin(call.span)) };
    let (otherwise, sent) = lowerer.nested(|lowerer| {
        let number = Operand::scalar(Type::I64, number.clone(), call.span);
        lowerer.send(event, &[number], &[Type::I64])
    });
    sent?;
    let below = Ir::binary(Op::Sub, number, Ir::int(1));
    let condition = Ir::binary(Op::ULt, below, Ir::int(LAST));
    lowerer.emit(Stmt::If { condition, then, otherwise });
    Ok(Operand::void(call.span))
}

/// The number of a literal; `None` if only the probe knows it.
fn known_number(lowerer: &mut Lowerer, call: &CallSite, operand: &Operand) -> Lowered<Option<i64>> {
    if let Repr::Text(name) = &operand.repr {
        if let Some(number) = signal_number(name) {
            return Ok(Some(number));
        }
        let mut diagnostic = Diagnostic::error("unknown-signal", operand.span, format!("{name} is not a valid signal"));
        let names: Vec<String> = signal_names().collect();
        if let Some(near) = nearest(&name.to_ascii_uppercase(), names.iter().map(String::as_str)) {
            diagnostic = diagnostic.hint(format!("did you mean {near}?"));
        }
        return Err(lowerer.report(diagnostic));
    }
    match operand.constant() {
        Some(number) if !(1..=LAST).contains(&number) => {
            let message = format!("{} accepts a string literal or an integer between 1 and {LAST}", call.name);
            Err(lowerer.error("constant-range", operand.span, message))
        }
        known => Ok(known),
    }
}

/// Calls the helper and warns if the kernel refuses: on its way out a task takes no more signals.
fn deliver(lowerer: &mut Lowerer, call: &CallSite, helper: Helper, number: Ir) -> Lowered<()> {
    let result = lowerer.helper(helper, vec![number]);
    let format = "signal call failed with error %d".to_string();
    let event =
        EventPlan::Printf { format, arguments: vec![Type::I64], stream: Stream::Warning(lowerer.origin(call.span)) };
    let (then, sent) = lowerer.nested(|lowerer| {
        let code = Operand::scalar(Type::I64, result.clone(), call.span);
        lowerer.send(event, &[code], &[Type::I64])
    });
    lowerer.emit(Stmt::If { condition: result.is_nonzero(), then, otherwise: vec![] });
    sent
}
