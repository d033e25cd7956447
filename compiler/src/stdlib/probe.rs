//! The probe that fired: its name, its arguments, its registers.

use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::ir::{Conversion, Expr as Ir, Helper, Op, Scalar};
use crate::plan::ProgramKind;
use crate::semantics::arch::NATIVE;
use crate::semantics::functions;
use crate::semantics::lower::{Lowered, Lowerer, Operand, Repr};
use crate::semantics::nearest::nearest;
use crate::semantics::probes::{Arguments, ProbeContext};
use crate::types::{AddressSpace, StructField, StructType, Type};

use super::pointers::pointer_to_instruction;
use super::symbols::context_word;
use super::{CallSite, Entry, Lower, Mode};

/// Probes whose context is `struct pt_regs` at a function's entry or return.
const FUNCTIONS: &[&str] = &["kprobe", "kretprobe", "uprobe", "uretprobe", "fentry", "fexit"];

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "probe",
        signatures: &["string probe()", "string probe"],
        documentation: "The full name of the probe that fired.",
        example: "tracepoint:syscalls:sys_enter_* { @[probe] = count(); }",
        mode: Mode::CompileTime,
        lower: Lower::Value(|lowerer, call| {
            outside_of_functions(lowerer, call)?;
            Ok(lowerer.text_of_probe(|probe| probe.name.clone(), call.span))
        }),
        ..Entry::BASE
    },
    Entry {
        name: "func",
        signatures: &["string func()", "string func", "ksym_t func()", "ksym_t func"],
        documentation: "The name of the function that is traced.",
        example: "uprobe:libc:*alloc { @[func] = count(); }",
        probes: FUNCTIONS,
        lower: Lower::Value(function),
        ..Entry::BASE
    },
    Entry {
        name: "args",
        signatures: &["struct args"],
        documentation: "The arguments of the tracepoint or function, by name: `args.filename`.",
        example: "tracepoint:syscalls:sys_enter_openat { printf(\"%s\\n\", str(args.filename)); }",
        probes: &["tracepoint", "rawtracepoint", "fentry", "fexit", "uprobe"],
        lower: Lower::Value(args),
        ..Entry::BASE
    },
    Entry {
        name: "ctx",
        signatures: &["struct T * ctx"],
        documentation: "What the kernel hands to the program: an iterator's objects (`struct bpf_iter__task`), registers (`struct pt_regs`) in probes at functions, `struct bpf_perf_event_data` where a timer or an event of the machine fires.",
        example: "iter:task { printf(\"%d %s\\n\", ctx.task.pid, ctx.task.comm); }",
        lower: Lower::Value(|lowerer, call| {
            let info = lowerer.context_type(call.span)?;
            let address = Ir::convert(Conversion::ToInteger, Scalar::I64, Ir::Context);
            let ty = Type::pointer(Type::Struct(info), AddressSpace::Kernel);
            Ok(Operand::scalar(ty, address, call.span))
        }),
        ..Entry::BASE
    },
    Entry {
        name: "argN",
        signatures: &["uint64 arg0, arg1, …"],
        documentation: "The N-th argument of the function or raw tracepoint, counted from 0.",
        example: "uprobe:libc:malloc { @ = hist(arg0); }",
        probes: &["kprobe", "uprobe", "usdt", "rawtracepoint"],
        lower: Lower::Value(numbered),
        ..Entry::BASE
    },
    Entry {
        name: "retval",
        signatures: &["uint64 retval()", "uint64 retval", "T retval()", "T retval"],
        documentation: "The value that the traced function returned; in fexit with its type.",
        example: "uretprobe:libc:malloc { @[retval == 0] = count(); }",
        probes: &["kretprobe", "uretprobe", "fexit"],
        lower: Lower::Value(|lowerer, call| {
            if let Some((offset, ty)) = lowerer.probe.result.clone() {
                let result = StructField { name: "retval".into(), offset, ty, bitfield: None, data_loc: false };
                return lowerer.argument_words(&result, call.span);
            }
            if lowerer.probe.kind == ProgramKind::Fexit {
                let message = format!("{} returns nothing, or BTF does not tell what", lowerer.probe.name);
                return Err(lowerer.error("no-such-argument", call.span, message));
            }
            let value = context_word(lowerer, NATIVE.return_value);
            Ok(Operand::scalar(Type::U64, value, call.span))
        }),
        ..Entry::BASE
    },
    Entry {
        name: "reg",
        signatures: &["uint64 reg(const string name)"],
        documentation: "The contents of a register; names depend on the architecture.",
        example: "uprobe:libc:malloc { printf(\"%s\\n\", usym(reg(\"ip\"))); }",
        probes: &[
            "kprobe",
            "kretprobe",
            "uprobe",
            "uretprobe",
            "usdt",
            "interval",
            "profile",
            "software",
            "hardware",
            "watchpoint",
        ],
        arguments: (1, Some(1)),
        lower: Lower::Value(register),
        ..Entry::BASE
    },
];

/// A function of the script is called from any probe, and does not know which.
pub fn outside_of_functions(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<()> {
    if lowerer.probe.provider != functions::PROVIDER {
        return Ok(());
    }
    let diagnostic =
        Diagnostic::error("wrong-probe-type", call.span, format!("{} is not known in a function", call.name));
    Err(lowerer.report(diagnostic.hint("let the probe pass it: a parameter of type string")))
}

/// `args` as a whole; fields are handled where fields are.
fn args(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    lowerer.probe.depends.set(true);
    let probe = lowerer.probe;
    let info = match &probe.arguments {
        Arguments::Tracepoint(info) => info,
        Arguments::Words(info) => return lowerer.all_arguments(info, call.span),
        Arguments::User(function) => return lowerer.user_arguments(function, call.span),
        _ => {
            let message = format!("args is not available in {}", probe.name);
            return Err(lowerer.error("no-arguments", call.span, message));
        }
    };
    // The fields that every tracepoint has are of no interest.
    let fields = info.fields.iter().filter(|field| !field.name.starts_with("common_")).cloned().collect();
    let ty = Type::Struct(Arc::new(StructType { fields, ..(**info).clone() }));
    let address = Ir::convert(Conversion::ToInteger, Scalar::I64, Ir::Context);
    let repr = Repr::Remote { address, space: AddressSpace::Kernel };
    Ok(Operand { ty, repr, span: call.span, flexible: false })
}

/// A kernel function is known by its address, so that one program does for many of them; its name is
/// looked up when it is printed. A user function's name is known already.
fn function(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    if !matches!(lowerer.probe.provider, "kprobe" | "kretprobe") {
        let name = |probe: &ProbeContext| probe.name.rsplit(':').next().unwrap_or_default().to_owned();
        return Ok(lowerer.text_of_probe(name, call.span));
    }
    // The helper gives 0 for probes that are not at a function's start (kernel/trace/bpf_trace.c).
    let start = lowerer.helper(Helper::GET_FUNC_IP, vec![Ir::Context]);
    let start = lowerer.bind(Scalar::I64, start);
    let address = Ir::Select {
        condition: Box::new(Ir::binary(Op::Ne, start.clone(), Ir::int(0))),
        then: Box::new(start),
        otherwise: Box::new(pointer_to_instruction(lowerer)),
    };
    Ok(Operand::scalar(Type::KernelSymbol, address, call.span))
}

fn numbered(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let index: u32 = call.name.strip_prefix("arg").and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX);
    if let Arguments::Usdt(site) = &lowerer.probe.arguments {
        let site = std::sync::Arc::clone(site);
        return lowerer.usdt_argument(&site, index as usize, call.span);
    }
    if let Arguments::User(function) = &lowerer.probe.arguments {
        lowerer.check_convention(function, call.span)?;
    }
    if let Arguments::Words(_) = lowerer.probe.arguments {
        // bpf_raw_tracepoint_args holds up to twelve.
        if index >= 12 {
            return Err(lowerer.error("no-such-argument", call.span, "a raw tracepoint has at most 12 arguments"));
        }
        let value = context_word(lowerer, index * 8);
        return Ok(Operand::scalar(Type::U64, value, call.span));
    }
    let Some(offset) = NATIVE.arguments.get(index as usize) else {
        let message = format!("arguments beyond arg{} are not passed in registers", NATIVE.arguments.len() - 1);
        let hint = "read them from the stack: *(uint64*)(reg(\"sp\") + 8)";
        return Err(lowerer.report(Diagnostic::error("no-such-argument", call.span, message).hint(hint)));
    };
    let value = context_word(lowerer, *offset);
    Ok(Operand::scalar(Type::I64, value, call.span))
}

fn register(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let name = lowerer.constant_text(argument, "the name of a register")?;
    match NATIVE.offsets.iter().find(|(known, _)| *known == name) {
        Some((_, offset)) => {
            let value = context_word(lowerer, *offset);
            Ok(Operand::scalar(Type::U64, value, call.span))
        }
        None => {
            let message = format!("'{name}' is not a register of this architecture");
            let mut diagnostic = Diagnostic::error("unknown-register", call.span, message);
            if let Some(near) = nearest(&name, NATIVE.offsets.iter().map(|(known, _)| *known)) {
                diagnostic = diagnostic.hint(format!("did you mean {near}?"));
            }
            Err(lowerer.report(diagnostic))
        }
    }
}
