//! Memory by address: address spaces, structures around members, symbols, paths, writing.

use crate::diagnostics::Diagnostic;
use crate::ir::{Expr as Ir, Helper, Op, Scalar, Stmt};
use crate::plan::EventPlan;
use crate::semantics::arch::NATIVE;
use crate::semantics::lower::{Lowered, Lowerer, Operand, Repr};
use crate::semantics::probes::Arguments;
use crate::syntax::ast::{ExprKind, TypeOrExpr};
use crate::types::{AddressSpace, Type};
use crate::user_info::UserBinary;

use super::symbols::context_word;
use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "kptr",
        signatures: &["T * kptr(T * ptr)"],
        documentation: "Marks a pointer as one into kernel memory; its type stays.",
        example: "uprobe:libc:malloc { print(*kptr((uint64 *)kaddr(\"jiffies\"))); }",
        arguments: (1, Some(1)),
        lower: Lower::Value(|lowerer, call| mark(lowerer, call, AddressSpace::Kernel)),
        ..Entry::BASE
    },
    Entry {
        name: "uptr",
        signatures: &["T * uptr(T * ptr)"],
        documentation: "Marks a pointer as one into user memory; its type stays.",
        example: "tracepoint:syscalls:sys_enter_openat { print(str(uptr(args.filename))); }",
        arguments: (1, Some(1)),
        lower: Lower::Value(|lowerer, call| mark(lowerer, call, AddressSpace::User)),
        ..Entry::BASE
    },
    Entry {
        name: "container_of",
        signatures: &["Container * container_of(Member * ptr, Type type, Identifier member)"],
        documentation: "A pointer to the structure of a type whose member is at an address.",
        example: "tracepoint:sched:sched_switch { $se = (struct sched_entity *)((uint64)curtask + offsetof(struct task_struct, se)); print(container_of($se, typeof(struct task_struct), se).pid); }",
        arguments: (3, Some(3)),
        lower: Lower::Value(container_of),
        ..Entry::BASE
    },
    Entry {
        name: "uaddr",
        signatures: &["T * uaddr(const string sym)"],
        documentation: "The address of a symbol of the traced binary in the current process. `T` is an unsigned integer of the symbol's size, `uint64` if there is none of that size.",
        example: "uprobe:/bin/bash:readline { printf(\"%s\\n\", str(*uaddr(\"ps1_prompt\"))); }",
        probes: &["uprobe", "uretprobe", "usdt"],
        kernel: Some("6.6 in uretprobes"),
        arguments: (1, Some(1)),
        lower: Lower::Value(user_address),
        ..Entry::BASE
    },
    Entry {
        name: "path",
        signatures: &["char * path(struct path * path [, int32 size])"],
        documentation: "The full path of a `struct path`, in the functions for which the kernel allows it (`btf_allowlist_d_path`). If it is longer than `size` bytes, its beginning is left out.",
        example: "fentry:filp_close { printf(\"%s\\n\", path(args.filp.f_path)); }",
        probes: &["fentry", "fexit", "iter", "rawtracepoint"],
        kernel: Some("5.10"),
        arguments: (1, Some(2)),
        lower: Lower::Value(path),
        ..Entry::BASE
    },
    Entry {
        name: "override",
        signatures: &["void override(uint64 rc)"],
        documentation: "Makes the probed kernel function return this value without being run, if the kernel allows errors to be injected there.",
        example: "kprobe:__x64_sys_getuid /comm == \"id\"/ { override(2<<21); }",
        is_unsafe: true,
        probes: &["kprobe"],
        kernel: Some("one with CONFIG_BPF_KPROBE_OVERRIDE"),
        arguments: (1, Some(1)),
        lower: Lower::Value(|lowerer, call| {
            let Some(code) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
            let code = lowerer.value_argument(code)?;
            let code = lowerer.integer(code)?;
            lowerer.helper(Helper::OVERRIDE_RETURN, vec![Ir::Context, code]);
            Ok(Operand::void(call.span))
        }),
        ..Entry::BASE
    },
    Entry {
        name: "write_user",
        signatures: &["bool write_user(T * dst, T * src, uint32 len)"],
        documentation: "Writes `len` bytes of a string or a variable to memory of the current process; whether that worked. It can corrupt the process.",
        example: "tracepoint:syscalls:sys_enter_openat /comm == \"myapp\"/ { $p = \"/tmp/other\"; if (write_user(args.filename, $p, 11)) { print(\"redirected\"); } }",
        is_unsafe: true,
        arguments: (3, Some(3)),
        lower: Lower::Value(write_user),
        ..Entry::BASE
    },
    Entry {
        name: "unwatch",
        signatures: &["void unwatch(void * addr)"],
        documentation: "Takes the watchpoints of an address away.",
        example: "watchpoint:0x10000000:8:w { printf(\"%s\\n\", ustack); unwatch(0x10000000); }",
        mode: Mode::Asynchronous,
        arguments: (1, Some(1)),
        lower: Lower::Value(|lowerer, call| {
            let Some(address) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
            let address = lowerer.value_argument(address)?;
            let address = lowerer.integer(address)?;
            let address = Operand::scalar(Type::U64, address, call.span);
            lowerer.send(EventPlan::Unwatch { span: call.span }, &[address], &[Type::U64])?;
            Ok(Operand::void(call.span))
        }),
        ..Entry::BASE
    },
    Entry {
        name: "socket_cookie",
        signatures: &["uint64 socket_cookie(struct sock *sk)"],
        documentation: "The number that the kernel gives a socket for as long as it lives; 0 without a socket.",
        example: "fentry:tcp_rcv_established { @[socket_cookie(args.sk)] = count(); }",
        probes: &["fentry", "fexit", "rawtracepoint"],
        kernel: Some("5.12"),
        arguments: (1, Some(1)),
        lower: Lower::Value(|lowerer, call| {
            let Some(socket) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
            let socket = lowerer.value_argument(socket)?;
            let socket = lowerer.typed_pointer(socket)?;
            let socket = lowerer.register(socket)?;
            let cookie = lowerer.helper(Helper::GET_SOCKET_COOKIE, vec![socket]);
            Ok(Operand::scalar(Type::U64, cookie, call.span))
        }),
        ..Entry::BASE
    },
];

fn mark(lowerer: &mut Lowerer, call: &CallSite, space: AddressSpace) -> Lowered<Operand> {
    let Some(pointer) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let pointer = lowerer.value_argument(pointer)?;
    let operand = lowerer.expr(pointer)?;
    let to = match &operand.ty {
        Type::Void => return lowerer.unknown(&operand).map(|()| operand),
        Type::Pointer { to, .. } => to.clone(),
        // An address of no type is one of bytes.
        ty if ty.is_integer() => Type::I8.into(),
        other => {
            let message = format!("{}() only supports integer or pointer arguments ({other} provided)", call.name);
            return Err(lowerer.error("type-mismatch", operand.span, message));
        }
    };
    let address = lowerer.register(operand)?;
    Ok(Operand::scalar(Type::Pointer { to, space }, address, call.span))
}

fn container_of(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [pointer, container, member] = call.arguments else { return Ok(Operand::void(call.span)) };
    let pointer = lowerer.value_argument(pointer)?;
    let operand = lowerer.expr(pointer)?;
    let container = lowerer.type_of(container)?;
    let TypeOrExpr::Expr(member) = member else {
        return Err(lowerer.error(
            "invalid-argument",
            call.span,
            "container_of() takes a pointer, a type and a member",
        ));
    };
    let ExprKind::Identifier(name) = &member.kind else {
        return Err(lowerer.error("invalid-argument", member.span, "this must be the name of a member"));
    };
    let member = crate::syntax::ast::Ident { name: name.clone(), span: member.span };
    let (offset, _) = lowerer.field_place(&container, &member)?;
    let space = match &operand.ty {
        Type::Void => return lowerer.unknown(&operand).map(|()| operand),
        Type::Pointer { space, .. } => *space,
        _ => lowerer.probe.address_space,
    };
    let address = lowerer.register(operand)?;
    let address = lowerer.bind(Scalar::I64, Ir::binary(Op::Sub, address, Ir::int(i64::from(offset))));
    Ok(Operand::scalar(Type::pointer(container, space), address, call.span))
}

/// The symbol's address in the file, and how far the binary was moved when it was loaded: the
/// kernel tells where the probed function lies in memory, the file where it lay before.
fn user_address(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let name = lowerer.constant_text(argument, "the name given to uaddr()")?;
    lowerer.probe.depends.set(true);
    let path = match &lowerer.probe.arguments {
        Arguments::User(function) => function.path.clone(),
        Arguments::Usdt(site) => site.path.clone(),
        _ => return Err(lowerer.error("wrong-probe-type", call.span, "uaddr() needs a probe in a user program")),
    };
    let binary = lowerer.info.user_binary(&path).unwrap_or_default();
    let symbol = binary.symbols.iter().find(|symbol| symbol.name == name);
    let (Some(symbol), Some((here, there))) = (symbol, probed_place(lowerer, &binary)) else {
        if lowerer.env.assume_probes {
            return Ok(Operand::scalar(Type::pointer(Type::U64, AddressSpace::User), Ir::int(0), call.span));
        }
        let message = format!("could not find symbol {name} in the traced binary");
        let diagnostic = Diagnostic::error("unknown-symbol", call.span, message);
        let near = crate::semantics::nearest::nearest(&name, binary.symbols.iter().map(|symbol| symbol.name.as_str()));
        return Err(lowerer.report(match near {
            Some(near) => diagnostic.hint(format!("did you mean {near}?")),
            None => diagnostic,
        }));
    };
    let distance = Ir::binary(Op::Sub, Ir::int(symbol.address as i64), there);
    let address = lowerer.bind(Scalar::I64, Ir::binary(Op::Add, here, distance));
    let to = match symbol.size {
        size @ (1 | 2 | 4) => Type::Integer { bits: size as u8 * 8, signed: false },
        _ => Type::U64,
    };
    Ok(Operand::scalar(Type::pointer(to, AddressSpace::User), address, call.span))
}

/// Where the probed place lies in memory, and where in its file. `None` if the file's symbols do not tell.
fn probed_place(lowerer: &mut Lowerer, binary: &UserBinary) -> Option<(Ir, Ir)> {
    match lowerer.probe.arguments.clone() {
        Arguments::User(function) => {
            let probed = binary.symbols.iter().find(|symbol| symbol.name == function.symbol)?;
            Some(match lowerer.probe.provider {
                "uprobe" => (pointer_to_instruction(lowerer), Ir::int((probed.address + function.offset) as i64)),
                _ => (lowerer.helper(Helper::GET_FUNC_IP, vec![Ir::Context]), Ir::int(probed.address as i64)),
            })
        }
        Arguments::Usdt(site) => {
            let here = pointer_to_instruction(lowerer);
            let [first, others @ ..] = site.locations.as_slice() else { return None };
            if others.is_empty() {
                return Some((here, Ir::int(first.address as i64)));
            }
            let place = lowerer.place_reached();
            let there = lowerer.new_var(Scalar::I64);
            lowerer.emit(Stmt::Set(there, Ir::int(first.address as i64)));
            for (index, location) in others.iter().enumerate() {
                let condition = Ir::binary(Op::Eq, place.clone(), Ir::int(index as i64 + 1));
                let then = vec![Stmt::Set(there, Ir::int(location.address as i64))];
                lowerer.emit(Stmt::If { condition, then, otherwise: Vec::new() });
            }
            Some((here, Ir::Var(there)))
        }
        _ => None,
    }
}

/// The register of the next instruction, from `struct pt_regs`.
pub fn pointer_to_instruction(lowerer: &mut Lowerer) -> Ir {
    let offset = NATIVE.offsets.iter().find(|(name, _)| *name == "ip").map_or(0, |(_, offset)| *offset);
    context_word(lowerer, offset)
}

fn path(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [path, size @ ..] = call.arguments else { return Ok(Operand::void(call.span)) };
    let path = lowerer.value_argument(path)?;
    let operand = lowerer.typed_pointer(path)?;
    let capacity = match size.first() {
        Some(size) => {
            let size = lowerer.value_argument(size)?;
            lowerer.constant_u32(size, "the size given to path()")?
        }
        None => lowerer.env.settings.max_strlen,
    };
    let max = lowerer.env.settings.max_strlen;
    if !(1..=max).contains(&capacity) {
        let message = format!("path: the size must be 1 to {max} (max_strlen)");
        return Err(lowerer.error("constant-range", call.span, message));
    }
    let address = match (&operand.repr, &operand.ty) {
        (_, Type::Void) => return lowerer.unknown(&operand).map(|()| operand),
        (Repr::Remote { address, .. }, Type::Struct(_)) => address.clone(),
        (_, Type::Pointer { .. }) => lowerer.register(operand)?,
        (_, other) => {
            let message = format!("path() takes a struct path, not {other}");
            return Err(lowerer.error("type-mismatch", operand.span, message));
        }
    };
    let ty = Type::String { capacity };
    let slot = Ir::Slot(lowerer.slot_for(&ty));
    lowerer.emit(Stmt::Zero { to: slot.clone(), size: capacity, align: ty.align() });
    let address = lowerer.bind(Scalar::I64, address);
    let (then, ()) = lowerer.nested(|lowerer| {
        // So that the verifier's word against it is shown here.
        lowerer.emit(Stmt::At(call.span));
        lowerer.helper(Helper::D_PATH, vec![address.clone(), slot.clone(), Ir::int(i64::from(capacity))]);
    });
    lowerer.emit(Stmt::If { condition: address.is_nonzero(), then, otherwise: Vec::new() });
    Ok(Operand::memory(ty, slot, call.span))
}

fn write_user(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [target, source, length] = call.arguments else { return Ok(Operand::void(call.span)) };
    let (target, source) = (lowerer.value_argument(target)?, lowerer.value_argument(source)?);
    let (target, source) = (lowerer.expr(target)?, lowerer.expr(source)?);
    if source.is_unknown() || target.is_unknown() {
        return lowerer.unknown(if source.is_unknown() { &source } else { &target }).map(|()| Operand::void(call.span));
    }
    let length = lowerer.value_argument(length)?;
    let size = lowerer.constant_u32(length, "the length given to write_user()")?;
    let (from, room) = match &source.ty {
        Type::Pointer { to, space: AddressSpace::Bpf } => (lowerer.register(source.clone())?, to.size()),
        Type::Pointer { .. } => {
            let message = "write_user() copies a string or a variable of the script, not memory by its address";
            return Err(lowerer.error("type-mismatch", source.span, message));
        }
        ty => {
            let size = ty.size();
            (lowerer.materialize(&source)?, size)
        }
    };
    if size == 0 || size > room {
        let message = format!("write_user: the value has {room} bytes, so the length must be 1 to {room}");
        return Err(lowerer.error("constant-range", length.span, message));
    }
    let target = lowerer.register(target)?;
    let result = lowerer.helper(Helper::PROBE_WRITE_USER, vec![target, from, Ir::int(i64::from(size))]);
    let worked = Ir::binary(Op::Eq, result, Ir::int(0)).bool_to_int();
    let worked = lowerer.bind(Scalar::I64, worked);
    Ok(Operand::scalar(Type::Bool, worked, call.span))
}
