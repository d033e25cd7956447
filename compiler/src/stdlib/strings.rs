//! Strings and bytes.

use crate::ir::{Expr as Ir, Helper, Op, Scalar, Stmt};
use crate::semantics::lower::{Lowered, Lowerer, Operand, Repr, text_literal};
use crate::syntax::ast::{BinaryOp, Expr, ExprKind};
use crate::types::{AddressSpace, Type};

use super::{CallSite, Entry, Lower};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "str",
        signatures: &["string str(char * data [, uint32 length])"],
        documentation: "Reads a NUL-terminated string from memory, up to `length` bytes with the NUL, or up to the setting `max_strlen`.",
        example: "tracepoint:syscalls:sys_enter_openat { printf(\"%s\\n\", str(args.filename)); }",
        arguments: (1, Some(2)),
        lower: Lower::Value(str),
        ..Entry::BASE
    },
    Entry {
        name: "buf",
        signatures: &["buffer buf(void * data, [int64 length])"],
        documentation: "Reads `length` bytes from memory, to be printed with `%r`. For arrays the length may be left out.",
        example: "tracepoint:syscalls:sys_enter_write { printf(\"%r\\n\", buf(args.buf, 16)); }",
        arguments: (1, Some(2)),
        lower: Lower::Value(buf),
        ..Entry::BASE
    },
    Entry {
        name: "strncmp",
        signatures: &["int64 strncmp(char * s1, char * s2, int64 n)"],
        documentation: "0 if the first `n` characters of two strings are equal. `==` is usually what is wanted.",
        example: "tracepoint:syscalls:sys_enter_execve /strncmp(comm, \"ssh\", 3) == 0/ { @ = count(); }",
        arguments: (3, Some(3)),
        lower: Lower::Value(strncmp),
        ..Entry::BASE
    },
];

/// Reads a string of at most `size` bytes, NUL included, into zeroed memory. Gives its length.
pub fn read_string(lowerer: &mut Lowerer, to: Ir, size: Ir, from: Ir, space: AddressSpace) -> Ir {
    let helper = match space {
        AddressSpace::User => Helper::PROBE_READ_USER_STR,
        _ => Helper::PROBE_READ_KERNEL_STR,
    };
    let length = lowerer.helper(helper, vec![to, size, from]);
    lowerer.check_read(helper, &length);
    length
}

fn str(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [data, length @ ..] = call.arguments else { return Ok(Operand::void(call.span)) };
    let data = lowerer.value_argument(data)?;
    if let Some(text) = parameter_from(lowerer, data) {
        return cut(lowerer, call, text_literal(text, call.span), length.first());
    }
    let data = lowerer.expr(data)?;
    let space = match &data.ty {
        Type::Void => return Ok(data),
        // `str($1)`, `str("literal")`, `str(comm)`: it is a string already.
        Type::String { .. } => return cut(lowerer, call, data, length.first()),
        Type::Pointer { space: AddressSpace::Unknown, .. } => lowerer.probe.address_space,
        Type::Pointer { space, .. } => *space,
        ty if ty.is_integer() => lowerer.probe.address_space,
        other => {
            let message = format!("str() expects an integer or a pointer, not {other}");
            return Err(lowerer.error("type-mismatch", data.span, message));
        }
    };
    // Without a length the string may fill its capacity: that it has no NUL then tells readers that
    // it was cut. The kernel writes its NUL one byte further.
    let (capacity, size, room) = match length.first() {
        None => {
            let capacity = lowerer.env.settings.max_strlen;
            (capacity, Ir::int(i64::from(capacity) + 1), capacity + 1)
        }
        Some(length) => {
            let (capacity, size) = string_size(lowerer, length)?;
            (capacity, size, capacity)
        }
    };
    let ty = Type::String { capacity };
    let room = room.next_multiple_of(8);
    let slot = Ir::Slot(lowerer.new_slot(room, 8));
    lowerer.emit(Stmt::Zero { to: slot.clone(), size: room, align: 8 });
    let address = lowerer.register(data)?;
    let space = if space == AddressSpace::Unknown { AddressSpace::Kernel } else { space };
    read_string(lowerer, slot.clone(), size, address, space);
    Ok(Operand::memory(ty, slot, call.span))
}

/// A text without its first bytes, and without the rest of a character that this cuts in two.
pub fn text_from(text: &str, skip: usize) -> &str {
    let start = (skip..text.len()).find(|at| text.is_char_boundary(*at));
    start.and_then(|start| text.get(start..)).unwrap_or_default()
}

/// The text of `$1`, or of `$1 + 2` without its first bytes: a parameter in `str()` stands
/// for a pointer to its text.
fn parameter_from(lowerer: &Lowerer, expr: &Expr) -> Option<String> {
    let (index, skip) = match &expr.kind {
        ExprKind::Positional(index) => (*index, 0),
        ExprKind::Binary { operator: BinaryOp::Add, left, right } => match (&left.kind, &right.kind) {
            (ExprKind::Positional(index), ExprKind::Integer(skip)) => (*index, *skip as usize),
            _ => return None,
        },
        _ => return None,
    };
    let text = (index as usize).checked_sub(1).and_then(|i| lowerer.env.parameters.get(i)).cloned();
    Some(text_from(&text.unwrap_or_default(), skip).to_owned())
}

/// A string that BPF has already, cut to a length with its NUL.
fn cut(
    lowerer: &mut Lowerer,
    call: &CallSite,
    string: Operand,
    length: Option<&crate::syntax::ast::TypeOrExpr>,
) -> Lowered<Operand> {
    let Some(length) = length else { return Ok(Operand { span: call.span, ..string }) };
    let (capacity, size) = string_size(lowerer, length)?;
    let ty = Type::String { capacity: capacity.min(string.ty.size().max(1)) };
    let slot = Ir::Slot(lowerer.slot_for(&ty));
    lowerer.store(slot.clone(), &string, &ty)?;
    // The last byte that the length leaves room for is the NUL.
    let end = lowerer.bind(Scalar::I64, Ir::Opaque(Box::new(size)));
    let inside = Ir::binary(Op::ULt, Ir::binary(Op::Sub, end.clone(), Ir::int(1)), Ir::int(i64::from(ty.size())));
    let last = Ir::binary(Op::Sub, end, Ir::int(1));
    let address = Ir::Offset { base: Box::new(slot.clone()), by: Box::new(last) };
    let then = vec![Stmt::Store { ty: Scalar::I8, address, value: Ir::Const { ty: Scalar::I8, value: 0 } }];
    lowerer.emit(Stmt::If { condition: inside, then, otherwise: vec![] });
    Ok(Operand::memory(ty, slot, call.span))
}

/// Capacity and, if it is known only in the probe, a register with the size to read.
fn string_size(lowerer: &mut Lowerer, length: &crate::syntax::ast::TypeOrExpr) -> Lowered<(u32, Ir)> {
    let max = lowerer.env.settings.max_strlen;
    let length = lowerer.value_argument(length)?;
    let operand = lowerer.expr(length)?;
    if let Some(constant) = operand.constant() {
        if constant < 0 {
            return Err(lowerer.error("constant-range", length.span, "str cannot use negative length"));
        }
        // A string of so many bytes; more than the setting allows is cut.
        let capacity = u32::try_from(constant).unwrap_or(max).clamp(1, max);
        return Ok((capacity, Ir::int(i64::from(capacity))));
    }
    let size = lowerer.register(operand)?;
    Ok((max, at_most(lowerer, size, max)))
}

/// A size that the verifier knows to be 0 to `max`.
pub fn at_most(lowerer: &mut Lowerer, size: Ir, max: u32) -> Ir {
    let result = lowerer.new_var(Scalar::I64);
    let opaque = lowerer.bind(Scalar::I64, Ir::Opaque(Box::new(size)));
    let fits = Ir::binary(Op::ULe, opaque.clone(), Ir::int(i64::from(max)));
    let then = vec![Stmt::Set(result, opaque)];
    let otherwise = vec![Stmt::Set(result, Ir::int(i64::from(max)))];
    lowerer.emit(Stmt::If { condition: fits, then, otherwise });
    Ir::Var(result)
}

fn buf(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [data, length @ ..] = call.arguments else { return Ok(Operand::void(call.span)) };
    let data = lowerer.value_argument(data)?;
    let data = lowerer.expr(data)?;
    if data.is_unknown() {
        return Ok(data);
    }
    let max = lowerer.env.settings.max_strlen;
    let (capacity, size) = match length.first() {
        Some(length) => {
            let length = lowerer.value_argument(length)?;
            let operand = lowerer.expr(length)?;
            match operand.constant() {
                Some(constant) if constant < 0 => {
                    let message = format!("the length of buf() cannot be {constant}");
                    return Err(lowerer.error("invalid-argument", length.span, message));
                }
                Some(constant) => {
                    let capacity = u32::try_from(constant).unwrap_or(max).min(max);
                    (capacity, Ir::int(i64::from(capacity)))
                }
                None => {
                    let size = lowerer.register(operand)?;
                    (max, at_most(lowerer, size, max))
                }
            }
        }
        None => match &data.ty {
            Type::Array { .. } | Type::String { .. } => (data.ty.size(), Ir::int(i64::from(data.ty.size()))),
            other => {
                let message = format!("buf() needs a length unless it is given an array; this is {other}");
                return Err(lowerer.error("missing-length", call.span, message));
            }
        },
    };
    let ty = Type::Buffer { capacity };
    let slot = Ir::Slot(lowerer.new_slot(ty.size(), 8));
    lowerer.emit(Stmt::Zero { to: slot.clone(), size: ty.size(), align: 4 });
    let length = Ir::convert(crate::ir::Conversion::Truncate, Scalar::I32, size.clone());
    lowerer.emit(Stmt::Store { ty: Scalar::I32, address: slot.clone(), value: length });
    let target = slot.clone().offset(4);
    read_bytes(lowerer, &data, target, size, capacity)?;
    Ok(Operand::memory(ty, slot, call.span))
}

fn read_bytes(lowerer: &mut Lowerer, data: &Operand, target: Ir, size: Ir, capacity: u32) -> Lowered<()> {
    let (address, space) = match (&data.repr, &data.ty) {
        (Repr::Remote { address, space }, _) => (address.clone(), *space),
        (Repr::Memory(_) | Repr::Text(_), _) => {
            let from = lowerer.materialize(data)?;
            let size = capacity.min(data.ty.size());
            lowerer.emit(Stmt::Copy { to: target, from, size, align: 1 });
            return Ok(());
        }
        (_, Type::Pointer { space, .. }) => (lowerer.register(data.clone())?, *space),
        _ => (lowerer.register(data.clone())?, lowerer.probe.address_space),
    };
    let space = if space == AddressSpace::Unknown { lowerer.probe.address_space } else { space };
    let helper = match space {
        AddressSpace::User => Helper::PROBE_READ_USER,
        _ => Helper::PROBE_READ_KERNEL,
    };
    let result = lowerer.helper(helper, vec![target, size, address]);
    lowerer.check_read(helper, &result);
    Ok(())
}

fn strncmp(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [first, second, length] = call.arguments else { return Ok(Operand::void(call.span)) };
    let (first, second) = (lowerer.value_argument(first)?, lowerer.value_argument(second)?);
    let (first, second) = (lowerer.expr(first)?, lowerer.expr(second)?);
    for operand in [&first, &second] {
        if !operand.is_unknown() && !matches!(operand.ty, Type::String { .. }) {
            let message = format!("strncmp() compares strings, not {}", operand.ty);
            return Err(lowerer.error("type-mismatch", operand.span, message));
        }
    }
    if first.is_unknown() || second.is_unknown() {
        return Ok(Operand::integer(0, call.span));
    }
    let length = lowerer.value_argument(length)?;
    let limit = lowerer.constant_integer(length, "the length of strncmp()")?;
    if limit < 0 {
        return Err(lowerer.error("constant-range", length.span, "strncmp: the length must not be negative"));
    }
    let equal = lowerer.bytewise(&first, &second, Ir::int(limit))?;
    let differ = Ir::binary(Op::Eq, equal, Ir::int(0)).bool_to_int();
    Ok(Operand::scalar(Type::I64, lowerer.bind(Scalar::I64, differ), call.span))
}
