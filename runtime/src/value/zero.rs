//! The value of a scalar map that nothing was assigned to.

use std::sync::Arc;

use probebook_compiler::types::{Aggregate, Type};

use super::{Hist, Lhist, Stack, Tseries, Value};

impl Value {
    /// What `print(@x)` shows before `@x` was assigned: all bytes zero.
    pub fn zero(ty: &Type) -> Value {
        match ty {
            Type::Void => Value::Null,
            Type::Bool => Value::Bool(false),
            Type::Integer { signed: true, .. } => Value::Signed(0),
            Type::Integer { .. } => Value::Unsigned(0),
            Type::Enum { info } => Value::enumerator(info, 0),
            Type::Pointer { .. } => Value::pointer(0),
            Type::Array { element, length } => Value::Array((0..*length).map(|_| Value::zero(element)).collect()),
            Type::Tuple(elements) => Value::Tuple(elements.iter().map(Value::zero).collect()),
            Type::Record(fields) => Value::Record(fields.iter().map(|(n, ty)| (n.clone(), Value::zero(ty))).collect()),
            Type::Struct(info) => {
                Value::Record(info.fields.iter().map(|f| (f.name.clone(), Value::zero(&f.ty))).collect())
            }
            Type::Buffer { .. } => Value::Buffer(Vec::new()),
            Type::Stack { user, mode, .. } => Value::Stack(Stack { mode: *mode, user: *user, frames: Arc::default() }),
            Type::KernelSymbol | Type::UserSymbol => Value::text("0x0"),
            Type::Mac => Value::Mac([0; 6]),
            Type::Timestamp { .. } => Value::Time("(?)".into()),
            Type::ErrorName => Value::text("Success"),
            Type::Username => Value::text("root"),
            Type::String { .. } | Type::Inet | Type::CgroupPath { .. } => Value::text(""),
            Type::Aggregate(aggregate) => zero_aggregate(aggregate),
        }
    }

    /// A complete string.
    pub fn text(text: impl Into<String>) -> Value {
        Value::String { bytes: text.into().into_bytes(), truncated: false }
    }

    /// An address, printed in hexadecimal.
    pub fn pointer(address: u64) -> Value {
        Value::Named { text: format!("{address:#x}"), number: address.cast_signed() }
    }

    /// A value of an enumeration by its name, or by its number if it has none.
    pub fn enumerator(info: &probebook_compiler::types::EnumType, number: i64) -> Value {
        let name = info.variants.iter().find(|(_, value)| *value == number);
        let text = match name {
            Some((name, _)) => name.clone(),
            None if info.signed => number.to_string(),
            None => number.cast_unsigned().to_string(),
        };
        Value::Named { text, number }
    }
}

fn zero_aggregate(aggregate: &Aggregate) -> Value {
    let number = |signed: bool| {
        if signed { Value::Signed(0) } else { Value::Unsigned(0) }
    };
    match aggregate {
        Aggregate::Count => Value::Unsigned(0),
        Aggregate::Sum { signed }
        | Aggregate::Avg { signed }
        | Aggregate::Min { signed }
        | Aggregate::Max { signed } => number(*signed),
        Aggregate::Stats { signed } => {
            Value::Stats { count: 0, average: Box::new(number(*signed)), total: Box::new(number(*signed)) }
        }
        Aggregate::Hist { k } => Value::Hist(Hist { k: *k, buckets: Vec::new() }),
        Aggregate::Lhist { min, max, step } => {
            Value::Lhist(Lhist { min: *min, max: *max, step: *step, buckets: Vec::new() })
        }
        Aggregate::Tseries { interval_ns, intervals, combine, signed } => Value::Tseries(Tseries {
            interval_ns: *interval_ns,
            intervals: *intervals,
            combine: *combine,
            signed: *signed,
            points: Vec::new(),
        }),
    }
}
