//! The typed form of everything read from BPF: text, JSON and pictures are made from it.

mod buckets;
mod limit;
mod order;
mod zero;

use std::net::IpAddr;
use std::sync::Arc;

pub use buckets::{Bucket, Edge};

use probebook_compiler::types::{Combine, StackMode, Type};

/// A value, decoded and resolved.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    /// A number that prints as text: an enum's value, a pointer. JSON keeps the number. Symbols,
    /// errors and users are strings in bpftrace's JSON, so they are [`Value::String`].
    Named {
        text: String,
        number: i64,
    },
    /// Up to the NUL; bytes as the traced system gave them. `truncated`: it did not fit.
    String {
        bytes: Vec<u8>,
        truncated: bool,
    },
    Buffer(Vec<u8>),
    Array(Vec<Value>),
    Tuple(Vec<Value>),
    /// A struct or a record, in the order of its fields.
    Record(Vec<(String, Value)>),
    Inet(IpAddr),
    Mac([u8; 6]),
    /// Formatted wall-clock time.
    Time(String),
    Stack(Stack),
    Stats {
        count: u64,
        average: Box<Value>,
        total: Box<Value>,
    },
    Hist(Hist),
    Lhist(Lhist),
    Tseries(Tseries),
}

/// A stack, innermost frame first.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    pub mode: StackMode,
    pub user: bool,
    pub frames: Arc<Vec<Frame>>,
}

/// One frame of a stack.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub address: u64,
    /// `None`: nothing is known of the address.
    pub symbol: Option<FrameSymbol>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FrameSymbol {
    pub name: String,
    pub offset: u64,
    /// The file that holds the code (user frames) or the kernel module, empty for the kernel. In
    /// [`StackMode::BuildId`]: the build id in hexadecimal digits, `offset` being that in the file.
    pub module: String,
    /// `file:line`, where debug information is there.
    pub location: Option<String>,
    /// Functions inlined at this place, innermost first, each with its `@file:line` if known.
    pub inlined: Vec<String>,
}

/// A log2 histogram: see `probebook_compiler::types::hist_buckets` for the buckets.
#[derive(Clone, Debug, PartialEq)]
pub struct Hist {
    pub k: u8,
    pub buckets: Vec<u64>,
}

/// A linear histogram: below `min`, the steps, from `max` on.
#[derive(Clone, Debug, PartialEq)]
pub struct Lhist {
    pub min: i64,
    pub max: i64,
    pub step: i64,
    pub buckets: Vec<u64>,
}

/// A time series, oldest interval first; only intervals that were recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Tseries {
    pub interval_ns: u64,
    pub intervals: u32,
    pub combine: Combine,
    pub signed: bool,
    /// Start of the interval in nanoseconds since 1970 (a multiple of `interval_ns`), and value.
    pub points: Vec<(u64, Value)>,
}

/// A map as it was when it was read, sorted as bpftrace sorts it (ascending by value).
#[derive(Clone, Debug, PartialEq)]
pub struct MapSnapshot {
    /// Without `@`.
    pub name: String,
    /// `None`: a scalar map, whose one entry has the key [`Value::Null`].
    pub key: Option<Type>,
    pub value: Type,
    pub entries: Vec<(Value, Value)>,
    /// New keys that found the map full since it was created.
    pub lost_keys: u64,
}

/// What decoding needs from the running system.
pub trait Resolve {
    /// `name`, or `0x…` if unknown: as `ksym` prints.
    fn kernel_symbol(&self, address: u64) -> String;
    /// As `usym` prints, for a process that may have ended.
    fn user_symbol(&self, address: u64, pid: u32) -> String;
    /// The frames of a stack by its id in the session's stack map for `limit` frames.
    fn stack(&self, user: bool, limit: u32, build_ids: bool, id: i64, pid: u32) -> Arc<Vec<Frame>>;
    /// The one id for all that stand for stacks with the same `limit` innermost frames.
    fn canonical_stack(&self, id: i64, _pid: u32, _limit: u32) -> i64 {
        id
    }
    /// `strftime` of nanoseconds since boot by the plan's format.
    fn time(&self, nanoseconds: u64, format: u32) -> String;
    fn cgroup_path(&self, id: u64, filter: u32) -> String;
    fn username(&self, uid: u64) -> String;
}
