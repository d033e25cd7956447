//! Ending the script.

use crate::ir::{Conversion, Expr as Ir, Scalar, Stmt};
use crate::plan::{Control, EventPlan, ProgramKind, Stream};
use crate::semantics::format_string;
use crate::semantics::lower::{Lowered, Lowerer, Operand, Repr};
use crate::types::Type;

use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "exit",
        signatures: &["void exit([int code])"],
        documentation: "Ends the cell or script, as an interrupt would: `end` probes run and maps are printed. An iterator goes over everything before that.",
        example: "interval:s:5 { exit(); }",
        mode: Mode::Asynchronous,
        arguments: (0, Some(1)),
        lower: Lower::Value(exit),
        ..Entry::BASE
    },
    Entry {
        name: "assert",
        signatures: &["void assert(bool condition, string message)"],
        documentation: "Ends the script with an error and the exit code 1 if the condition does not hold.",
        example: "begin { assert(pid > 1, \"who am I\"); }",
        mode: Mode::Asynchronous,
        arguments: (2, Some(2)),
        lower: Lower::Value(assert),
        ..Entry::BASE
    },
    Entry {
        name: "fail",
        signatures: &["void fail(const string fmt, args...)"],
        documentation: "Refuses the script with a message, formatted as by printf from literals, unless the place is found unreachable when it is compiled.",
        example: "begin { if ($# > 0) { if ($1 < 2) { fail(\"expected more than 1, got %d\", $1); } } }",
        mode: Mode::CompileTime,
        arguments: (1, None),
        lower: Lower::Value(fail),
        ..Entry::BASE
    },
];

/// [`Control::EXIT`] after `exit()`, and after a failed assertion.
const EXITED: i64 = 1;
const FAILED: i64 = 2;

fn exit(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let code = match call.arguments.first() {
        Some(code) => {
            let code = lowerer.value_argument(code)?;
            lowerer.integer(code)?
        }
        None => Ir::int(0),
    };
    leave(lowerer, code, EXITED);
    Ok(Operand::void(call.span))
}

/// Tells the runtime through the control map, which a full ring buffer cannot delay, closes the
/// gate for all other probes, and leaves.
fn leave(lowerer: &mut Lowerer, code: Ir, how: i64) {
    // After exit(), an iterator goes over everything nevertheless, as in bpftrace.
    let goes_on = how == EXITED && lowerer.probe.kind == ProgramKind::Iter;
    let control = lowerer.plan.control();
    let mut set = |offset: u32, value: Ir| {
        let address = Ir::MapValue { map: control, offset };
        let value = match value {
            Ir::Const { value, .. } => Ir::Const { ty: Scalar::I32, value },
            value => Ir::convert(Conversion::Truncate, Scalar::I32, value),
        };
        lowerer.emit(Stmt::Store { ty: Scalar::I32, address, value });
    };
    set(Control::EXIT_CODE, code);
    set(Control::EXIT, Ir::int(how));
    if !goes_on {
        set(Control::GATE, Ir::int(0));
    }
    lowerer.emit(Stmt::Return(None));
}

fn assert(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [condition, message] = call.arguments else { return Ok(Operand::void(call.span)) };
    let condition = lowerer.value_argument(condition)?;
    let condition = lowerer.condition(condition)?;
    let message = lowerer.value_argument(message)?;
    let (otherwise, sent) = lowerer.nested(|lowerer| {
        let message = lowerer.expr(message)?;
        if !message.is_unknown() && !matches!(message.ty, Type::String { .. }) {
            let text = format!("the message of assert() is a string, not {}", message.ty);
            return Err(lowerer.error("type-mismatch", message.span, text));
        }
        let types = vec![message.ty.clone()];
        let format = "assert failed: %s".to_string();
        let event =
            EventPlan::Printf { format, arguments: types.clone(), stream: Stream::Error(lowerer.origin(call.span)) };
        lowerer.send(event, &[message], &types)?;
        leave(lowerer, Ir::int(1), FAILED);
        Ok(())
    });
    sent?;
    lowerer.emit(Stmt::If { condition, then: vec![], otherwise });
    Ok(Operand::void(call.span))
}

fn fail(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [format, values @ ..] = call.arguments else { return Ok(Operand::void(call.span)) };
    let format = lowerer.constant_text(format, "the message of fail()")?;
    let (mut texts, mut types) = (Vec::new(), Vec::new());
    for value in values {
        let value = lowerer.value_argument(value)?;
        let operand = lowerer.expr(value)?;
        if operand.is_unknown() && !lowerer.env.unknown_is_final() {
            return Ok(Operand::void(call.span));
        }
        types.push(operand.ty.clone());
        texts.push(match (&operand.repr, operand.constant()) {
            (Repr::Text(text), _) => text.clone(),
            (_, Some(number)) if operand.ty.is_signed() => number.to_string(),
            (_, Some(number)) => (number as u64).to_string(),
            _ => return Err(lowerer.error("not-a-constant", value.span, "fail() takes literals only")),
        });
    }
    if let Err(problem) = format_string::check(&format, &types) {
        return Err(lowerer.error("format-mismatch", call.span, format!("fail: {}", problem.message)));
    }
    if lowerer.is_never_run() {
        return Ok(Operand::void(call.span));
    }
    Err(lowerer.error("fail", call.span, format_string::fill_in(&format, &texts)))
}
