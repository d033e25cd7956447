//! Printing.

use crate::diagnostics::Diagnostic;
use crate::ir::{Expr as Ir, Op, Scalar, Stmt};
use crate::plan::{EVENT_HEADER_SIZE, EventPlan, Stream};
use crate::semantics::format_string;
use crate::semantics::lower::{Lowered, Lowerer, Operand};
use crate::syntax::ast::{ExprKind, TypeOrExpr};
use crate::types::{AddressSpace, Aggregate, Type};

use super::maps::{map_argument, named_map};
use super::{CallSite, Entry, Lower, Mode, seq_file};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "printf",
        signatures: &["void printf(const string fmt, args...)"],
        documentation: "Prints formatted data as C's printf does; `%r`, `%rh` and `%rx` print buffers, `%s` also names of enums.",
        example: "tracepoint:syscalls:sys_enter_openat { printf(\"%-6d %s\\n\", pid, str(args.filename)); }",
        mode: Mode::Asynchronous,
        arguments: (1, None),
        lower: Lower::Value(|lowerer, call| {
            formatted(lowerer, call, |format, arguments| EventPlan::Printf {
                format,
                arguments,
                stream: Stream::Stdout,
            })
        }),
        ..Entry::BASE
    },
    Entry {
        name: "errorf",
        signatures: &["void errorf(const string fmt, args...)"],
        documentation: "Prints formatted data as an error, with the place in the script.",
        example: "begin { errorf(\"bad: %d\", 10); }",
        mode: Mode::Asynchronous,
        arguments: (1, None),
        lower: Lower::Value(|lowerer, call| {
            let stream = Stream::Error(lowerer.origin(call.span));
            formatted(lowerer, call, |format, arguments| EventPlan::Printf { format, arguments, stream })
        }),
        ..Entry::BASE
    },
    Entry {
        name: "warnf",
        signatures: &["void warnf(const string fmt, args...)"],
        documentation: "Prints formatted data as a warning, with the place in the script.",
        example: "begin { warnf(\"odd: %d\", 10); }",
        mode: Mode::Asynchronous,
        arguments: (1, None),
        lower: Lower::Value(|lowerer, call| {
            let stream = Stream::Warning(lowerer.origin(call.span));
            formatted(lowerer, call, |format, arguments| EventPlan::Printf { format, arguments, stream })
        }),
        ..Entry::BASE
    },
    Entry {
        name: "cat",
        signatures: &["void cat(string namefmt, [...args])"],
        documentation: "Prints the contents of a file; its name is formatted as by printf.",
        example: "begin { cat(\"/proc/loadavg\"); }",
        mode: Mode::Asynchronous,
        arguments: (1, None),
        lower: Lower::Value(|lowerer, call| {
            formatted(lowerer, call, |format, arguments| EventPlan::Cat { format, arguments })
        }),
        ..Entry::BASE
    },
    Entry {
        name: "system",
        signatures: &["void system(string namefmt [, ...args])"],
        documentation: "Runs a shell command and prints its output; the command is formatted as by printf.",
        example: "interval:s:1 { system(\"date\"); }",
        mode: Mode::Asynchronous,
        is_unsafe: true,
        arguments: (1, None),
        lower: Lower::Value(|lowerer, call| {
            formatted(lowerer, call, |format, arguments| EventPlan::System { format, arguments })
        }),
        ..Entry::BASE
    },
    Entry {
        name: "print",
        signatures: &["void print(T val)", "void print(map m [, int top [, int div]])"],
        documentation: "Prints a value with a newline, or a map: all of it, its `top` largest entries, or with values divided by `div`.",
        example: "tracepoint:raw_syscalls:sys_enter { @[comm] = count(); } interval:s:1 { print(@, 5); clear(@); }",
        mode: Mode::Asynchronous,
        arguments: (1, Some(3)),
        lower: Lower::Value(print),
        ..Entry::BASE
    },
    Entry {
        name: "join",
        signatures: &["void join(char *arr[], [char * sep = ' '])"],
        documentation: "Prints the strings of a NULL-terminated array such as `argv`, with a separator between them.",
        example: "tracepoint:syscalls:sys_enter_execve { join(args.argv); }",
        mode: Mode::Asynchronous,
        arguments: (1, Some(2)),
        lower: Lower::Value(join),
        ..Entry::BASE
    },
];

/// How many strings `join` takes, and how long each may be.
const JOIN_LIMIT: u32 = 16;

fn formatted(
    lowerer: &mut Lowerer,
    call: &CallSite,
    event: impl FnOnce(String, Vec<Type>) -> EventPlan,
) -> Lowered<Operand> {
    if let Some(Formatted { text, operands, types }) = formatted_values(lowerer, call)? {
        if lowerer.probe.prints_to_file {
            seq_file::print(lowerer, call, &text, &operands)?;
        } else {
            lowerer.send(event(text, types.clone()), &operands, &types)?;
        }
    }
    Ok(Operand::void(call.span))
}

/// A format, and values that suit it.
pub(super) struct Formatted {
    pub text: String,
    pub operands: Vec<Operand>,
    /// As they are in an event.
    pub types: Vec<Type>,
}

/// The arguments of a call such as `printf`; `None` as long as not all of their types are known.
pub(super) fn formatted_values(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Option<Formatted>> {
    let [format, values @ ..] = call.arguments else { return Ok(None) };
    let text = lowerer.constant_text(format, &format!("the format of {}()", call.name))?;
    let mut operands = Vec::new();
    for value in values {
        let value = lowerer.value_argument(value)?;
        operands.push(lowerer.expr(value)?);
    }
    if operands.iter().any(Operand::is_unknown) && !lowerer.env.unknown_is_final() {
        return Ok(None);
    }
    let types = lowerer.event_types(&operands);
    if let Err(problem) = format_string::check(&text, &types) {
        let span = operands.get(problem.argument.unwrap_or(usize::MAX)).map_or(call.span, |operand| operand.span);
        let diagnostic = Diagnostic::error("format-mismatch", span, format!("{}: {}", call.name, problem.message));
        return Err(lowerer.report(diagnostic));
    }
    Ok(Some(Formatted { text, operands, types }))
}

fn print(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [value, options @ ..] = call.arguments else { return Ok(Operand::void(call.span)) };
    if let TypeOrExpr::Expr(expr) = value
        && let ExprKind::Map { name, key } = &expr.kind
    {
        match key {
            None => return print_map(lowerer, call, value, options),
            Some(_) => return print_map_value(lowerer, call, name, value, options),
        }
    }
    if !options.is_empty() {
        return Err(lowerer.error("invalid-argument", call.span, "print() takes top and div for maps only"));
    }
    let expr = lowerer.value_argument(value)?;
    let operand = lowerer.expr(expr)?;
    if operand.is_unknown() {
        return lowerer.unknown(&operand).map(|()| Operand::void(call.span));
    }
    let types = lowerer.event_types(std::slice::from_ref(&operand));
    let ty = types.first().cloned().unwrap_or(Type::Void);
    lowerer.send(EventPlan::Print { value: ty }, &[operand], &types)?;
    Ok(Operand::void(call.span))
}

fn print_map(lowerer: &mut Lowerer, call: &CallSite, map: &TypeOrExpr, options: &[TypeOrExpr]) -> Lowered<Operand> {
    let (name, _, span) = map_argument(lowerer, call, map)?;
    let mut numbers = [0, 0];
    for (number, (option, what)) in numbers.iter_mut().zip(options.iter().zip(["top", "div"])) {
        let option = lowerer.value_argument(option)?;
        *number = lowerer.constant_u32(option, what)?;
    }
    let [top, div] = numbers;
    warn_about_print(lowerer, call, name, options);
    if let Some(map) = named_map(lowerer, name, span)? {
        lowerer.signal(EventPlan::PrintMap { map, top, div });
    }
    Ok(Operand::void(call.span))
}

fn warn_about_print(lowerer: &mut Lowerer, call: &CallSite, name: &str, options: &[TypeOrExpr]) {
    if lowerer.in_loop() {
        let message = "Due to it's asynchronous nature using 'print()' in a loop can lead to unexpected behavior. The map will likely be updated before the runtime can 'print' it.";
        lowerer.warn(Diagnostic::warning("print-in-loop", call.span, message));
    }
    let holds_stats = matches!(
        lowerer.env.maps.get(name).and_then(|map| map.value.as_ref()),
        Some(Type::Aggregate(Aggregate::Stats { .. }))
    );
    if holds_stats && !options.is_empty() {
        let message = "print()'s top and div arguments are ignored when used on stats() maps.";
        lowerer.warn(Diagnostic::warning("ignored-argument", call.span, message));
    }
}

/// `print(@x[key])`: aggregates are sent as the key alone and read by the runtime.
fn print_map_value(
    lowerer: &mut Lowerer,
    call: &CallSite,
    name: &str,
    value: &TypeOrExpr,
    options: &[TypeOrExpr],
) -> Lowered<Operand> {
    if !options.is_empty() {
        let message = "print() takes top and div for whole maps only";
        return Err(lowerer.error("invalid-argument", call.span, message));
    }
    let (_, key, span) = map_argument(lowerer, call, value)?;
    let Some(key) = key else { return Ok(Operand::void(call.span)) };
    let key_operand = lowerer.key(name, key, span)?;
    lowerer.use_map(name, Some(&key_operand), span)?;
    let entry = lowerer.entry_for(name, Some(key_operand), span)?;
    match (&entry.value, &entry.key) {
        (Type::Void, _) => {
            let expr = lowerer.value_argument(value)?;
            let operand = lowerer.expr(expr)?;
            lowerer.unknown(&operand).map(|()| operand)
        }
        (Type::Aggregate(Aggregate::Hist { .. } | Aggregate::Lhist { .. } | Aggregate::Tseries { .. }), _) => {
            let message = format!(
                "Map type {} cannot print the value of individual keys. You must print the whole map.",
                entry.value
            );
            Err(lowerer.error("print-of-key", call.span, message))
        }
        (Type::Aggregate(_), Some(address)) => {
            let key_ty = match &lowerer.env.map(name, span).key {
                crate::semantics::environment::KeyInfo::Keyed(key) => key.clone(),
                _ => Type::Void,
            };
            let event = EventPlan::PrintMapValue { map: entry.map.0 as usize };
            let key = Operand::memory(key_ty.clone(), address.clone(), span);
            let key = if key_ty.is_scalar() { lowerer.in_memory(&key_ty, address.clone(), span) } else { key };
            lowerer.send(event, &[key], &[key_ty])?;
            Ok(Operand::void(call.span))
        }
        _ => {
            let expr = lowerer.value_argument(value)?;
            let operand = lowerer.expr(expr)?;
            let ty = operand.ty.clone();
            lowerer.send(EventPlan::Print { value: ty.clone() }, &[operand], &[ty])?;
            Ok(Operand::void(call.span))
        }
    }
}

fn join(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [array, separator @ ..] = call.arguments else { return Ok(Operand::void(call.span)) };
    let separator = match separator.first() {
        Some(text) => lowerer.constant_text(text, "the separator of join()")?,
        None => " ".to_string(),
    };
    let array = lowerer.value_argument(array)?;
    let operand = lowerer.expr(array)?;
    let space = match &operand.ty {
        Type::Pointer { space, .. } => *space,
        Type::Void => return Ok(operand),
        ty if ty.is_integer() => lowerer.probe.address_space,
        other => {
            let message = format!("join() needs a pointer to an array of strings, not {other}");
            return Err(lowerer.error("type-mismatch", array.span, message));
        }
    };
    let address = lowerer.register(operand)?;
    send_strings(lowerer, address, space, separator);
    Ok(Operand::void(call.span))
}

/// Builds `{header; u32 count; u32 pad; strings}` in place and sends it.
fn send_strings(lowerer: &mut Lowerer, array: Ir, space: AddressSpace, separator: String) {
    let capacity = lowerer.env.settings.max_strlen;
    let size = EVENT_HEADER_SIZE + 8 + JOIN_LIMIT * capacity;
    let slot = Ir::Slot(lowerer.new_slot(size, 8));
    lowerer.header(EventPlan::Join { separator, capacity, limit: JOIN_LIMIT }, &slot);
    let count = lowerer.new_var(Scalar::I64);
    lowerer.emit(Stmt::Set(count, Ir::int(0)));
    let open = lowerer.new_var(Scalar::I64);
    lowerer.emit(Stmt::Set(open, Ir::int(1)));
    let strings = slot.clone().offset(EVENT_HEADER_SIZE + 8);
    for index in 0..JOIN_LIMIT {
        let (then, ()) = lowerer.nested(|lowerer| {
            let at = Ir::binary(Op::Add, array.clone(), Ir::int(8 * i64::from(index)));
            let element = lowerer.read_scalar(&Type::U64, at, space).unwrap_or(Ir::int(0));
            lowerer.emit(Stmt::Set(open, element.clone()));
            let (more, ()) = lowerer.nested(|lowerer| {
                let target = strings.clone().offset(index * capacity);
                lowerer.emit(Stmt::Zero { to: target.clone(), size: 8.min(capacity), align: 1 });
                super::strings::read_string(lowerer, target, Ir::int(i64::from(capacity)), element.clone(), space);
                lowerer.emit(Stmt::Set(count, Ir::int(i64::from(index) + 1)));
            });
            lowerer.emit(Stmt::If { condition: element.is_nonzero(), then: more, otherwise: vec![] });
        });
        lowerer.emit(Stmt::If { condition: Ir::Var(open).is_nonzero(), then, otherwise: vec![] });
    }
    let address = slot.clone().offset(EVENT_HEADER_SIZE);
    lowerer.emit(Stmt::Store { ty: Scalar::I64, address, value: Ir::Var(count) });
    lowerer.output(slot, size);
}
