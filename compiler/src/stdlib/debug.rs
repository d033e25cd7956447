//! Text for whoever debugs the script itself.

use crate::diagnostics::Diagnostic;
use crate::ir::{Expr as Ir, Helper, Stmt};
use crate::semantics::lower::{Lowered, Lowerer, Operand};
use crate::types::Type;

use super::output::{Formatted, formatted_values};
use super::{CallSite, Entry, Lower};

pub const ENTRIES: &[Entry] = &[Entry {
    name: "debugf",
    signatures: &["void debugf(const string fmt, args...)"],
    documentation: "Writes formatted text to the kernel's trace buffer (`trace_pipe` in tracefs), with up to three values. For debugging only: all of the machine's tracers share that buffer.",
    example: "begin { debugf(\"here %d\", pid); }",
    arguments: (1, None),
    lower: Lower::Value(debugf),
    ..Entry::BASE
}];

/// `bpf_trace_printk` takes five arguments; format and its size are two (bpf-helpers(7)).
const MOST_VALUES: usize = 3;

fn debugf(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let message = "The debugf() builtin is not recommended for production use. For more information see bpf_trace_printk in bpf-helpers(7).";
    lowerer.warn(Diagnostic::warning("debugf", call.span, message));
    if call.arguments.len() > MOST_VALUES + 1 {
        let message = format!("cannot use more than {MOST_VALUES} conversion specifiers");
        return Err(lowerer.error("wrong-argument-count", call.span, message));
    }
    let Some(Formatted { text, operands, .. }) = formatted_values(lowerer, call)? else {
        return Ok(Operand::void(call.span));
    };
    let mut bytes = kernel_format(&text).into_bytes();
    bytes.push(0);
    let size = bytes.len() as u32;
    let slot = Ir::Slot(lowerer.new_slot(size, 8));
    lowerer.emit(Stmt::Bytes { to: slot.clone(), bytes, align: 8 });
    let mut arguments = vec![slot, Ir::int(i64::from(size))];
    for operand in operands {
        arguments.push(match &operand.ty {
            Type::String { .. } => lowerer.address_of(&operand)?,
            _ => lowerer.register(operand)?,
        });
    }
    lowerer.helper(Helper::TRACE_PRINTK, arguments);
    Ok(Operand::void(call.span))
}

/// The kernel reads integers as wide as the format says; all of them have 64 bits here. Widths and
/// precisions it does not know.
fn kernel_format(format: &str) -> String {
    let mut out = String::new();
    let mut rest = format.chars().peekable();
    while let Some(character) = rest.next() {
        out.push(character);
        if character != '%' {
            continue;
        }
        while rest.next_if(|c| matches!(c, '-' | '+' | ' ' | '#' | '.' | 'l' | 'h' | '0'..='9')).is_some() {}
        match rest.next() {
            Some(conversion @ ('d' | 'i' | 'u' | 'x')) => out.extend(['l', 'l', conversion]),
            Some('X') => out.push_str("llx"),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::kernel_format;

    #[test]
    fn integers_are_read_as_64_bits() {
        assert_eq!(kernel_format("%d %-5lu %llx %s 100%%"), "%lld %llu %llx %s 100%%");
    }
}
