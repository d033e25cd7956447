//! Questions about expressions, answered while the script is compiled; and assertions on them.

use crate::ir::{Expr as Ir, Op, Scalar};
use crate::semantics::environment::KeyInfo;
use crate::semantics::lower::{Lowered, Lowerer, Operand, Repr, text_literal};
use crate::syntax::ast::{ExprKind, TypeOrExpr, UnaryOp};
use crate::types::Type;

use super::probe::outside_of_functions;
use super::search::is_string_like;
use super::{CallSite, Entry, Lower, Mode};

/// What the entries for the kinds of types share.
const KIND: Entry = Entry { mode: Mode::CompileTime, arguments: (1, Some(1)), ..Entry::BASE };

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "is_array",
        signatures: &["bool is_array(any expression)"],
        documentation: "Whether an expression is an array.",
        example: "begin { print(is_array(pton(\"127.0.0.1\"))); }",
        lower: Lower::Value(|lowerer, call| about_type(lowerer, call, |ty| matches!(ty, Type::Array { .. }))),
        ..KIND
    },
    Entry {
        name: "is_integer",
        signatures: &["bool is_integer(any expression)"],
        documentation: "Whether an expression is an integer.",
        example: "begin { print(is_integer(pid)); }",
        lower: Lower::Value(|lowerer, call| about_type(lowerer, call, Type::is_integer)),
        ..KIND
    },
    Entry {
        name: "is_unsigned_integer",
        signatures: &["bool is_unsigned_integer(any expression)"],
        documentation: "Whether an expression is an unsigned integer.",
        example: "begin { print(is_unsigned_integer(pid)); }",
        lower: Lower::Value(|lowerer, call| about_type(lowerer, call, |ty| ty.is_integer() && !ty.is_signed())),
        ..KIND
    },
    Entry {
        name: "is_ptr",
        signatures: &["bool is_ptr(any expression)"],
        documentation: "Whether an expression is a pointer.",
        example: "begin { print(is_ptr(curtask)); }",
        lower: Lower::Value(|lowerer, call| about_type(lowerer, call, |ty| matches!(ty, Type::Pointer { .. }))),
        ..KIND
    },
    Entry {
        name: "is_str",
        signatures: &["bool is_str(any expression)"],
        documentation: "Whether an expression is a string.",
        example: "begin { print(is_str(comm)); }",
        lower: Lower::Value(|lowerer, call| about_type(lowerer, call, |ty| matches!(ty, Type::String { .. }))),
        ..KIND
    },
    Entry {
        name: "is_literal",
        signatures: &["bool is_literal(Expression expr)"],
        documentation: "Whether an expression is a literal: `1`, `true`, `\"text\"`.",
        example: "begin { print(is_literal(\"text\")); }",
        lower: Lower::Value(is_literal),
        ..KIND
    },
    Entry {
        name: "is_scalar",
        signatures: &["bool is_scalar(map m)"],
        documentation: "Whether a map has no keys.",
        example: "begin { @x = 1; print(is_scalar(@x)); }",
        lower: Lower::Value(is_scalar),
        ..KIND
    },
    Entry {
        name: "is_err",
        signatures: &["bool is_err(void * ptr)"],
        documentation: "Whether a pointer of the kernel's is an error number instead (`IS_ERR()`): one of the last 4095 addresses.",
        example: "kretprobe:do_filp_open { if (is_err(retval)) { printf(\"%d\\n\", (int64)retval); } }",
        arguments: (1, Some(1)),
        lower: Lower::Value(is_error),
        ..Entry::BASE
    },
    Entry {
        name: "probetype",
        signatures: &["string probetype()", "string probetype"],
        documentation: "The type of the probe that fired: `kprobe`, `tracepoint`; `special` for `begin` and `end`.",
        example: "tracepoint:syscalls:sys_enter_read, profile:hz:9 { @[probetype] = count(); }",
        mode: Mode::CompileTime,
        lower: Lower::Value(|lowerer, call| {
            outside_of_functions(lowerer, call)?;
            let name = match lowerer.probe.provider {
                "begin" | "end" | "self" => "special",
                other => other,
            };
            Ok(text_literal(name.to_string(), call.span))
        }),
        ..Entry::BASE
    },
    Entry {
        name: "assert_str",
        signatures: &["void assert_str(any expression)"],
        documentation: "Refuses the script unless the expression is a string, or an array of or a pointer to `char`.",
        example: "begin { assert_str(comm); }",
        lower: Lower::Value(require_string),
        ..KIND
    },
    Entry {
        name: "static_assert",
        signatures: &["void static_assert(bool condition, const string message)"],
        documentation: "Refuses the script with a message unless the condition, known when it is compiled, holds.",
        example: "begin { static_assert(sizeof(int64) == 8, \"odd\"); }",
        mode: Mode::CompileTime,
        arguments: (2, Some(2)),
        lower: Lower::Value(static_assert),
        ..Entry::BASE
    },
];

/// The highest error number (`MAX_ERRNO` in `linux/err.h`).
const MAX_ERRNO: i64 = 4095;

fn truth(value: bool, call: &CallSite) -> Operand {
    Operand::scalar(Type::Bool, Ir::int(i64::from(value)), call.span)
}

fn about_type(lowerer: &mut Lowerer, call: &CallSite, holds: fn(&Type) -> bool) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    match lowerer.type_of(argument)? {
        Type::Void if !lowerer.env.unknown_is_final() => Ok(Operand::void(call.span)),
        ty => Ok(truth(holds(&ty), call)),
    }
}

fn is_literal(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let expr = lowerer.value_argument(argument)?;
    let literal = match &expr.kind {
        ExprKind::Integer(_) | ExprKind::String(_) | ExprKind::Bool(_) | ExprKind::Positional(_) => true,
        ExprKind::Unary { operator: UnaryOp::Negate, operand } => matches!(operand.kind, ExprKind::Integer(_)),
        _ => false,
    };
    Ok(truth(literal, call))
}

fn is_scalar(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let expr = lowerer.value_argument(argument)?;
    let ExprKind::Map { name, key: None } = &expr.kind else {
        return Err(lowerer.error("not-a-map", expr.span, "is_scalar() takes a map without a key"));
    };
    let key = lowerer.env.map(name, expr.span).key.clone();
    match key {
        KeyInfo::Unknown if !lowerer.env.unknown_is_final() => Ok(Operand::void(call.span)),
        key => Ok(truth(!matches!(key, KeyInfo::Keyed(_)), call)),
    }
}

fn is_error(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let argument = lowerer.value_argument(argument)?;
    let operand = lowerer.expr(argument)?;
    match &operand.ty {
        Type::Void => return lowerer.unknown(&operand).map(|()| operand),
        Type::Pointer { .. } => {}
        ty if ty.is_integer() => {}
        other => {
            let message = format!("is_err() takes a pointer, not {other}");
            return Err(lowerer.error("type-mismatch", operand.span, message));
        }
    }
    let address = lowerer.register(operand)?;
    let is_error = Ir::binary(Op::ULe, Ir::int(-MAX_ERRNO), address).bool_to_int();
    let is_error = lowerer.bind(Scalar::I64, is_error);
    Ok(Operand::scalar(Type::Bool, is_error, call.span))
}

fn require_string(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    match lowerer.type_of(argument)? {
        Type::Void if !lowerer.env.unknown_is_final() => {}
        ty if is_string_like(&ty) => {}
        ty => {
            let message = format!("string-like values must be strings, or arrays of or pointers to char, not {ty}");
            return Err(lowerer.error("type-mismatch", call.span, message));
        }
    }
    Ok(Operand::void(call.span))
}

fn static_assert(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [condition, message] = call.arguments else { return Ok(Operand::void(call.span)) };
    let message = lowerer.constant_text(message, "the message of static_assert()")?;
    let condition: &TypeOrExpr = condition;
    let condition = lowerer.value_argument(condition)?;
    let operand = lowerer.expr(condition)?;
    if operand.is_unknown() && !lowerer.env.unknown_is_final() {
        return Ok(Operand::void(call.span));
    }
    let holds = match (&operand.repr, operand.constant()) {
        (Repr::Text(text), _) => Some(!text.is_empty()),
        (_, value) => value.map(|value| value != 0),
    };
    match holds {
        Some(true) => Ok(Operand::void(call.span)),
        Some(false) => Err(lowerer.error("static-assert", call.span, message)),
        None => {
            let message = "the condition of static_assert() must be known when the script is compiled";
            Err(lowerer.error("not-a-constant", condition.span, message))
        }
    }
}
