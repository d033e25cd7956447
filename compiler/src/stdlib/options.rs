//! Parameters of the script that have names.

use crate::diagnostics::Diagnostic;
use crate::ir::Expr as Ir;
use crate::semantics::lower::{Lowered, Lowerer, Operand, Repr, text_literal};
use crate::syntax::ast::Span;
use crate::types::Type;

use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[Entry {
    name: "getopt",
    signatures: &[
        "bool getopt(const string name)",
        "bool getopt(const string name, bool default [, const string description])",
        "int getopt(const string name, int default [, const string description])",
        "string getopt(const string name, const string default [, const string description])",
    ],
    documentation: "A named parameter of the script: `--name=value` after `--` on the command line, `%opt name=value` in a cell. Its type is that of the default; without one it is a boolean, true if the parameter is passed.",
    example: "interval:s:1 { @seconds++; if (@seconds >= getopt(\"limit\", 10, \"seconds to run\")) { exit(); } }",
    mode: Mode::CompileTime,
    arguments: (1, Some(3)),
    lower: Lower::Value(getopt),
    ..Entry::BASE
}];

/// What the default says a parameter is.
enum Default {
    Bool(bool),
    Integer { value: i64, signed: bool },
    Text(String),
}

fn getopt(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(name) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let name = lowerer.constant_text(name, "the name of an option")?;
    if let Some(description) = call.arguments.get(2) {
        lowerer.constant_text(description, "the description of an option")?;
    }
    let default = default(lowerer, call)?;
    // The last one counts, as on command lines.
    let passed = lowerer.env.named.iter().rev().find(|parameter| parameter.name == name).cloned();
    let value = match &passed {
        None => Ok(default),
        Some(passed) => read(passed.value.as_deref(), &default),
    };
    match value {
        Ok(value) => Ok(operand(value, call)),
        Err(problem) => {
            let place = passed.as_ref().and_then(|passed| passed.place);
            let shown = passed.and_then(|passed| passed.value).unwrap_or_else(|| "true".to_string());
            let message = format!("program command line option --{name} {problem} (value: {shown})");
            let diagnostic = Diagnostic::error("wrong-option-value", place.unwrap_or(Span::NOWHERE), message);
            Err(lowerer.report(diagnostic.also(call.span, "the script asks for it here")))
        }
    }
}

fn default(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Default> {
    let Some(argument) = call.arguments.get(1) else { return Ok(Default::Bool(false)) };
    let expr = lowerer.value_argument(argument)?;
    let operand = lowerer.expr(expr)?;
    match (&operand.ty, operand.constant(), operand.repr) {
        (_, _, Repr::Text(text)) => Ok(Default::Text(text)),
        (Type::Bool, Some(value), _) => Ok(Default::Bool(value != 0)),
        (ty, Some(value), _) if ty.is_integer() => Ok(Default::Integer { value, signed: ty.is_signed() && value < 0 }),
        _ => Err(lowerer.error("not-a-constant", expr.span, "the default of an option must be a literal")),
    }
}

/// What was passed, as the type of the default; `None` stands for the bare name.
fn read(text: Option<&str>, default: &Default) -> Result<Default, &'static str> {
    match (default, text) {
        (Default::Bool(_), None) => Ok(Default::Bool(true)),
        (Default::Bool(_), Some(text)) if text == "1" || text.eq_ignore_ascii_case("true") => Ok(Default::Bool(true)),
        (Default::Bool(_), Some(text)) if text == "0" || text.eq_ignore_ascii_case("false") => Ok(Default::Bool(false)),
        (Default::Bool(_), Some(_)) => Err("expects a boolean, true or false"),
        (Default::Integer { .. }, None) => Err("expects an integer"),
        (Default::Integer { signed, .. }, Some(text)) => {
            Ok(Default::Integer { value: integer(text, *signed)?, signed: *signed })
        }
        (Default::Text(_), None) => Err("expects a string"),
        (Default::Text(_), Some(text)) => Ok(Default::Text(text.to_string())),
    }
}

/// An integer in decimal, `0x` hexadecimal or `0` octal. Options with a negative default take a
/// sign, the others reach to 2^64.
fn integer(text: &str, signed: bool) -> Result<i64, &'static str> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) || negative && !signed {
        return Err("invalid integer");
    }
    let out_of_range = "value is out of range";
    let value = u64::from_str_radix(digits, radix).map_err(|_| out_of_range)?;
    match (signed, negative) {
        (false, _) => Ok(value.cast_signed()),
        (true, false) => i64::try_from(value).map_err(|_| out_of_range),
        (true, true) => 0i64.checked_sub_unsigned(value).ok_or(out_of_range),
    }
}

fn operand(value: Default, call: &CallSite) -> Operand {
    match value {
        Default::Bool(value) => Operand::scalar(Type::Bool, Ir::int(i64::from(value)), call.span),
        Default::Integer { value, signed: true } => Operand::scalar(Type::I64, Ir::int(value), call.span),
        // Adapts to a signed operand as a literal does.
        Default::Integer { value, signed: false } => {
            Operand { flexible: value >= 0, ..Operand::scalar(Type::U64, Ir::int(value), call.span) }
        }
        Default::Text(text) => text_literal(text, call.span),
    }
}

#[cfg(test)]
mod tests {
    use super::integer;

    #[test]
    fn integers_of_every_kind() {
        assert_eq!(integer("0xffffffffffffffff", false), Ok(-1));
        assert_eq!(integer("-10", true), Ok(-10));
        assert_eq!(integer("-9223372036854775808", true), Ok(i64::MIN));
        assert_eq!(integer("017", false), Ok(15));
        assert_eq!(integer("0", false), Ok(0));
        for wrong in ["", "-", "x", "0x", "1 ", "+1", "-1", "08", "False"] {
            assert_eq!(integer(wrong, false), Err("invalid integer"), "{wrong}");
        }
        assert_eq!(integer("18446744073709551616", false), Err("value is out of range"));
        assert_eq!(integer("9223372036854775808", true), Err("value is out of range"));
    }
}
