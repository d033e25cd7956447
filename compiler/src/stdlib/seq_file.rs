//! `printf` in a pinned iterator: the kernel formats, and whoever reads the pin gets the text.

use crate::diagnostics::Diagnostic;
use crate::ir::{Conversion, Expr as Ir, Helper, Scalar, Stmt};
use crate::semantics::lower::{Lowered, Lowerer, Operand};
use crate::types::Type;

use super::CallSite;

/// `MAX_BPRINTF_VARARGS` of `linux/bpf.h`.
const MOST_ARGUMENTS: usize = 12;

/// Writes to the file that the iterator's context names: `meta->seq`, each the first member.
pub fn print(lowerer: &mut Lowerer, call: &CallSite, format: &str, operands: &[Operand]) -> Lowered<()> {
    if operands.len() > MOST_ARGUMENTS {
        let message = format!("a pinned iterator prints at most {MOST_ARGUMENTS} values at once");
        return Err(lowerer.error("format-mismatch", call.span, message));
    }
    let format = match kernel_format(format, operands) {
        Ok(format) => format,
        Err(conversion) => {
            let message = format!("a pinned iterator cannot print %{conversion}: the kernel formats its output");
            let diagnostic = Diagnostic::error("format-mismatch", call.span, message);
            return Err(lowerer.report(diagnostic.hint("it knows %d, %u, %x, %c, %p and %s of strings, with a width")));
        }
    };
    let size = 8 * operands.len() as u32;
    let data = Ir::Slot(lowerer.new_slot(size.max(8), 8));
    for (index, operand) in operands.iter().enumerate() {
        let value = match &operand.ty {
            Type::String { .. } => lowerer.address_of(operand)?,
            _ => lowerer.register(operand.clone())?,
        };
        let address = data.clone().offset(8 * index as u32);
        lowerer.emit(Stmt::Store { ty: Scalar::I64, address, value });
    }
    let mut bytes = format.into_bytes();
    bytes.push(0);
    let length = bytes.len() as u32;
    let text = Ir::Slot(lowerer.new_slot(length, 8));
    lowerer.emit(Stmt::Bytes { to: text.clone(), bytes, align: 8 });
    let meta = lowerer.bind(Scalar::Pointer, Ir::load(Scalar::Pointer, Ir::Context));
    let file = lowerer.bind(Scalar::I64, Ir::load(Scalar::I64, meta));
    let data = if size > 0 { data } else { Ir::convert(Conversion::ToPointer, Scalar::Pointer, Ir::int(0)) };
    let arguments = vec![file, text, Ir::int(i64::from(length)), data, Ir::int(i64::from(size))];
    lowerer.helper(Helper::SEQ_PRINTF, arguments);
    Ok(())
}

/// The format as `bpf_bprintf_prepare` of `kernel/trace/bpf_trace.c` reads it: every value is a
/// 64-bit word. `Err` is a conversion that it does not know.
fn kernel_format(format: &str, operands: &[Operand]) -> Result<String, String> {
    let mut result = String::with_capacity(format.len());
    let mut rest = format.chars().peekable();
    let mut operands = operands.iter();
    while let Some(c) = rest.next() {
        result.push(c);
        if c != '%' {
            continue;
        }
        if rest.next_if_eq(&'%').is_some() {
            result.push('%');
            continue;
        }
        let mut modifiers = String::new();
        while let Some(c) = rest.next_if(|c| !c.is_ascii_alphabetic() || "hljztLq".contains(*c)) {
            modifiers.push(c);
        }
        let conversion = rest.next().unwrap_or(' ');
        let width: String = modifiers.chars().filter(|c| !c.is_ascii_alphabetic()).collect();
        let is_text = operands.next().is_some_and(|operand| matches!(operand.ty, Type::String { .. }));
        let known = width.chars().all(|c| c.is_ascii_digit() || "+- ".contains(c));
        match conversion {
            'd' | 'i' | 'u' | 'x' | 'X' if known => result.push_str(&format!("{width}ll{conversion}")),
            'c' if width.is_empty() => result.push('c'),
            'p' if width.is_empty() => {
                result.pop();
                result.push_str("0x%llx");
            }
            's' if is_text && known => result.push_str(&format!("{width}s")),
            _ => return Err(format!("{modifiers}{conversion}")),
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::ast::Span;

    #[test]
    fn formats_become_the_kernels() {
        let number = Operand::integer(1, Span::default());
        let text = Operand { ty: Type::String { capacity: 16 }, ..number.clone() };
        let format = |format: &str| kernel_format(format, &[number.clone(), text.clone()]);
        assert_eq!(format("%5d: %s 100%%\n").as_deref(), Ok("%5lld: %s 100%%\n"));
        assert_eq!(format("%lx %-16s").as_deref(), Ok("%llx %-16s"));
        assert_eq!(format("%p").as_deref(), Ok("0x%llx"));
        assert_eq!(format("%.3d").unwrap_err(), ".3d");
        assert_eq!(format("%s").unwrap_err(), "s");
    }
}
