//! Map value functions: what is assigned to a map and aggregated per CPU.

use crate::ir::Expr as Ir;
use crate::semantics::lower::aggregates::Update;
use crate::semantics::lower::{Lowered, Lowerer};
use crate::types::{Aggregate, Combine};

use super::{CallSite, Entry, Lower};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "count",
        signatures: &["count_t count()"],
        documentation: "Counts how often it is called; safe and cheap on many CPUs, unlike `@++`.",
        example: "tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }",
        lower: Lower::Aggregate(|_, _| Ok(Update { aggregate: Aggregate::Count, value: Ir::int(1) })),
        ..Entry::BASE
    },
    Entry {
        name: "sum",
        signatures: &["sum_t sum(int64 n)"],
        documentation: "The sum of all `n`.",
        example: "tracepoint:syscalls:sys_exit_read /args.ret > 0/ { @bytes[comm] = sum(args.ret); }",
        arguments: (1, Some(1)),
        lower: Lower::Aggregate(|lowerer, call| of_value(lowerer, call, |signed| Aggregate::Sum { signed })),
        ..Entry::BASE
    },
    Entry {
        name: "avg",
        signatures: &["avg_t avg(int64 n)"],
        documentation: "The average of all `n`.",
        example: "tracepoint:syscalls:sys_exit_read { @[comm] = avg(args.ret); }",
        arguments: (1, Some(1)),
        lower: Lower::Aggregate(|lowerer, call| of_value(lowerer, call, |signed| Aggregate::Avg { signed })),
        ..Entry::BASE
    },
    Entry {
        name: "min",
        signatures: &["min_t min(int64 n)"],
        documentation: "The smallest `n`.",
        example: "tracepoint:syscalls:sys_exit_read { @[comm] = min(args.ret); }",
        arguments: (1, Some(1)),
        lower: Lower::Aggregate(|lowerer, call| of_value(lowerer, call, |signed| Aggregate::Min { signed })),
        ..Entry::BASE
    },
    Entry {
        name: "max",
        signatures: &["max_t max(int64 n)"],
        documentation: "The largest `n`.",
        example: "tracepoint:syscalls:sys_exit_read { @[comm] = max(args.ret); }",
        arguments: (1, Some(1)),
        lower: Lower::Aggregate(|lowerer, call| of_value(lowerer, call, |signed| Aggregate::Max { signed })),
        ..Entry::BASE
    },
    Entry {
        name: "stats",
        signatures: &["stats_t stats(int64 n)"],
        documentation: "Count, average and total of all `n`.",
        example: "tracepoint:syscalls:sys_exit_read { @[comm] = stats(args.ret); }",
        arguments: (1, Some(1)),
        lower: Lower::Aggregate(|lowerer, call| of_value(lowerer, call, |signed| Aggregate::Stats { signed })),
        ..Entry::BASE
    },
    Entry {
        name: "hist",
        signatures: &["hist_t hist(int64 n[, int k])"],
        documentation: "A log2 histogram of `n` with 2^k buckets for each power of 2; k is 0 to 5, and 0 if left out.",
        example: "tracepoint:syscalls:sys_exit_read { @ = hist(args.ret); }",
        arguments: (1, Some(2)),
        lower: Lower::Aggregate(hist),
        ..Entry::BASE
    },
    Entry {
        name: "lhist",
        signatures: &["lhist_t lhist(int64 n, int64 min, int64 max, int64 step)"],
        documentation: "A linear histogram of `n` with a bucket for each `step` from `min` up to `max`, and one for what lies below and above.",
        example: "tracepoint:syscalls:sys_exit_read { @ = lhist(args.ret, 0, 1000, 100); }",
        arguments: (4, Some(4)),
        lower: Lower::Aggregate(lhist),
        ..Entry::BASE
    },
    Entry {
        name: "tseries",
        signatures: &[
            "tseries_t tseries(int64 n, int64 interval_ns, int64 num_intervals)",
            "tseries_t tseries(int64 n, int64 interval_ns, int64 num_intervals, const string agg)",
        ],
        documentation: "A time series of `n` over the last `num_intervals` intervals of `interval_ns`. Values of one interval are combined by `agg`: avg, max, min, sum; without it the last one holds.",
        example: "interval:ms:10 { @ = tseries(rand % 10, 100ms, 20, \"max\"); }",
        arguments: (3, Some(4)),
        lower: Lower::Aggregate(tseries),
        ..Entry::BASE
    },
];

/// The most buckets of a linear histogram.
const LHIST_BUCKETS: u32 = 1000;
/// The most intervals of a time series.
const TSERIES_INTERVALS: i64 = 1_000_000;

/// The first argument as a register, and whether it is signed.
fn value(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<(Ir, bool)> {
    let Some(argument) = call.arguments.first() else { return Ok((Ir::int(0), true)) };
    let argument = lowerer.value_argument(argument)?;
    let operand = lowerer.expr(argument)?;
    let signed = operand.ty.is_signed();
    if !operand.is_unknown() && !operand.ty.is_scalar() {
        let message = format!("{}() only supports integer arguments ({} provided)", call.name, operand.ty);
        return Err(lowerer.error("type-mismatch", argument.span, message));
    }
    Ok((lowerer.register(operand)?, signed))
}

fn of_value(lowerer: &mut Lowerer, call: &CallSite, aggregate: fn(bool) -> Aggregate) -> Lowered<Update> {
    let (value, signed) = value(lowerer, call)?;
    Ok(Update { aggregate: aggregate(signed), value })
}

fn constant(lowerer: &mut Lowerer, call: &CallSite, index: usize, what: &str) -> Lowered<i64> {
    let Some(argument) = call.arguments.get(index) else { return Ok(0) };
    let argument = lowerer.value_argument(argument)?;
    lowerer.constant_integer(argument, what)
}

fn hist(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Update> {
    let (value, _) = value(lowerer, call)?;
    let k = constant(lowerer, call, 1, "k of hist()")?;
    match u8::try_from(k) {
        Ok(k @ 0..=5) => Ok(Update { aggregate: Aggregate::Hist { k }, value }),
        _ => Err(lowerer.error("constant-range", call.span, format!("hist: k must be 0 to 5, not {k}"))),
    }
}

fn lhist(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Update> {
    let (value, _) = value(lowerer, call)?;
    let min = constant(lowerer, call, 1, "min of lhist()")?;
    let max = constant(lowerer, call, 2, "max of lhist()")?;
    let step = constant(lowerer, call, 3, "step of lhist()")?;
    let problem = if step <= 0 {
        Some(format!("lhist: step must be >= 1 ({step} provided)"))
    } else if min < 0 {
        Some(format!("lhist: invalid min value (must be non-negative literal): {min} provided"))
    } else if max <= min {
        Some(format!("lhist: max must be greater than min ({max} and {min} provided)"))
    } else if max.checked_sub(min).is_none_or(|range| range < step) {
        Some(format!("lhist: step is too large for the range {min} to {max}"))
    } else {
        None
    };
    let aggregate = Aggregate::Lhist { min, max, step };
    let problem = problem.or_else(|| {
        let buckets = aggregate.lhist_buckets();
        (buckets > LHIST_BUCKETS + 2)
            .then(|| format!("lhist: {buckets} buckets are too many; {LHIST_BUCKETS} is the limit"))
    });
    match problem {
        Some(message) => Err(lowerer.error("constant-range", call.span, message)),
        None => Ok(Update { aggregate, value }),
    }
}

fn tseries(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Update> {
    let (value, signed) = value(lowerer, call)?;
    let state = lowerer.env.settings.unstable.tseries;
    lowerer.require_stable("tseries", "unstable_tseries", state, call.span)?;
    let interval = constant(lowerer, call, 1, "the interval of tseries()")?;
    let intervals = constant(lowerer, call, 2, "the number of intervals of tseries()")?;
    if interval <= 0 || !(1..=TSERIES_INTERVALS).contains(&intervals) {
        let message = format!("tseries: needs an interval above 0 and 1 to {TSERIES_INTERVALS} intervals");
        return Err(lowerer.error("constant-range", call.span, message));
    }
    let combine = match call.arguments.get(3) {
        None => Combine::Last,
        Some(argument) => match lowerer.constant_text(argument, "the aggregation of tseries()")?.as_str() {
            "avg" => Combine::Avg,
            "max" => Combine::Max,
            "min" => Combine::Min,
            "sum" => Combine::Sum,
            "last" => Combine::Last,
            other => {
                let message = format!("tseries: unknown aggregation \"{other}\"; it is avg, max, min, sum or last");
                return Err(lowerer.error("invalid-argument", call.span, message));
            }
        },
    };
    let aggregate = Aggregate::Tseries { interval_ns: interval as u64, intervals: intervals as u32, combine, signed };
    Ok(Update { aggregate, value })
}
