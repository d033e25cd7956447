//! Questions about functions that the kernel offers to BPF programs (kfuncs).

use crate::ir::Expr as Ir;
use crate::kernel_info::KERNEL;
use crate::plan::ProgramKind;
use crate::semantics::lower::{Lowered, Lowerer, Operand, Repr};
use crate::types::Type;

use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "kfunc_exist",
        signatures: &["bool kfunc_exist(const string kfunc)"],
        documentation: "Whether the kernel has a function of this name, as BTF tells.",
        example: "begin { print(kfunc_exist(\"bpf_task_from_pid\")); }",
        mode: Mode::CompileTime,
        arguments: (1, Some(1)),
        lower: Lower::Value(|lowerer, call| {
            let name = function_name(lowerer, call)?;
            let exists = lowerer.info.describes_function(KERNEL, &name);
            Ok(truth(exists, call))
        }),
        ..Entry::BASE
    },
    Entry {
        name: "kfunc_allowed",
        signatures: &["bool kfunc_allowed(const string kfunc)"],
        documentation: "Whether programs of the probe that this stands in may call a function of the kernel; found out by loading one that does.",
        example: "interval:s:1 { print(kfunc_allowed(\"bpf_task_from_pid\")); }",
        mode: Mode::CompileTime,
        arguments: (1, Some(1)),
        lower: Lower::Value(|lowerer, call| {
            let name = function_name(lowerer, call)?;
            lowerer.probe.depends.set(true);
            // A raw tracepoint's program that calls one becomes a typed one.
            let kind = match lowerer.probe.kind {
                ProgramKind::RawTracepoint => ProgramKind::TypedTracepoint,
                kind => kind,
            };
            let allowed = lowerer.info.may_call(&name, kind);
            Ok(truth(allowed, call))
        }),
        ..Entry::BASE
    },
];

fn truth(value: bool, call: &CallSite) -> Operand {
    Operand::scalar(Type::Bool, Ir::int(i64::from(value)), call.span)
}

fn function_name(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<String> {
    let Some(argument) = call.arguments.first() else { return Ok(String::new()) };
    let argument = lowerer.value_argument(argument)?;
    match lowerer.expr(argument)?.repr {
        Repr::Text(name) => Ok(name),
        _ => {
            let message = format!("{}() accepts a string literal only", call.name);
            Err(lowerer.error("not-a-constant", argument.span, message))
        }
    }
}
