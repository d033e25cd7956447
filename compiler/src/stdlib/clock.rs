//! Time: clocks, time stamps, and how they are written.

use crate::ir::{Expr as Ir, Helper, Op, Scalar};
use crate::plan::EventPlan;
use crate::semantics::lower::{Lowered, Lowerer, Operand};
use crate::syntax::ast::{Expr, ExprKind, TypeOrExpr};
use crate::types::Type;

use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "nsecs",
        signatures: &["timestamp nsecs", "timestamp nsecs([monotonic|boot|tai|sw_tai])"],
        documentation: "Nanoseconds of a kernel clock; `boot` (since boot, time in suspend included) unless another is named. `sw_tai` is `tai` for kernels before 6.1, worked out from the difference of the clocks when the script started.",
        example: "tracepoint:syscalls:sys_enter_read { @start[tid] = nsecs; }",
        arguments: (0, Some(1)),
        lower: Lower::Value(nsecs),
        ..Entry::BASE
    },
    Entry {
        name: "elapsed",
        signatures: &["uint64 elapsed"],
        documentation: "Nanoseconds since the cell or script started.",
        example: "interval:s:1 { printf(\"%d\\n\", elapsed); }",
        lower: Lower::Value(elapsed),
        ..Entry::BASE
    },
    Entry {
        name: "jiffies",
        signatures: &["uint64 jiffies"],
        documentation: "The kernel's jiffies.",
        example: "begin { printf(\"%d\\n\", jiffies); }",
        kernel: Some("5.9"),
        lower: Lower::Value(|lowerer, call| {
            let value = lowerer.helper(Helper::JIFFIES64, vec![]);
            Ok(Operand::scalar(Type::U64, value, call.span))
        }),
        ..Entry::BASE
    },
    Entry {
        name: "time",
        signatures: &["void time(const string fmt)"],
        documentation: "Prints the wall-clock time at which the event is processed, in a format of strftime(3).",
        example: "interval:s:1 { time(\"%H:%M:%S\\n\"); }",
        mode: Mode::Asynchronous,
        arguments: (0, Some(1)),
        lower: Lower::Value(time),
        ..Entry::BASE
    },
    Entry {
        name: "strftime",
        signatures: &["timestamp strftime(const string fmt, int64 timestamp_ns)"],
        documentation: "Formats nanoseconds since boot as wall-clock time, as strftime(3) does; `%f` gives microseconds. The result can only be printed.",
        example: "interval:s:1 { printf(\"%s\\n\", strftime(\"%H:%M:%S\", nsecs)); }",
        mode: Mode::Asynchronous,
        arguments: (2, Some(2)),
        lower: Lower::Value(strftime),
        ..Entry::BASE
    },
];

fn nsecs(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let clock = match call.arguments {
        [] => "boot",
        [TypeOrExpr::Expr(expr)] => match &expr.kind {
            ExprKind::Identifier(name) => name.as_str(),
            _ => "",
        },
        _ => "",
    };
    let helper = match clock {
        "boot" => Helper::KTIME_GET_BOOT_NS,
        "monotonic" => Helper::KTIME_GET_NS,
        "tai" => Helper::KTIME_GET_TAI_NS,
        "sw_tai" => return Ok(software_tai(lowerer, call)),
        _ => return Err(lowerer.error("invalid-argument", call.span, "nsecs() takes monotonic, boot, tai or sw_tai")),
    };
    let value = lowerer.helper(helper, vec![]);
    Ok(Operand::scalar(Type::U64, value, call.span))
}

/// The TAI clock for kernels that cannot read it in BPF: the runtime measures how far it is ahead.
fn software_tai(lowerer: &mut Lowerer, call: &CallSite) -> Operand {
    let control = lowerer.plan.control();
    let ahead = Ir::load(Scalar::I64, Ir::MapValue { map: control, offset: crate::plan::Control::TAI_OFFSET });
    let now = lowerer.helper(Helper::KTIME_GET_BOOT_NS, vec![]);
    let value = lowerer.bind(Scalar::I64, Ir::binary(Op::Add, now, ahead));
    Operand::scalar(Type::U64, value, call.span)
}

fn elapsed(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let control = lowerer.plan.control();
    let start = Ir::load(Scalar::I64, Ir::MapValue { map: control, offset: crate::plan::Control::START });
    let now = lowerer.helper(Helper::KTIME_GET_BOOT_NS, vec![]);
    let value = lowerer.bind(Scalar::I64, Ir::binary(Op::Sub, now, start));
    Ok(Operand::scalar(Type::U64, value, call.span))
}

fn time(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let format = match call.arguments.first() {
        Some(format) => lowerer.constant_text(format, "the format of time()")?,
        None => "%H:%M:%S\n".to_string(),
    };
    lowerer.signal(EventPlan::Time { format });
    Ok(Operand::void(call.span))
}

/// The clock that `nsecs(clock)` names.
fn clock_of(expr: &Expr) -> Option<&str> {
    let ExprKind::Call { name, arguments } = &expr.kind else { return None };
    let [TypeOrExpr::Expr(clock)] = arguments.as_slice() else { return None };
    match &clock.kind {
        ExprKind::Identifier(clock) if name.name == "nsecs" => Some(clock),
        _ => None,
    }
}

fn strftime(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [format, stamp] = call.arguments else { return Ok(Operand::void(call.span)) };
    let format = lowerer.constant_text(format, "the format of strftime()")?;
    let stamp = lowerer.value_argument(stamp)?;
    let clock = clock_of(stamp);
    if clock == Some("monotonic") {
        return Err(lowerer.error("invalid-argument", stamp.span, "strftime() can not take a monotonic timestamp"));
    }
    let mut value = lowerer.integer(stamp)?;
    if value.constant().is_some_and(|value| value < 0) {
        return Err(lowerer.error("invalid-argument", stamp.span, "strftime() does not accept negative timestamps"));
    }
    // Formatted times count from boot on, these clocks from 1970 on.
    if matches!(clock, Some("tai" | "sw_tai")) {
        let control = lowerer.plan.control();
        let boot = Ir::load(Scalar::I64, Ir::MapValue { map: control, offset: crate::plan::Control::BOOT_TIME });
        value = lowerer.bind(Scalar::I64, Ir::binary(Op::Sub, value, boot));
    }
    let format = lowerer.plan.time_format(&format);
    Ok(Operand::scalar(Type::Timestamp { format }, value, call.span))
}
