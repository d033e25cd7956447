//! Looking into strings and bytes: lengths, searching, comparing, joining.

use crate::ir::{Conversion, Expr as Ir, Op, Scalar, Stmt, Var};
use crate::semantics::lower::{Lowered, Lowerer, Operand, Repr, text_literal};
use crate::syntax::ast::{Span, TypeOrExpr};
use crate::types::{AddressSpace, Type};

use super::strings::{at_most, read_string};
use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "strlen",
        signatures: &["uint64 strlen(string s)", "uint64 strlen(int8 s[])", "uint64 strlen(int8 * s)"],
        documentation: "The length of a string in bytes, without its NUL; of one in memory, up to the setting `max_strlen`.",
        example: "tracepoint:syscalls:sys_enter_openat { @ = hist(strlen(str(args.filename))); }",
        arguments: (1, Some(1)),
        lower: Lower::Value(strlen),
        ..Entry::BASE
    },
    Entry {
        name: "strcap",
        signatures: &["int64 strcap(string s)", "int64 strcap(int8 s[])", "int64 strcap(int8 * s)"],
        documentation: "The bytes that a string has room for, whatever it holds; of one in memory, its length.",
        example: "begin { print(strcap(comm)); }",
        arguments: (1, Some(1)),
        lower: Lower::Value(strcap),
        ..Entry::BASE
    },
    Entry {
        name: "default_str_length",
        signatures: &["uint64 default_str_length()", "uint64 default_str_length"],
        documentation: "The room for a string that is read without a length: the setting `max_strlen`.",
        example: "begin { print(default_str_length); }",
        mode: Mode::CompileTime,
        lower: Lower::Value(|lowerer, call| {
            let length = i64::from(lowerer.env.settings.max_strlen);
            Ok(Operand::scalar(Type::U64, Ir::int(length), call.span))
        }),
        ..Entry::BASE
    },
    Entry {
        name: "strstr",
        signatures: &["int64 strstr(string haystack, string needle)"],
        documentation: "Where the string `needle` first occurs in `haystack`, counted from 0; -1 if it does not.",
        example: "begin { print(strstr(\"hello\", \"ll\")); }",
        kernel: Some("5.17"),
        arguments: (2, Some(2)),
        lower: Lower::Value(strstr),
        ..Entry::BASE
    },
    Entry {
        name: "strcontains",
        signatures: &["bool strcontains(string haystack, string needle)"],
        documentation: "Whether the string `haystack` contains `needle`.",
        example: "tracepoint:syscalls:sys_enter_openat /strcontains(str(args.filename, 64), \"/etc\")/ { @[comm] = count(); }",
        kernel: Some("5.17"),
        arguments: (2, Some(2)),
        lower: Lower::Value(|lowerer, call| {
            let found = strstr(lowerer, call)?;
            if found.is_unknown() {
                return Ok(found);
            }
            let contains = match found.constant() {
                Some(index) => Ir::int(i64::from(index >= 0)),
                None => {
                    let index = lowerer.register(found)?;
                    let contains = Ir::binary(Op::SLe, Ir::int(0), index).bool_to_int();
                    lowerer.bind(Scalar::I64, contains)
                }
            };
            Ok(Operand::scalar(Type::Bool, contains, call.span))
        }),
        ..Entry::BASE
    },
    Entry {
        name: "str_concat",
        signatures: &["string str_concat(string s1, string s2)"],
        documentation: "The two strings, one after the other.",
        example: "begin { print(str_concat(comm, \"!\")); }",
        arguments: (2, Some(2)),
        lower: Lower::Value(concatenate),
        ..Entry::BASE
    },
    Entry {
        name: "memcmp",
        signatures: &["int memcmp(left, right, uint64 count)"],
        documentation: "Compares the first `count` bytes of two values: 0 if they are the same, else the sign says whose first different byte is the smaller.",
        example: "begin { print(memcmp(\"abc\", \"abd\", 3)); }",
        arguments: (3, Some(3)),
        lower: Lower::Value(memcmp),
        ..Entry::BASE
    },
];

/// Needles of up to so many bytes are compared without a loop of their own.
const SHORT_NEEDLE: usize = 32;
/// In so many places they are looked for one after another, without a loop.
const FEW_PLACES: u32 = 24;

/// Whether strings can be made of it: strings, `char` arrays, and pointers to `char`.
pub fn is_string_like(ty: &Type) -> bool {
    match ty {
        Type::String { .. } => true,
        Type::Array { element, .. } => **element == Type::I8,
        Type::Pointer { to, .. } => **to == Type::I8,
        _ => false,
    }
}

/// An argument that must be string-like; `None` while its type is not known.
fn string_argument(lowerer: &mut Lowerer, call: &CallSite, index: usize) -> Lowered<Option<Operand>> {
    let Some(argument) = call.arguments.get(index) else { return Ok(None) };
    let argument = lowerer.value_argument(argument)?;
    let operand = lowerer.expr(argument)?;
    if operand.is_unknown() {
        return lowerer.unknown(&operand).map(|()| None);
    }
    if !is_string_like(&operand.ty) {
        let message = format!("{}() expects a string, not {}", call.name, operand.ty);
        return Err(lowerer.error("type-mismatch", operand.span, message));
    }
    Ok(Some(operand))
}

/// The text up to its first NUL.
fn until_nul(text: &str) -> &str {
    text.split('\0').next().unwrap_or_default()
}

/// A string that lies in memory of BPF's, read there if it is elsewhere.
fn as_string(lowerer: &mut Lowerer, operand: Operand) -> Lowered<Operand> {
    let span = operand.span;
    match operand.ty.clone() {
        Type::Pointer { space, .. } => {
            let capacity = lowerer.env.settings.max_strlen;
            let slot = Ir::Slot(lowerer.new_slot((capacity + 1).next_multiple_of(8), 8));
            let address = lowerer.register(operand)?;
            lowerer.emit(Stmt::Zero { to: slot.clone(), size: (capacity + 1).next_multiple_of(8), align: 8 });
            read_string(lowerer, slot.clone(), Ir::int(i64::from(capacity) + 1), address, space);
            Ok(Operand::memory(Type::String { capacity }, slot, span))
        }
        ty => {
            let address = lowerer.materialize(&operand)?;
            Ok(Operand::memory(Type::String { capacity: ty.size() }, address, span))
        }
    }
}

fn strlen(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(string) = string_argument(lowerer, call, 0)? else { return Ok(Operand::void(call.span)) };
    if let Repr::Text(text) = &string.repr {
        let length = until_nul(text).len() as i64;
        return Ok(Operand::scalar(Type::U64, Ir::int(length), call.span));
    }
    let length = length_of(lowerer, &string)?;
    Ok(Operand::scalar(Type::U64, length, call.span))
}

/// The kernel's string copy tells how far it came, so it is what counts.
fn length_of(lowerer: &mut Lowerer, string: &Operand) -> Lowered<Ir> {
    let (address, space, capacity) = match &string.ty {
        Type::Pointer { space, .. } => (lowerer.register(string.clone())?, *space, lowerer.env.settings.max_strlen),
        ty => (lowerer.materialize(string)?, AddressSpace::Kernel, ty.size()),
    };
    let size = capacity + 1;
    let slot = Ir::Slot(lowerer.new_slot(size.next_multiple_of(8), 8));
    let copied = read_string(lowerer, slot, Ir::int(i64::from(size)), address, space);
    // With the NUL; zero or an error if nothing could be read.
    let length = lowerer.new_var(Scalar::I64);
    let then = vec![Stmt::Set(length, Ir::binary(Op::Sub, copied.clone(), Ir::int(1)))];
    let otherwise = vec![Stmt::Set(length, Ir::int(0))];
    lowerer.emit(Stmt::If { condition: Ir::binary(Op::SLt, Ir::int(0), copied), then, otherwise });
    Ok(Ir::Var(length))
}

fn strcap(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(string) = string_argument(lowerer, call, 0)? else { return Ok(Operand::void(call.span)) };
    let capacity = match &string.ty {
        Type::Pointer { .. } => length_of(lowerer, &string)?,
        ty => Ir::int(i64::from(ty.size())),
    };
    Ok(Operand::scalar(Type::I64, capacity, call.span))
}

fn strstr(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let haystack = string_argument(lowerer, call, 0)?;
    let needle = string_argument(lowerer, call, 1)?;
    let (Some(haystack), Some(needle)) = (haystack, needle) else { return Ok(Operand::void(call.span)) };
    let at = match (&haystack.repr, &needle.repr) {
        (Repr::Text(haystack), Repr::Text(needle)) => {
            let found = until_nul(haystack).find(until_nul(needle));
            Ir::int(found.map_or(-1, |index| index as i64))
        }
        (_, Repr::Text(needle)) if until_nul(needle).len() <= SHORT_NEEDLE => {
            let needle = until_nul(needle).as_bytes().to_vec();
            find_constant(lowerer, haystack, &needle)?
        }
        _ => find_string(lowerer, haystack, needle)?,
    };
    Ok(Operand::scalar(Type::I64, at, call.span))
}

/// A byte that BPF may load, as an I64.
fn byte(base: &Ir, at: Ir) -> Ir {
    let address = Ir::Offset { base: Box::new(base.clone()), by: Box::new(at) };
    Ir::convert(Conversion::ZeroExtend, Scalar::I64, Ir::load(Scalar::I8, address))
}

fn stop_if(condition: Ir) -> Stmt {
    Stmt::If { condition, then: vec![Stmt::Break], otherwise: vec![] }
}

/// An index of a loop, of which the verifier is to learn that it is below `limit`: leaves the loop
/// if it is not.
fn checked_index(lowerer: &mut Lowerer, index: Ir, limit: u32) -> Ir {
    let index = lowerer.bind(Scalar::I64, Ir::Opaque(Box::new(index)));
    lowerer.emit(stop_if(Ir::binary(Op::ULe, Ir::int(i64::from(limit)), index.clone())));
    index
}

/// Looks for a few known bytes, none of them NUL.
fn find_constant(lowerer: &mut Lowerer, haystack: Operand, needle: &[u8]) -> Lowered<Ir> {
    let haystack = as_string(lowerer, haystack)?;
    let capacity = haystack.ty.size();
    let Some((first, rest)) = needle.split_first() else { return Ok(Ir::int(0)) };
    let Some(places) = (capacity + 1).checked_sub(needle.len() as u32) else { return Ok(Ir::int(-1)) };
    let base = lowerer.materialize(&haystack)?;
    let (found, index) = not_found(lowerer);
    if places <= FEW_PLACES {
        let (mut body, ()) = lowerer.nested(|lowerer| {
            (0..places).for_each(|place| find_at(lowerer, &base, (*first, rest), Ir::int(i64::from(place)), found));
        });
        body.push(Stmt::Break);
        lowerer.emit(Stmt::Loop { body });
        return Ok(Ir::Var(found));
    }
    let (body, ()) = lowerer.nested(|lowerer| {
        let at = checked_index(lowerer, Ir::Var(index), places);
        find_at(lowerer, &base, (*first, rest), at, found);
    });
    lowerer.counted_loop(index, places, body);
    Ok(Ir::Var(found))
}

/// Looks for the needle, its first byte apart, at one place: leaves the loop around if it is there, or if the
/// haystack ends.
fn find_at(lowerer: &mut Lowerer, base: &Ir, (first, rest): (u8, &[u8]), at: Ir, found: Var) {
    let here = lowerer.bind(Scalar::I64, byte(base, at.clone()));
    lowerer.emit(stop_if(Ir::binary(Op::Eq, here.clone(), Ir::int(0))));
    let (then, ()) = lowerer.nested(|lowerer| {
        let mut difference = Ir::int(0);
        for (offset, expected) in (1..).zip(rest) {
            let differs =
                Ir::binary(Op::Xor, byte(&base.clone().offset(offset), at.clone()), Ir::int(i64::from(*expected)));
            difference = lowerer.bind(Scalar::I64, Ir::binary(Op::Or, difference, differs));
        }
        let matched = vec![Stmt::Set(found, at.clone()), Stmt::Break];
        let condition = Ir::binary(Op::Eq, difference, Ir::int(0));
        lowerer.emit(Stmt::If { condition, then: matched, otherwise: vec![] });
    });
    let condition = Ir::binary(Op::Eq, here, Ir::int(i64::from(first)));
    lowerer.emit(Stmt::If { condition, then, otherwise: vec![] });
}

/// The variable for where the needle is, -1 so far, and one to count with.
fn not_found(lowerer: &mut Lowerer) -> (Var, Var) {
    let found = lowerer.new_var(Scalar::I64);
    lowerer.emit(Stmt::Set(found, Ir::int(-1)));
    (found, lowerer.new_var(Scalar::I64))
}

/// Looks for a string that is known only in the probe.
fn find_string(lowerer: &mut Lowerer, haystack: Operand, needle: Operand) -> Lowered<Ir> {
    let (haystack, needle) = (as_string(lowerer, haystack)?, as_string(lowerer, needle)?);
    let (hay_size, needle_size) = (haystack.ty.size(), needle.ty.size());
    let (hay_base, needle_base) = (lowerer.materialize(&haystack)?, lowerer.materialize(&needle)?);
    let (found, start) = not_found(lowerer);
    let (matched, offset) = (lowerer.new_var(Scalar::I64), lowerer.new_var(Scalar::I64));
    let (compare, ()) = lowerer.nested(|lowerer| {
        let at = checked_index(lowerer, Ir::Var(offset), needle_size);
        let wanted = lowerer.bind(Scalar::I64, byte(&needle_base, at));
        lowerer.emit(stop_if(Ir::binary(Op::Eq, wanted.clone(), Ir::int(0))));
        // Set until this byte has been found equal as well.
        lowerer.emit(Stmt::Set(matched, Ir::int(0)));
        let place = Ir::binary(Op::Add, Ir::Var(start), Ir::Var(offset));
        let at = checked_index(lowerer, place, hay_size);
        let here = byte(&hay_base, at);
        lowerer.emit(stop_if(Ir::binary(Op::Ne, here, wanted)));
        lowerer.emit(Stmt::Set(matched, Ir::int(1)));
    });
    let (body, ()) = lowerer.nested(|lowerer| {
        lowerer.emit(Stmt::Set(matched, Ir::int(1)));
        lowerer.counted_loop(offset, needle_size, compare);
        let then = vec![Stmt::Set(found, Ir::Var(start)), Stmt::Break];
        lowerer.emit(Stmt::If { condition: Ir::Var(matched).is_nonzero(), then, otherwise: vec![] });
        let at = checked_index(lowerer, Ir::Var(start), hay_size);
        lowerer.emit(stop_if(Ir::binary(Op::Eq, byte(&hay_base, at), Ir::int(0))));
    });
    lowerer.counted_loop(start, hay_size, body);
    Ok(Ir::Var(found))
}

fn concatenate(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let first = string_argument(lowerer, call, 0)?;
    let second = string_argument(lowerer, call, 1)?;
    let (Some(first), Some(second)) = (first, second) else { return Ok(Operand::void(call.span)) };
    joined(lowerer, first, second, call.span)
}

/// Apart from [`concatenate`], which calls itself by way of its arguments and must not take much stack.
fn joined(lowerer: &mut Lowerer, first: Operand, second: Operand, span: Span) -> Lowered<Operand> {
    if let (Repr::Text(first), Repr::Text(second)) = (&first.repr, &second.repr) {
        return Ok(text_literal(format!("{}{}", until_nul(first), until_nul(second)), span));
    }
    let (first, second) = (as_string(lowerer, first)?, as_string(lowerer, second)?);
    let (first_size, second_size) = (first.ty.size(), second.ty.size());
    let capacity = first_size + second_size;
    // Room for the NUL that the kernel writes behind each part.
    let room = (capacity + 2).next_multiple_of(8);
    let slot = Ir::Slot(lowerer.new_slot(room, 8));
    lowerer.emit(Stmt::Zero { to: slot.clone(), size: room, align: 8 });
    let from = lowerer.materialize(&first)?;
    let copied = read_string(lowerer, slot.clone(), Ir::int(i64::from(first_size) + 1), from, AddressSpace::Kernel);
    let length = at_most(lowerer, Ir::binary(Op::Sub, copied, Ir::int(1)), first_size);
    // LLVM would make an `or` of adding a small number to an aligned address, which BPF forbids.
    let length = lowerer.bind(Scalar::I64, Ir::Opaque(Box::new(length)));
    let end = Ir::Offset { base: Box::new(slot.clone()), by: Box::new(length) };
    let from = lowerer.materialize(&second)?;
    read_string(lowerer, end, Ir::int(i64::from(second_size) + 1), from, AddressSpace::Kernel);
    Ok(Operand::memory(Type::String { capacity }, slot, span))
}

fn memcmp(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [left, right, count] = call.arguments else { return Ok(Operand::void(call.span)) };
    let (left, right) = (bytes_of(lowerer, left)?, bytes_of(lowerer, right)?);
    let count = lowerer.value_argument(count)?;
    let count = lowerer.expr(count)?;
    let (Some((left, left_size)), Some((right, right_size))) = (left, right) else {
        return Ok(Operand::void(call.span));
    };
    let bound = left_size.min(right_size);
    check_count(lowerer, &count, bound, call.span)?;
    let count = lowerer.register(count)?;
    let result = lowerer.new_var(Scalar::I64);
    let index = lowerer.new_var(Scalar::I64);
    lowerer.emit(Stmt::Set(result, Ir::int(0)));
    let (body, ()) = lowerer.nested(|lowerer| {
        lowerer.emit(stop_if(Ir::binary(Op::ULe, count, Ir::Var(index))));
        let at = checked_index(lowerer, Ir::Var(index), bound);
        let difference = Ir::binary(Op::Sub, byte(&left, at.clone()), byte(&right, at));
        let difference = lowerer.bind(Scalar::I64, difference);
        let then = vec![Stmt::Set(result, difference.clone()), Stmt::Break];
        lowerer.emit(Stmt::If { condition: difference.is_nonzero(), then, otherwise: vec![] });
    });
    lowerer.counted_loop(index, bound, body);
    Ok(Operand::scalar(Type::I32, Ir::Var(result), call.span))
}

/// More bytes than the smaller value has cannot be compared.
fn check_count(lowerer: &mut Lowerer, count: &Operand, bound: u32, span: Span) -> Lowered<()> {
    match count.constant() {
        Some(count) if !(0..=i64::from(bound)).contains(&count) => {
            let message = format!("memcmp: the smaller of the two values has {bound} bytes, not {count}");
            Err(lowerer.error("constant-range", span, message))
        }
        _ => Ok(()),
    }
}

/// Address and size of a value's bytes; `None` while its type is not known.
fn bytes_of(lowerer: &mut Lowerer, argument: &TypeOrExpr) -> Lowered<Option<(Ir, u32)>> {
    let argument = lowerer.value_argument(argument)?;
    let operand = lowerer.expr(argument)?;
    if operand.is_unknown() {
        return lowerer.unknown(&operand).map(|()| None);
    }
    let size = operand.ty.size();
    Ok(Some((lowerer.materialize(&operand)?, size)))
}
