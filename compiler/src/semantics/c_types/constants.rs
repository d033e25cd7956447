//! Constant expressions: array lengths, bitfield widths, enumerators, macros, `#if`.

use crate::diagnostics::Diagnostic;
use crate::kernel_info::KernelInfo;
use crate::syntax::ast::Span;

use super::parser::{self, Text};
use super::tree::{Expression, ExpressionKind, MacroBody};
use super::{CTypes, LONGEST_CHAIN, Macro, MacroValue, reader};

/// What an expression may refer to.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub types: &'a CTypes,
    pub info: &'a dyn KernelInfo,
    /// Enumerators of the enumeration that is being read.
    pub enumerators: &'a [(String, i64)],
    /// In `#if` a name that nothing defines is 0.
    pub unknown_is_zero: bool,
    /// How many macros may still stand for one another.
    pub depth: u32,
}

impl<'a> Scope<'a> {
    pub fn new(types: &'a CTypes, info: &'a dyn KernelInfo) -> Scope<'a> {
        Scope { types, info, enumerators: &[], unknown_is_zero: false, depth: LONGEST_CHAIN }
    }
}

type Value = Result<i128, Diagnostic>;

/// The value of an expression.
pub fn evaluate(expression: &Expression, scope: Scope) -> Value {
    let span = expression.span;
    let value = match expression.kind.as_ref() {
        ExpressionKind::Integer(value) => *value,
        ExpressionKind::Name(name) => named(name, span, scope)?,
        ExpressionKind::Defined(name) => i128::from(scope.types.macros.contains_key(name)),
        ExpressionKind::Sizeof(of) => i128::from(reader::size_of(scope, of)?),
        ExpressionKind::Sign(sign, of) => {
            let value = evaluate(of, scope)?;
            match sign {
                '-' => -value,
                '~' => !value,
                '!' => i128::from(value == 0),
                _ => value,
            }
        }
        ExpressionKind::Cast(to, of) => {
            let value = evaluate(of, scope)?;
            reader::cast(scope, to, value)?
        }
        ExpressionKind::Conditional(condition, then, otherwise) => {
            let chosen = if evaluate(condition, scope)? != 0 { then } else { otherwise };
            evaluate(chosen, scope)?
        }
        ExpressionKind::Binary(operator, left, right) => {
            let (l, r) = (evaluate(left, scope)?, evaluate(right, scope)?);
            binary(operator, l, r).ok_or_else(|| {
                let message = format!("{l} {operator} {r} has no value");
                Diagnostic::error("invalid-constant", span, message)
            })?
        }
    };
    // 64 bits, read as signed or unsigned.
    if value < i128::from(i64::MIN) || value > i128::from(u64::MAX) {
        return Err(Diagnostic::error("integer-overflow", span, "this constant does not fit 64 bits"));
    }
    Ok(value)
}

fn named(name: &str, span: Span, scope: Scope) -> Value {
    if let Some((_, value)) = scope.enumerators.iter().find(|(it, _)| it == name) {
        return Ok(i128::from(*value));
    }
    if let Some(found) = scope.types.macros.get(name).filter(|found| found.parameters.is_none()) {
        let Some(depth) = scope.depth.checked_sub(1) else {
            return Err(Diagnostic::error("invalid-constant", span, format!("{name} is defined by itself")));
        };
        return match macro_value(scope.types, scope.info, found, depth)? {
            MacroValue::Integer(value) => Ok(value),
            MacroValue::Text(_) => {
                Err(Diagnostic::error("invalid-constant", span, format!("{name} is a string, not an integer")))
            }
        };
    }
    match scope.types.enum_constant(name, scope.info) {
        Some((_, value)) => Ok(i128::from(value)),
        None if scope.unknown_is_zero => Ok(0),
        None => Err(Diagnostic::error("unknown-name", span, format!("unknown constant {name}"))),
    }
}

/// What a macro stands for.
pub fn macro_value(types: &CTypes, info: &dyn KernelInfo, found: &Macro, depth: u32) -> Result<MacroValue, Diagnostic> {
    let text = Text { text: &found.text, span: found.span };
    let body = parser::macro_value(text).map_err(|_| {
        let message = "this macro stands neither for an integer nor for a string";
        Diagnostic::error("not-supported-yet", found.span, message)
    })?;
    match body {
        MacroBody::Text(text) => Ok(MacroValue::Text(text)),
        MacroBody::Expression(value) => {
            if let ExpressionKind::Name(name) = value.kind.as_ref()
                && let Some(other) = types.macros.get(name)
                && depth > 0
            {
                return macro_value(types, info, other, depth - 1);
            }
            evaluate(&value, Scope { depth, ..Scope::new(types, info) }).map(MacroValue::Integer)
        }
    }
}

/// C's arithmetic; `None` where it is undefined.
fn binary(operator: &str, l: i128, r: i128) -> Option<i128> {
    let shift = || u32::try_from(r).ok().filter(|by| *by < 64);
    Some(match operator {
        "||" => i128::from(l != 0 || r != 0),
        "&&" => i128::from(l != 0 && r != 0),
        "|" => l | r,
        "^" => l ^ r,
        "&" => l & r,
        "==" => i128::from(l == r),
        "!=" => i128::from(l != r),
        "<" => i128::from(l < r),
        ">" => i128::from(l > r),
        "<=" => i128::from(l <= r),
        ">=" => i128::from(l >= r),
        "<<" => l << shift()?,
        ">>" => l >> shift()?,
        "+" => l + r,
        "-" => l - r,
        "*" => l.checked_mul(r)?,
        "/" => l.checked_div(r)?,
        "%" => l.checked_rem(r)?,
        _ => return None,
    })
}
