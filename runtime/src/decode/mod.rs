//! From the bytes of events and maps to [`Value`]s.
//!
//! The layouts are those that `probebook_compiler::types` documents. Input that is too short for
//! its type becomes [`Value::Null`].

mod aggregate;
mod record;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use probebook_compiler::types::{Aggregate, StackMode, Type};

use crate::value::{Resolve, Stack, Value};

pub use aggregate::decode_aggregate;

/// The value of type `ty` at the start of `bytes`.
///
/// An aggregate is taken as one CPU's copy, or as the number that a program made of all copies if
/// there are but eight bytes.
pub fn decode(ty: &Type, bytes: &[u8], resolve: &dyn Resolve) -> Value {
    decode_checked(ty, bytes, resolve).unwrap_or(Value::Null)
}

fn decode_checked(ty: &Type, bytes: &[u8], resolve: &dyn Resolve) -> Option<Value> {
    Some(match ty {
        Type::Void => Value::Null,
        Type::Bool => Value::Bool(*bytes.first()? != 0),
        Type::Integer { bits, signed } => integer(bytes, *bits, *signed)?,
        Type::Enum { info } => {
            let number = match integer(bytes, info.bits, info.signed)? {
                Value::Signed(number) => number,
                Value::Unsigned(number) => number.cast_signed(),
                _ => return None,
            };
            Value::enumerator(info, number)
        }
        Type::Pointer { .. } => Value::pointer(read_u64(bytes, 0)?),
        Type::String { capacity } => string(bytes, *capacity)?,
        Type::Buffer { capacity } => {
            let length = read_u32(bytes, 0)?.min(*capacity) as usize;
            Value::Buffer(bytes.get(4..4 + length)?.to_vec())
        }
        Type::Array { element, length } => array(element, *length, bytes, resolve)?,
        Type::Tuple(_) | Type::Record(_) | Type::Struct(_) => record::decode(ty, bytes, resolve)?,
        Type::Stack { user, mode, limit } => stack(bytes, *user, *mode, *limit, resolve)?,
        Type::KernelSymbol => Value::text(resolve.kernel_symbol(read_u64(bytes, 0)?)),
        Type::UserSymbol => Value::text(resolve.user_symbol(read_u64(bytes, 0)?, read_u32(bytes, 8)?)),
        Type::Inet => inet(bytes)?,
        Type::Mac => Value::Mac(bytes.first_chunk().copied()?),
        Type::Timestamp { format } => Value::Time(resolve.time(read_u64(bytes, 0)?, *format)),
        Type::CgroupPath { filter } => Value::text(resolve.cgroup_path(read_u64(bytes, 0)?, *filter)),
        Type::ErrorName => Value::text(error_name(read_u64(bytes, 0)?.cast_signed())),
        Type::Username => Value::text(resolve.username(read_u64(bytes, 0)?)),
        Type::Aggregate(aggregate) => {
            reduced(aggregate, bytes).unwrap_or_else(|| decode_aggregate(aggregate, std::iter::once(bytes)))
        }
    })
}

/// The number that a program computed from all copies of an aggregate.
fn reduced(aggregate: &Aggregate, bytes: &[u8]) -> Option<Value> {
    match aggregate {
        Aggregate::Avg { signed } | Aggregate::Min { signed } | Aggregate::Max { signed } if bytes.len() == 8 => {
            integer(bytes, 64, *signed)
        }
        _ => None,
    }
}

fn integer(bytes: &[u8], bits: u8, signed: bool) -> Option<Value> {
    let raw = match bits {
        8 => u64::from(*bytes.first()?),
        16 => u64::from(u16::from_ne_bytes(bytes.first_chunk().copied()?)),
        32 => u64::from(read_u32(bytes, 0)?),
        64 => read_u64(bytes, 0)?,
        _ => return None,
    };
    Some(if signed { Value::Signed(sign_extend(raw, u32::from(bits))) } else { Value::Unsigned(raw) })
}

/// The two's complement number in the lowest `bits` (1 to 64) of `raw`.
fn sign_extend(raw: u64, bits: u32) -> i64 {
    let unused = 64u32.saturating_sub(bits).min(63);
    (raw << unused).cast_signed() >> unused
}

/// Up to the NUL. Without one the string filled its memory, so it was cut.
fn string(bytes: &[u8], capacity: u32) -> Option<Value> {
    let bytes = bytes.get(..capacity as usize)?;
    let end = bytes.iter().position(|byte| *byte == 0);
    let text = bytes.get(..end.unwrap_or(bytes.len()))?;
    Some(Value::String { bytes: text.to_vec(), truncated: end.is_none() && capacity > 0 })
}

fn array(element: &Type, length: u32, bytes: &[u8], resolve: &dyn Resolve) -> Option<Value> {
    let size = element.size() as usize;
    let elements = (0..length as usize).map(|index| {
        let start = index.checked_mul(size)?;
        decode_checked(element, bytes.get(start..start.checked_add(size)?)?, resolve)
    });
    Some(Value::Array(elements.collect::<Option<_>>()?))
}

/// `{i64 id; u32 pid; u32 frames}`: a negative id is the error of a stack that was not recorded.
fn stack(bytes: &[u8], user: bool, mode: StackMode, limit: u32, resolve: &dyn Resolve) -> Option<Value> {
    let id = read_u64(bytes, 0)?.cast_signed();
    let (pid, count) = (read_u32(bytes, 8)?, read_u32(bytes, 12)? as usize);
    let build_ids = mode == StackMode::BuildId;
    let mut frames = if id < 0 { Arc::default() } else { resolve.stack(user, limit, build_ids, id, pid) };
    if (1..frames.len()).contains(&count) {
        frames = Arc::new(frames.iter().take(count).cloned().collect());
    }
    Some(Value::Stack(Stack { mode, user, frames }))
}

/// `{u32 length; u8 bytes[16]}`; a length of 0 is an address that was never set.
fn inet(bytes: &[u8]) -> Option<Value> {
    let address = bytes.get(4..20)?;
    Some(match read_u32(bytes, 0)? {
        4 => Value::Inet(IpAddr::V4(Ipv4Addr::from(*address.first_chunk::<4>()?))),
        16 => Value::Inet(IpAddr::V6(Ipv6Addr::from(*address.first_chunk::<16>()?))),
        _ => Value::text(""),
    })
}

/// The text of strerror(3).
fn error_name(number: i64) -> String {
    let Ok(number) = i32::try_from(number) else {
        return format!("Unknown error {number}");
    };
    crate::text::reason(&std::io::Error::from_raw_os_error(number))
}

fn read_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u32::from_ne_bytes(*chunk))
}

fn read_u64(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u64::from_ne_bytes(*chunk))
}

#[cfg(test)]
mod tests;
