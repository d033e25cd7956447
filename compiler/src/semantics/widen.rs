//! The lattice of types: what holds values of two types, and how a map stores a type.

use std::sync::Arc;

use crate::types::{AddressSpace, Aggregate, Type};

/// The type that holds values of both; `None` if they have nothing in common.
/// [`Type::Void`] stands for "not known yet".
pub fn join(a: &Type, b: &Type) -> Option<Type> {
    if a == b {
        return Some(a.clone());
    }
    match (a, b) {
        (Type::Void, other) | (other, Type::Void) => Some(other.clone()),
        (Type::Enum { .. }, _) | (_, Type::Enum { .. }) => join(&plain_integer(a), &plain_integer(b)),
        (Type::Integer { bits: l, signed: ls }, Type::Integer { bits: r, signed: rs }) => {
            Some(join_integers((*l, *ls), (*r, *rs)))
        }
        (Type::String { capacity: l }, Type::String { capacity: r }) => Some(Type::String { capacity: *l.max(r) }),
        (Type::Buffer { capacity: l }, Type::Buffer { capacity: r }) => Some(Type::Buffer { capacity: *l.max(r) }),
        (Type::Pointer { to: l, space: ls }, Type::Pointer { to: r, space: rs }) => {
            let to = match (&**l, &**r) {
                _ if l == r || **r == Type::Void || is_named_by(r, l) => l.clone(),
                (Type::Struct(left), Type::Struct(right)) if left.name != right.name => return None,
                // What `&$x` points to may have got wider.
                _ => r.clone(),
            };
            Some(Type::Pointer { to, space: if *ls == AddressSpace::Unknown { *rs } else { *ls } })
        }
        (Type::Array { element: l, length }, Type::Array { element: r, length: other })
            if length == other && fits(l, r) && fits(r, l) && l.size() == r.size() =>
        {
            join(l, r).map(|joined| Type::Array { element: joined.into(), length: *length })
        }
        (Type::Pointer { .. }, Type::Integer { .. }) => Some(a.clone()),
        (Type::Integer { .. }, Type::Pointer { .. }) => Some(b.clone()),
        (Type::Tuple(l), Type::Tuple(r)) if l.len() == r.len() => {
            let joined: Option<Vec<Type>> = l.iter().zip(r.iter()).map(|(l, r)| join(l, r)).collect();
            joined.map(Type::tuple)
        }
        (Type::Record(l), Type::Record(r)) if l.len() == r.len() => join_records(l, r),
        (Type::Aggregate(l), Type::Aggregate(r)) => join_aggregates(l, r).map(Type::Aggregate),
        _ => None,
    }
}

/// Whether one is a structure's name and the other the same structure with its members.
fn is_named_by(name: &Type, whole: &Type) -> bool {
    match (name, whole) {
        (Type::Struct(name), Type::Struct(whole)) => name.name == whole.name && name.fields.is_empty(),
        _ => false,
    }
}

/// Gives a literal's type the sign of the other type, if only one of them is a literal's.
pub fn agree_on_sign((a, a_flexible): (&Type, bool), (b, b_flexible): (&Type, bool)) -> (Type, Type) {
    match (a, b) {
        (Type::Integer { bits, .. }, Type::Integer { signed, .. }) if a_flexible && !b_flexible => {
            (Type::Integer { bits: *bits, signed: *signed }, b.clone())
        }
        (Type::Integer { signed, .. }, Type::Integer { bits, .. }) if b_flexible && !a_flexible => {
            (a.clone(), Type::Integer { bits: *bits, signed: *signed })
        }
        _ => (a.clone(), b.clone()),
    }
}

fn plain_integer(ty: &Type) -> Type {
    match ty {
        Type::Enum { info } => Type::Integer { bits: info.bits, signed: info.signed },
        other => other.clone(),
    }
}

fn join_integers((l, l_signed): (u8, bool), (r, r_signed): (u8, bool)) -> Type {
    if l_signed == r_signed {
        return Type::Integer { bits: l.max(r), signed: l_signed };
    }
    let (signed_bits, unsigned_bits) = if l_signed { (l, r) } else { (r, l) };
    let bits = if signed_bits > unsigned_bits { signed_bits } else { unsigned_bits.saturating_mul(2).min(64) };
    Type::Integer { bits, signed: true }
}

fn join_records(l: &Arc<[(String, Type)]>, r: &Arc<[(String, Type)]>) -> Option<Type> {
    let find = |name: &str| r.iter().find(|(n, _)| n == name).map(|(_, ty)| ty);
    let joined: Option<Vec<(String, Type)>> =
        l.iter().map(|(name, ty)| Some((name.clone(), join(ty, find(name)?)?))).collect();
    joined.map(|fields| Type::Record(fields.into()))
}

fn join_aggregates(l: &Aggregate, r: &Aggregate) -> Option<Aggregate> {
    use Aggregate::*;
    match (l, r) {
        (Sum { signed: l }, Sum { signed: r }) => Some(Sum { signed: *l || *r }),
        (Avg { signed: l }, Avg { signed: r }) => Some(Avg { signed: *l || *r }),
        (Min { signed: l }, Min { signed: r }) => Some(Min { signed: *l || *r }),
        (Max { signed: l }, Max { signed: r }) => Some(Max { signed: *l || *r }),
        (Stats { signed: l }, Stats { signed: r }) => Some(Stats { signed: *l || *r }),
        (
            Tseries { interval_ns, intervals, combine, signed },
            Tseries { interval_ns: i, intervals: n, combine: c, signed: s },
        ) if interval_ns == i && intervals == n && combine == c => {
            Some(Tseries { interval_ns: *i, intervals: *n, combine: *c, signed: *signed || *s })
        }
        _ => None,
    }
}

/// How a map stores a value or key of this type: integers take 64 bits, so that a later cell with
/// a wider one finds room, and short literals leave room for longer ones.
pub fn stored(ty: &Type) -> Type {
    match ty {
        Type::Integer { signed, .. } => Type::Integer { bits: 64, signed: *signed },
        Type::String { capacity } => Type::String { capacity: capacity.next_multiple_of(8).max(16) },
        Type::Tuple(elements) => Type::tuple(elements.iter().map(stored).collect()),
        Type::Record(fields) => {
            Type::Record(fields.iter().map(|(name, ty)| (name.clone(), stored(ty))).collect::<Vec<_>>().into())
        }
        other => other.clone(),
    }
}

/// Whether a value of type `from` can be put where `to` is wanted without changing `to`.
pub fn fits(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (Type::Integer { .. } | Type::Enum { .. }, Type::Integer { .. } | Type::Enum { .. }) => true,
        (Type::Pointer { to: from, .. }, Type::Pointer { to, .. }) => {
            from == to || **from == Type::Void || **to == Type::Void || from.to_string() == to.to_string()
        }
        (Type::Array { element: from, length }, Type::Array { element: to, length: wanted }) => {
            length == wanted && from.size() == to.size() && fits(from, to)
        }
        (Type::Bool, Type::Integer { .. }) | (Type::Integer { .. }, Type::Bool) => true,
        (Type::Pointer { .. }, Type::Integer { bits: 64, .. }) => true,
        (Type::String { capacity: from }, Type::String { capacity: to })
        | (Type::Buffer { capacity: from }, Type::Buffer { capacity: to }) => from <= to,
        (Type::Tuple(from), Type::Tuple(to)) => {
            from.len() == to.len() && from.iter().zip(to.iter()).all(|(from, to)| fits(from, to))
        }
        _ => join(from, to).is_some_and(|joined| joined == *to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::StructType;

    #[test]
    fn integers_of_different_sign_meet_in_a_wider_signed_one() {
        assert_eq!(join(&Type::U32, &Type::I8), Some(Type::I64));
        assert_eq!(join(&Type::U8, &Type::I32), Some(Type::I32));
        assert_eq!(join(&Type::U64, &Type::I64), Some(Type::I64));
    }

    /// One of the two may know the structure by its name alone.
    #[test]
    fn arrays_of_pointers_meet_where_the_pointers_do() {
        let pointer = |name: &str, size, space| {
            let info = StructType { name: name.into(), size, fields: Vec::new() };
            Type::pointer(Type::Struct(info.into()), space)
        };
        let array = |element, length| Type::Array { element: Arc::new(element), length };
        let named = array(pointer("struct a", 0, AddressSpace::User), 2);
        let whole = array(pointer("struct a", 8, AddressSpace::Unknown), 2);
        assert!(fits(&named, &whole) && join(&named, &whole).is_some());
        let other = array(pointer("struct b", 8, AddressSpace::Unknown), 2);
        assert!(!fits(&named, &other) && join(&named, &other).is_none());
        assert!(!fits(&array(Type::U32, 2), &array(Type::U32, 3)) && !fits(&array(Type::U32, 2), &array(Type::U8, 2)));
    }

    #[test]
    fn strings_and_integers_have_nothing_in_common() {
        assert_eq!(join(&Type::I64, &Type::String { capacity: 3 }), None);
    }
}
