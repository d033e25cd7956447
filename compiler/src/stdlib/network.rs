//! Addresses of networks, and the order of bytes.

use std::net::IpAddr;

use crate::ir::{Conversion, Expr as Ir, Op, Scalar, Stmt};
use crate::semantics::lower::{Lowered, Lowerer, Operand, Repr};
use crate::syntax::ast::TypeOrExpr;
use crate::types::{AddressSpace, Type};

use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "bswap",
        signatures: &[
            "uint8 bswap(uint8 n)",
            "uint16 bswap(uint16 n)",
            "uint32 bswap(uint32 n)",
            "uint64 bswap(uint64 n)",
        ],
        documentation: "The bytes of an integer in reverse order, as an unsigned integer of the same width.",
        example: "begin { printf(\"%x\\n\", bswap((uint16)0x1234)); }",
        arguments: (1, Some(1)),
        lower: Lower::Value(swap_bytes),
        ..Entry::BASE
    },
    Entry {
        name: "macaddr",
        signatures: &["macaddr_t macaddr(char [6] mac)"],
        documentation: "A MAC address of six bytes, to be printed with `%s`.",
        example: "tracepoint:net:net_dev_queue { $skb = (struct sk_buff *)args.skbaddr; printf(\"%s\\n\", macaddr($skb.dev.dev_addr)); }",
        arguments: (1, Some(1)),
        lower: Lower::Value(mac_address),
        ..Entry::BASE
    },
    Entry {
        name: "ntop",
        signatures: &[
            "inet ntop([int64 af, ] int addr)",
            "inet ntop([int64 af, ] char addr[4])",
            "inet ntop([int64 af, ] char addr[16])",
        ],
        documentation: "An IPv4 or IPv6 address, to be printed with `%s`. Without an address family (2 is `AF_INET`, 10 `AF_INET6`) the size of the address decides.",
        example: "tracepoint:sock:inet_sock_set_state { printf(\"%s\\n\", ntop(args.daddr)); }",
        arguments: (1, Some(2)),
        lower: Lower::Value(address_to_text),
        ..Entry::BASE
    },
    Entry {
        name: "pton",
        signatures: &["char addr[4] pton(const string *addr_v4)", "char addr[16] pton(const string *addr_v6)"],
        documentation: "The bytes of an IPv4 or IPv6 address, in the order of the network.",
        example: "tracepoint:sock:inet_sock_set_state /args.daddr == pton(\"127.0.0.1\")/ { @ = count(); }",
        mode: Mode::CompileTime,
        arguments: (1, Some(1)),
        lower: Lower::Value(text_to_address),
        ..Entry::BASE
    },
];

/// `AF_INET6` of Linux; the only other family is `AF_INET`, 2.
const AF_INET: i64 = 2;
const AF_INET6: i64 = 10;

fn swap_bytes(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let argument = lowerer.value_argument(argument)?;
    let operand = lowerer.expr(argument)?;
    let bits = match &operand.ty {
        Type::Void => return lowerer.unknown(&operand).map(|()| operand),
        ty if ty.is_integer() => (ty.size() * 8) as u8,
        other => {
            let message = format!("bswap() only supports integers, not {other}");
            return Err(lowerer.error("type-mismatch", operand.span, message));
        }
    };
    let ty = Type::Integer { bits, signed: false };
    let value = match operand.constant() {
        Some(value) => Ir::int((value.swap_bytes() as u64 >> (64 - u32::from(bits))) as i64),
        None => {
            let register = lowerer.register(operand)?;
            match bits {
                8 => lowerer.narrow(&ty, register),
                64 => lowerer.bind(Scalar::I64, Ir::Swap(Box::new(register))),
                _ => {
                    let narrow = Ir::convert(Conversion::Truncate, Scalar::of_bits(bits), register);
                    let swapped = Ir::Swap(Box::new(narrow));
                    lowerer.bind(Scalar::I64, Ir::convert(Conversion::ZeroExtend, Scalar::I64, swapped))
                }
            }
        }
    };
    Ok(Operand::scalar(ty, value, call.span))
}

/// Whether a value is so many bytes in memory: a `char` array, or a string of that size.
fn is_bytes(ty: &Type) -> bool {
    match ty {
        Type::String { .. } => true,
        Type::Array { element, .. } => element.size() == 1,
        _ => false,
    }
}

/// Copies the first `size` bytes of an array, or of what a pointer points to.
fn copy_bytes(lowerer: &mut Lowerer, operand: &Operand, to: Ir, size: u32) -> Lowered<()> {
    match (&operand.repr, &operand.ty) {
        (Repr::Remote { address, space }, _) => lowerer.probe_read(to, size, address.clone(), *space),
        (_, ty) if is_bytes(ty) => {
            let from = lowerer.materialize(operand)?;
            lowerer.emit(Stmt::Copy { to, from, size, align: 1 });
        }
        (_, ty) => {
            let space = match ty {
                Type::Pointer { space, .. } if *space != AddressSpace::Unknown => *space,
                _ => lowerer.probe.address_space,
            };
            let address = lowerer.register(operand.clone())?;
            lowerer.probe_read(to, size, address, space);
        }
    }
    Ok(())
}

fn mac_address(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let argument = lowerer.value_argument(argument)?;
    let operand = lowerer.expr(argument)?;
    let fits = match &operand.ty {
        Type::Void => return lowerer.unknown(&operand).map(|()| operand),
        ty if is_bytes(ty) => ty.size() >= Type::Mac.size(),
        ty => ty.is_integer() || matches!(ty, Type::Pointer { .. }),
    };
    if !fits {
        let message = format!("macaddr() takes six bytes or a pointer to them, not {}", operand.ty);
        return Err(lowerer.error("type-mismatch", operand.span, message));
    }
    let slot = Ir::Slot(lowerer.new_slot(8, 8));
    copy_bytes(lowerer, &operand, slot.clone(), Type::Mac.size())?;
    Ok(Operand::memory(Type::Mac, slot, call.span))
}

fn address_to_text(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let (family, address) = match call.arguments {
        [address] => (None, address),
        [family, address] => (Some(family), address),
        _ => return Ok(Operand::void(call.span)),
    };
    let address = lowerer.value_argument(address)?;
    let address = lowerer.expr(address)?;
    let size = match &address.ty {
        Type::Void => return lowerer.unknown(&address).map(|()| address),
        Type::Integer { .. } | Type::Enum { .. } => 4,
        ty if is_bytes(ty) => ty.size(),
        Type::Pointer { to, .. } if matches!(to.size(), 4 | 16) => to.size(),
        _ => 0,
    };
    if !matches!(size, 4 | 16) {
        let message = format!("ntop() takes an integer, 4 or 16 bytes, not {}", address.ty);
        return Err(lowerer.error("type-mismatch", address.span, message));
    }
    let slot = Ir::Slot(lowerer.slot_for(&Type::Inet));
    let length = address_length(lowerer, family, size)?;
    lowerer.emit(Stmt::Zero { to: slot.clone(), size: Type::Inet.size(), align: 4 });
    lowerer.store_scalar(slot.clone(), length, &Type::U32);
    let bytes = slot.clone().offset(4);
    if address.ty.is_integer() {
        let value = lowerer.register(address)?;
        lowerer.store_scalar(bytes, value, &Type::U32);
    } else {
        copy_bytes(lowerer, &address, bytes, size)?;
    }
    Ok(Operand::memory(Type::Inet, slot, call.span))
}

/// How many of the address's bytes count: as its family says, or all of them.
fn address_length(lowerer: &mut Lowerer, family: Option<&TypeOrExpr>, size: u32) -> Lowered<Ir> {
    let Some(family) = family else { return Ok(Ir::int(i64::from(size))) };
    let expr = lowerer.value_argument(family)?;
    let family = lowerer.expr(expr)?;
    match family.constant() {
        Some(AF_INET) => Ok(Ir::int(4)),
        Some(AF_INET6) if size == 16 => Ok(Ir::int(16)),
        Some(AF_INET6) => {
            let message = "ntop: an address of AF_INET6 has 16 bytes, this one 4";
            Err(lowerer.error("type-mismatch", expr.span, message))
        }
        Some(other) => {
            let message = format!("ntop: the address family is 2 (AF_INET) or 10 (AF_INET6), not {other}");
            Err(lowerer.error("invalid-argument", expr.span, message))
        }
        None => {
            let family = lowerer.register(family)?;
            let condition = Ir::binary(Op::Eq, family, Ir::int(AF_INET));
            let (then, otherwise) = (Box::new(Ir::int(4)), Box::new(Ir::int(i64::from(size))));
            let length = Ir::Select { condition: Box::new(condition), then, otherwise };
            Ok(lowerer.bind(Scalar::I64, length))
        }
    }
}

fn text_to_address(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let text = lowerer.constant_text(argument, "the address given to pton()")?;
    let bytes = match text.parse() {
        Ok(IpAddr::V4(address)) => address.octets().to_vec(),
        Ok(IpAddr::V6(address)) => address.octets().to_vec(),
        Err(_) => {
            let message = format!("'{text}' is neither an IPv4 nor an IPv6 address");
            return Err(lowerer.error("invalid-address", call.span, message));
        }
    };
    let ty = Type::Array { element: Type::U8.into(), length: bytes.len() as u32 };
    let slot = Ir::Slot(lowerer.slot_for(&ty));
    lowerer.emit(Stmt::Bytes { to: slot.clone(), bytes, align: 1 });
    Ok(Operand::memory(ty, slot, call.span))
}
