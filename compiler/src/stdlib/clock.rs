//! Time: clocks, time stamps, and how they are written.

use crate::diagnostics::Diagnostic;
use crate::ir::{Expr as Ir, Helper, Op, Scalar};
use crate::plan::{Control, EventPlan};
use crate::semantics::lower::{Lowered, Lowerer, Operand};
use crate::syntax::ast::{Expr, ExprKind, Span, TypeOrExpr};
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
        signatures: &["uint64 elapsed()", "uint64 elapsed"],
        documentation: "Nanoseconds since the cell or script started.",
        example: "interval:s:1 { printf(\"%d\\n\", elapsed); }",
        lower: Lower::Value(elapsed),
        ..Entry::BASE
    },
    Entry {
        name: "jiffies",
        signatures: &["uint64 jiffies()", "uint64 jiffies"],
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
    let (helper, ahead) = match clock {
        "boot" => (Helper::KTIME_GET_BOOT_NS, None),
        "monotonic" => (Helper::KTIME_GET_NS, None),
        "tai" => (Helper::KTIME_GET_TAI_NS, None),
        // For kernels that cannot read that clock in BPF, the runtime measures how far it is ahead.
        "sw_tai" => (Helper::KTIME_GET_BOOT_NS, Some(Control::TAI_OFFSET)),
        _ => return Err(lowerer.error("invalid-argument", call.span, "nsecs() takes monotonic, boot, tai or sw_tai")),
    };
    let value = now(lowerer, helper, ahead, call.span)?;
    Ok(Operand::scalar(Type::U64, value, call.span))
}

/// Nanoseconds of a clock. `ahead`: where the control map says how far that is ahead of what the
/// helper gives.
pub fn now(lowerer: &mut Lowerer, helper: Helper, ahead: Option<u32>, span: Span) -> Lowered<Ir> {
    if let Some(map) = lowerer.env.settings.clock_map.clone() {
        return clock_of_script(lowerer, &map, span);
    }
    let now = lowerer.helper(helper, vec![]);
    let Some(offset) = ahead else { return Ok(now) };
    let control = lowerer.plan.control();
    let ahead = Ir::load(Scalar::I64, Ir::MapValue { map: control, offset });
    Ok(lowerer.bind(Scalar::I64, Ir::binary(Op::Add, now, ahead)))
}

/// The time that the script itself keeps in a map (`dummy_ts_map`), so that it comes out the same
/// whenever it runs.
fn clock_of_script(lowerer: &mut Lowerer, map: &str, span: Span) -> Lowered<Ir> {
    if !lowerer.env.maps.contains_key(map) {
        if !lowerer.env.unknown_is_final() {
            return Ok(Ir::int(0));
        }
        let message = format!("@{map}, which is the clock (dummy_ts_map), is not a map of this script");
        return Err(lowerer.error("undefined-map", span, message));
    }
    let time = lowerer.read_map(map, None, span)?;
    match &time.ty {
        Type::Void => Ok(Ir::int(0)),
        Type::Integer { signed: false, .. } => lowerer.register(time),
        other => {
            let message = format!("@{map}, which is the clock (dummy_ts_map), holds {other}");
            let diagnostic = Diagnostic::error("type-mismatch", span, message);
            Err(lowerer.report(diagnostic.hint("a clock is an unsigned integer: @ts = (uint64)0")))
        }
    }
}

fn elapsed(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let control = lowerer.plan.control();
    let start = Ir::load(Scalar::I64, Ir::MapValue { map: control, offset: Control::START });
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
        let boot = Ir::load(Scalar::I64, Ir::MapValue { map: control, offset: Control::BOOT_TIME });
        value = lowerer.bind(Scalar::I64, Ir::binary(Op::Sub, value, boot));
    }
    let format = lowerer.plan.time_format(&format);
    Ok(Operand::scalar(Type::Timestamp { format }, value, call.span))
}
