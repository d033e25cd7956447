//! Ending the script.

use crate::ir::{Expr as Ir, Scalar, Stmt};
use crate::plan::Control;
use crate::semantics::lower::{Lowered, Lowerer, Operand};

use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[Entry {
    name: "exit",
    signatures: &["void exit([int code])"],
    documentation: "Ends the cell or script, as an interrupt would: `end` probes run and maps are printed.",
    example: "interval:s:5 { exit(); }",
    mode: Mode::Asynchronous,
    arguments: (0, Some(1)),
    lower: Lower::Value(exit),
    ..Entry::BASE
}];

/// Tells the runtime through the control map, which a full ring buffer cannot delay, closes the
/// gate for all other probes, and leaves.
fn exit(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let code = match call.arguments.first() {
        Some(code) => {
            let code = lowerer.value_argument(code)?;
            lowerer.integer(code)?
        }
        None => Ir::int(0),
    };
    let control = lowerer.plan.control();
    let mut set = |offset: u32, value: Ir| {
        let address = Ir::MapValue { map: control, offset };
        let value = match value {
            Ir::Const { value, .. } => Ir::Const { ty: Scalar::I32, value },
            value => Ir::convert(crate::ir::Conversion::Truncate, Scalar::I32, value),
        };
        lowerer.emit(Stmt::Store { ty: Scalar::I32, address, value });
    };
    set(Control::EXIT_CODE, code);
    set(Control::EXIT, Ir::int(1));
    set(Control::GATE, Ir::int(0));
    lowerer.emit(Stmt::Return(None));
    Ok(Operand::void(call.span))
}
