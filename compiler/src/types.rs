//! The types of values, and how each lies in memory.
//!
//! The same [`Type`] decides what the checker allows, how many bytes the generated program stores,
//! and how the runtime reads those bytes back.

use std::fmt;
use std::sync::Arc;

/// Which address space a pointer points into; decides the probe-read helper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AddressSpace {
    #[default]
    Unknown,
    Kernel,
    User,
    /// Memory of the BPF program itself: stack, scratch, map value, context.
    Bpf,
}

/// How a stack is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StackMode {
    #[default]
    Bpftrace,
    Perf,
    Raw,
    BuildId,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// No value: the result of `printf`.
    Void,
    Bool,
    Integer {
        bits: u8,
        signed: bool,
    },
    /// An integer whose values have names.
    Enum {
        info: Arc<EnumType>,
    },
    /// NUL-terminated and zero-padded to `capacity` bytes.
    String {
        capacity: u32,
    },
    /// A `u32` length followed by `capacity` bytes.
    Buffer {
        capacity: u32,
    },
    Pointer {
        to: Arc<Type>,
        space: AddressSpace,
    },
    Array {
        element: Arc<Type>,
        length: u32,
    },
    Tuple(Arc<[Type]>),
    Record(Arc<[(String, Type)]>),
    Struct(Arc<StructType>),
    /// `struct { u64 pid_and_probe; … }`: see [`STACK_KEY_SIZE`].
    Stack {
        user: bool,
        mode: StackMode,
        limit: u32,
    },
    /// A kernel address that prints as a name.
    KernelSymbol,
    /// An address, a process id and a probe id: `{u64 address; u32 pid; u32 pad}`.
    UserSymbol,
    /// `{u32 length (4 or 16); u8 bytes[16]}`
    Inet,
    /// Six bytes.
    Mac,
    /// `u64` nanoseconds since boot, printed by the format with this index.
    Timestamp {
        format: u32,
    },
    /// `u64` cgroup id, looked up below the hierarchies that the filter with this index names.
    CgroupPath {
        filter: u32,
    },
    /// `u64` error number that prints as its text.
    ErrorName,
    /// `u64` user id that prints as the user's name.
    Username,
    /// A map value that is aggregated, per CPU.
    Aggregate(Aggregate),
}

/// The map value functions. Each CPU has its own copy of the value; readers combine them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Aggregate {
    Count,
    /// `u64` sum, shown signed or unsigned.
    Sum {
        signed: bool,
    },
    /// `{u64 total; u64 count}`
    Avg {
        signed: bool,
    },
    /// `{u64 value; u64 is_set}`
    Min {
        signed: bool,
    },
    /// `{u64 value; u64 is_set}`
    Max {
        signed: bool,
    },
    /// `{u64 total; u64 count}`, shown as count, average and total.
    Stats {
        signed: bool,
    },
    /// `u64 buckets[hist_buckets(k)]`
    Hist {
        k: u8,
    },
    /// `u64 buckets[(max - min) / step + 2]`: below, the steps, above.
    Lhist {
        min: i64,
        max: i64,
        step: i64,
    },
    /// `intervals` slots of [`TSERIES_SLOT_SIZE`] bytes, filled round robin by epoch.
    Tseries {
        interval_ns: u64,
        intervals: u32,
        combine: Combine,
        signed: bool,
    },
}

/// How the values that fall into one interval of a time series are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Combine {
    #[default]
    Last,
    Avg,
    Max,
    Min,
    Sum,
}

/// `{u64 value; u64 meta; u64 epoch + 1}`: for `avg` meta counts, for `last` it is the time stamp; the
/// epoch is nanoseconds since 1970 divided by the interval. 0 in its place marks an unused slot.
pub const TSERIES_SLOT_SIZE: u32 = 24;

/// `{i64 stack id; u32 pid; u32 frames}`: the id names an entry of the session's stack map for
/// this kind and limit, the pid is that of the process (0 for kernel stacks).
pub const STACK_KEY_SIZE: u32 = 16;

/// `struct bpf_stack_build_id` of `linux/bpf.h`: `{i32 status; u8 build_id[20]; u64 offset or address}`.
pub const STACK_BUILD_ID_SIZE: u32 = 32;

/// A C structure: from the kernel's BTF, a tracepoint's format, or a definition in the script.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StructType {
    /// `struct task_struct`, `union foo`; for a tracepoint's arguments the probe's name.
    pub name: String,
    pub size: u32,
    pub fields: Vec<StructField>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StructField {
    pub name: String,
    pub offset: u32,
    pub ty: Type,
    /// Bit offset from `offset` and width in bits.
    pub bitfield: Option<(u8, u8)>,
    /// A tracepoint's `__data_loc`: a `u32` that holds length << 16 | offset from the record.
    pub data_loc: bool,
}

/// An enumeration and the names of its values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EnumType {
    pub name: String,
    pub bits: u8,
    pub signed: bool,
    pub variants: Vec<(String, i64)>,
}

/// The number of buckets of a log2 histogram with 2^k buckets for each power of two: one for
/// negative values, one for each small value up to 2^k, then 2^k for each further power.
pub fn hist_buckets(k: u8) -> u32 {
    let per_power = 1u32 << k;
    1 + per_power + (64 - u32::from(k)) * per_power
}

impl Type {
    pub const U8: Type = Type::Integer { bits: 8, signed: false };
    pub const U16: Type = Type::Integer { bits: 16, signed: false };
    pub const U32: Type = Type::Integer { bits: 32, signed: false };
    pub const U64: Type = Type::Integer { bits: 64, signed: false };
    pub const I8: Type = Type::Integer { bits: 8, signed: true };
    pub const I32: Type = Type::Integer { bits: 32, signed: true };
    pub const I64: Type = Type::Integer { bits: 64, signed: true };

    pub fn pointer(to: Type, space: AddressSpace) -> Type {
        Type::Pointer { to: Arc::new(to), space }
    }

    pub fn tuple(elements: Vec<Type>) -> Type {
        Type::Tuple(elements.into())
    }

    /// Whether a value fits a register: integers, booleans, pointers and what prints as a name.
    pub fn is_scalar(&self) -> bool {
        matches!(
            self,
            Type::Bool
                | Type::Integer { .. }
                | Type::Enum { .. }
                | Type::Pointer { .. }
                | Type::KernelSymbol
                | Type::Timestamp { .. }
                | Type::CgroupPath { .. }
                | Type::ErrorName
                | Type::Username
        )
    }

    /// Whether addresses of kernel code are in it, which print as names.
    pub fn names_kernel_code(&self) -> bool {
        match self {
            Type::Stack { user, .. } => !user,
            Type::KernelSymbol => true,
            Type::Array { element, .. } => element.names_kernel_code(),
            Type::Tuple(elements) => elements.iter().any(Type::names_kernel_code),
            Type::Record(fields) => fields.iter().any(|(_, ty)| ty.names_kernel_code()),
            _ => false,
        }
    }

    pub fn is_integer(&self) -> bool {
        matches!(self, Type::Integer { .. } | Type::Enum { .. })
    }

    pub fn is_signed(&self) -> bool {
        match self {
            Type::Integer { signed, .. } => *signed,
            Type::Enum { info } => info.signed,
            _ => false,
        }
    }

    /// Bytes in memory, in an event and in a map. For an aggregate: of one CPU's copy.
    pub fn size(&self) -> u32 {
        match self {
            Type::Void => 0,
            Type::Bool => 1,
            Type::Integer { bits, .. } => u32::from(*bits) / 8,
            Type::Enum { info } => u32::from(info.bits) / 8,
            Type::String { capacity } => *capacity,
            Type::Buffer { capacity } => 4 + *capacity,
            Type::Pointer { .. } | Type::KernelSymbol => 8,
            Type::Timestamp { .. } | Type::CgroupPath { .. } => 8,
            Type::ErrorName | Type::Username => 8,
            Type::Array { .. } | Type::Tuple(_) | Type::Record(_) => self.extent().size,
            Type::Struct(info) => info.size,
            Type::Stack { .. } => STACK_KEY_SIZE,
            Type::UserSymbol => 16,
            Type::Inet => 20,
            Type::Mac => 6,
            Type::Aggregate(aggregate) => aggregate.size(),
        }
    }

    /// Alignment in bytes: 1, 2, 4 or 8.
    pub fn align(&self) -> u32 {
        match self {
            Type::Integer { .. } | Type::Enum { .. } => self.size().max(1),
            Type::Buffer { .. } | Type::Inet => 4,
            Type::Struct(info) => info.align(),
            Type::Array { .. } | Type::Tuple(_) | Type::Record(_) => self.extent().align,
            // Strings of whole words are copied and compared word by word.
            Type::String { capacity } if capacity % 8 == 0 => 8,
            Type::Void | Type::Bool | Type::String { .. } | Type::Mac => 1,
            _ => 8,
        }
    }

    /// Size and alignment at once: asking an element for one and then the other would double the work
    /// with each level of nesting.
    fn extent(&self) -> Extent {
        match self {
            Type::Array { element, length } => {
                let element = element.extent();
                Extent { size: element.size.saturating_mul(*length), ..element }
            }
            Type::Tuple(elements) => layout(elements.iter()).extent,
            Type::Record(fields) => layout(fields.iter().map(|(_, ty)| ty)).extent,
            other => Extent { size: other.size(), align: other.align() },
        }
    }

    /// Alignment where C lays out the memory: a string is an array of `char` there.
    pub fn c_align(&self) -> u32 {
        match self {
            Type::String { .. } => 1,
            Type::Array { element, .. } => element.c_align(),
            other => other.align(),
        }
    }

    /// Byte offsets of a tuple's or a record's elements; empty for everything else.
    pub fn element_offsets(&self) -> Vec<u32> {
        match self {
            Type::Tuple(elements) => layout(elements.iter()).offsets,
            Type::Record(fields) => layout(fields.iter().map(|(_, ty)| ty)).offsets,
            _ => Vec::new(),
        }
    }
}

impl StructType {
    /// The alignment in bytes that its members have and its size keeps; 1 if it is packed, 8 if
    /// nothing is known of it.
    pub fn align(&self) -> u32 {
        if self.fields.is_empty() {
            return 8;
        }
        let mut align = 1;
        for field in &self.fields {
            let own = field.ty.c_align().max(1);
            if field.offset % own != 0 {
                return 1;
            }
            align = own.max(align);
        }
        if self.size.is_multiple_of(align) { align } else { 1 }
    }
}

impl Aggregate {
    /// Bytes of one CPU's copy.
    pub fn size(&self) -> u32 {
        match self {
            Aggregate::Count | Aggregate::Sum { .. } => 8,
            Aggregate::Avg { .. } | Aggregate::Stats { .. } => 16,
            Aggregate::Min { .. } | Aggregate::Max { .. } => 16,
            Aggregate::Hist { k } => 8 * hist_buckets(*k),
            Aggregate::Lhist { .. } => 8 * self.lhist_buckets(),
            Aggregate::Tseries { intervals, .. } => TSERIES_SLOT_SIZE * intervals,
        }
    }

    /// Buckets of a linear histogram, those below and above included; 0 for other aggregates.
    pub fn lhist_buckets(&self) -> u32 {
        match self {
            Aggregate::Lhist { min, max, step } => {
                let steps = max.saturating_sub(*min) / (*step).max(1);
                u32::try_from(steps).unwrap_or(u32::MAX - 2) + 2
            }
            _ => 0,
        }
    }

    /// The function's name, as users write it.
    pub fn name(&self) -> &'static str {
        match self {
            Aggregate::Count => "count",
            Aggregate::Sum { .. } => "sum",
            Aggregate::Avg { .. } => "avg",
            Aggregate::Min { .. } => "min",
            Aggregate::Max { .. } => "max",
            Aggregate::Stats { .. } => "stats",
            Aggregate::Hist { .. } => "hist",
            Aggregate::Lhist { .. } => "lhist",
            Aggregate::Tseries { .. } => "tseries",
        }
    }
}

/// Where the elements of a sequence lie when each is aligned naturally.
struct Layout {
    offsets: Vec<u32>,
    extent: Extent,
}

/// What a value takes in memory, in bytes.
struct Extent {
    size: u32,
    align: u32,
}

fn layout<'a>(elements: impl Iterator<Item = &'a Type>) -> Layout {
    let mut offsets = Vec::new();
    let mut whole = Extent { size: 0, align: 1 };
    for element in elements.map(Type::extent) {
        let offset = whole.size.next_multiple_of(element.align);
        offsets.push(offset);
        whole.size = offset + element.size;
        whole.align = whole.align.max(element.align);
    }
    whole.size = whole.size.next_multiple_of(whole.align);
    Layout { offsets, extent: whole }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Void => f.write_str("void"),
            Type::Bool => f.write_str("bool"),
            Type::Integer { bits, signed } => write!(f, "{}int{bits}", if *signed { "" } else { "u" }),
            Type::Enum { info } => write!(f, "enum {}", info.name),
            Type::String { capacity } => write!(f, "string[{capacity}]"),
            Type::Buffer { capacity } => write!(f, "buffer[{capacity}]"),
            Type::Pointer { to, .. } => write!(f, "{to} *"),
            Type::Array { element, length } => write!(f, "{element}[{length}]"),
            Type::Tuple(elements) => {
                let names: Vec<String> = elements.iter().map(Type::to_string).collect();
                write!(f, "({})", names.join(","))
            }
            Type::Record(fields) => {
                let names: Vec<String> = fields.iter().map(|(n, t)| format!("{n}={t}")).collect();
                write!(f, "({})", names.join(","))
            }
            Type::Struct(info) => f.write_str(&info.name),
            Type::Stack { user: true, .. } => f.write_str("ustack"),
            Type::Stack { user: false, .. } => f.write_str("kstack"),
            Type::KernelSymbol => f.write_str("ksym_t"),
            Type::UserSymbol => f.write_str("usym_t"),
            Type::Inet => f.write_str("inet"),
            Type::Mac => f.write_str("macaddr_t"),
            Type::Timestamp { .. } => f.write_str("timestamp"),
            Type::CgroupPath { .. } => f.write_str("cgroup_path_t"),
            Type::ErrorName => f.write_str("strerror_t"),
            Type::Username => f.write_str("username"),
            Type::Aggregate(aggregate) => write!(f, "{}_t", aggregate.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_are_laid_out_with_natural_alignment() {
        let ty = Type::tuple(vec![Type::U8, Type::U32, Type::String { capacity: 3 }, Type::U64]);
        assert_eq!(ty.element_offsets(), [0, 4, 8, 16]);
        assert_eq!((ty.size(), ty.align()), (24, 8));
    }

    #[test]
    fn stacks_and_symbols_of_the_kernel_print_as_names() {
        let stack = |user| Type::Stack { user, mode: StackMode::default(), limit: 1 };
        let record = |ty| Type::Record([("a".into(), Type::U64), ("b".into(), ty)].into());
        assert!(Type::tuple(vec![Type::U64, stack(false)]).names_kernel_code());
        assert!(Type::Array { element: Type::KernelSymbol.into(), length: 2 }.names_kernel_code());
        assert!(record(Type::KernelSymbol).names_kernel_code());
        assert!(!record(Type::tuple(vec![stack(true), Type::UserSymbol])).names_kernel_code());
    }

    /// Takes for ever if each level asks the one below twice.
    #[test]
    fn deep_nesting_is_measured_in_time_proportional_to_it() {
        let nest = |ty| Type::Array { element: Arc::new(Type::tuple(vec![Type::U8, ty])), length: 1 };
        let deep = (0..150).fold(Type::U64, |ty, _| nest(ty));
        assert_eq!((deep.size(), deep.align()), (8 * 151, 8));
    }

    #[test]
    fn types_print_as_bpftrace_writes_them() {
        let ty = Type::tuple(vec![Type::I64, Type::String { capacity: 16 }]);
        assert_eq!(ty.to_string(), "(int64,string[16])");
    }
}
