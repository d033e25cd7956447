//! What the compiler hands to the runtime: programs, probes, maps, and what each event means.
//!
//! A plan holds no file descriptors and no addresses of this boot beyond those that the script
//! names, so it can be cached, sent to another process, or looked at in a test.

use crate::ir::Helper;
use crate::syntax::ast::Span;
use crate::types::Type;

/// Everything needed to run a script.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// ELF files with one section for each program; none if there is nothing to load.
    pub objects: Vec<Vec<u8>>,
    pub programs: Vec<ProgramPlan>,
    pub probes: Vec<ProbePlan>,
    /// `ld_imm64` instructions with source register 1 (a map's descriptor) or 2 (an address in its
    /// value) carry an index into this list, which the loader replaces by the descriptor.
    pub maps: Vec<MapPlan>,
    /// An event's first four bytes are an index into this list.
    pub events: Vec<EventPlan>,
    /// `strftime` formats, by index.
    pub time_formats: Vec<String>,
    /// Kernel functions that programs call (`BPF_PSEUDO_KFUNC_CALL` in `linux/bpf.h`): a call of the
    /// helper [`crate::ir::Helper::KERNEL_FUNCTIONS`] + n is one of the n-th.
    pub kernel_functions: Vec<String>,
    /// `cgroup_path` filters, by index.
    pub cgroup_filters: Vec<String>,
    /// What can be lost, by index into the counters map's value.
    pub losses: Vec<Loss>,
    /// The object has data or maps of imported C sources, which come to be when it is loaded.
    pub has_c_data: bool,
    /// A program that is run, not attached (`begin`, `end`), sends events from a loop: many, and as fast as
    /// the CPU can.
    pub bursts: bool,
    pub settings: Settings,
}

impl Plan {
    /// Whether something that it prints has names of kernel code in it.
    pub fn names_kernel_code(&self) -> bool {
        let in_maps = self.maps.iter().any(|map| match &map.role {
            MapRole::User(user) => user.key.iter().chain([&user.value]).any(Type::names_kernel_code),
            _ => false,
        });
        let in_events = || self.events.iter().flat_map(EventPlan::arguments).any(Type::names_kernel_code);
        in_maps || in_events()
    }
}

/// One BPF program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramPlan {
    /// What the program is called.
    pub symbol: String,
    /// Which of the plan's objects holds it.
    pub object: usize,
    /// The function's symbol in the object: programs that do the same share one.
    pub code: String,
    /// The ELF section that holds it.
    pub section: String,
    pub kind: ProgramKind,
    /// It calls `override()`, which few functions of the kernel allow.
    pub overrides: bool,
}

/// How the kernel types a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgramKind {
    /// `begin`, `end`: loaded as raw tracepoints and run by BPF_PROG_TEST_RUN.
    Run,
    /// `test` and `bench`: XDP programs, of which BPF_PROG_TEST_RUN tells how long they take.
    Measured,
    Tracepoint,
    RawTracepoint,
    /// A raw tracepoint whose pointers the kernel knows by their types: what helpers such as
    /// `bpf_skb_output` insist on.
    TypedTracepoint,
    PerfEvent,
    /// kprobes and uprobes; context is `struct pt_regs`.
    Probe,
    /// One program for a kprobe and a kretprobe of the same functions.
    Session,
    Fentry,
    Fexit,
    Iter,
}

/// One place to attach a program to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePlan {
    /// The expanded name as `probe` gives it: `tracepoint:syscalls:sys_enter_openat`.
    pub name: String,
    pub span: Span,
    pub attach: Attach,
    /// Index into [`Plan::programs`].
    pub program: usize,
}

/// What the kernel tells a program of the probe that fired (`bpf_get_attach_cookie`).
pub struct Cookie;

impl Cookie {
    /// The lower bits number the places of a static tracepoint, the others are the probe's index in [`Plan::probes`].
    pub const PLACE_BITS: u32 = 32;

    pub fn of(probe: usize, place: usize) -> u64 {
        (probe as u64) << Self::PLACE_BITS | place as u64
    }
}

/// How a program is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attach {
    Begin,
    End,
    /// Run in test mode.
    Test {
        name: String,
    },
    /// Run, again and again, in bench mode.
    Bench {
        name: String,
    },
    /// On one CPU, every so many nanoseconds.
    Interval {
        period_ns: u64,
    },
    /// On every CPU.
    Profile {
        rate: ProfileRate,
    },
    Tracepoint {
        category: String,
        name: String,
    },
    RawTracepoint {
        name: String,
    },
    Software {
        event: SoftwareEvent,
        period: u64,
    },
    Hardware {
        event: HardwareEvent,
        period: u64,
    },
    /// `offset` is the file offset that the kernel wants, already resolved.
    Uprobe {
        path: String,
        symbol: String,
        offset: u64,
        returns: bool,
    },
    /// A static tracepoint: wherever it stands in the file.
    Usdt {
        path: String,
        places: Vec<UsdtPlace>,
    },
    /// `module` is none for the kernel proper; without a symbol `offset` is the address.
    Kprobe {
        module: Option<String>,
        symbol: String,
        offset: u64,
        returns: bool,
    },
    Fentry {
        target: FentryTarget,
        function: String,
        exit: bool,
    },
    /// `pin`: an absolute path; the iterator is then run by whoever reads the file, not by us.
    Iter {
        target: String,
        pin: Option<String>,
    },
    Watchpoint {
        address: u64,
        length: u32,
        access: Access,
    },
    Signal {
        name: String,
    },
}

/// Where the function of an `fentry` probe lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FentryTarget {
    /// `vmlinux` is the kernel proper.
    Module(String),
    /// A loaded BPF program, by its id.
    Program(u32),
}

/// What a watchpoint waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
}

/// One place of a static tracepoint, as file offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsdtPlace {
    pub offset: u64,
    /// The counter that the program looks at before it prepares arguments; 0 if it has none.
    pub semaphore: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileRate {
    Hertz(u64),
    PeriodNs(u64),
}

/// The kernel's software events (`PERF_COUNT_SW_*` in `linux/perf_event.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftwareEvent {
    pub name: &'static str,
    pub config: u64,
    pub default_period: u64,
}

/// The kernel's hardware events (`PERF_COUNT_HW_*` in `linux/perf_event.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardwareEvent {
    pub name: &'static str,
    pub config: u64,
    pub default_period: u64,
}

/// One BPF map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapPlan {
    pub role: MapRole,
    pub kind: MapKind,
    pub key_size: u32,
    /// For per-CPU kinds: of one CPU's copy.
    pub value_size: u32,
    pub max_entries: u32,
}

/// What a map is for; decides whether the session already has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapRole {
    /// `@name`: lives in the session.
    User(UserMap),
    /// Stack traces, shared by all maps of the session: up to `limit` frames.
    /// With `build_ids` a frame is a `struct bpf_stack_build_id` instead of an address.
    Stacks { user: bool, limit: u32, build_ids: bool },
    /// The ring buffer of this cell.
    Events,
    /// A ring buffer for errors alone: for those that find the other one full.
    Errors,
    /// By process (`u64`): start and size of two ranges that hold its code (`[u64; 4]`), which the runtime
    /// writes.
    CodeRanges,
    /// The numbers of stacks whose samples were sent.
    UnwoundIds,
    /// One buffer for each CPU, for packets: `bpf_skb_output` writes to no other kind.
    Packets,
    /// [`Control`] of this cell, in user-mappable memory.
    Control,
    /// One `u64` for each of [`Plan::losses`].
    Counters,
    /// Per CPU: room for values too large for the stack.
    Scratch,
    /// An array of one entry: constants of the script (strings, tables of names), written before the start.
    Constants { bytes: Vec<u8> },
}

/// A map of the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserMap {
    /// Without `@`.
    pub name: String,
    /// `None` for a scalar map.
    ///
    /// A scalar map is an array of one entry. Its value is followed (at the next multiple of
    /// eight) by a `u64` that is 1 once the map has been assigned, and 0 after `clear`.
    pub key: Option<Type>,
    pub value: Type,
    /// Where the type was fixed.
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MapKind {
    Array,
    PerCpuArray,
    Hash,
    LruHash,
    PerCpuHash,
    LruPerCpuHash,
    StackTrace,
    RingBuffer,
    PerfEventArray,
}

impl MapKind {
    pub fn is_per_cpu(self) -> bool {
        matches!(self, MapKind::PerCpuArray | MapKind::PerCpuHash | MapKind::LruPerCpuHash)
    }
}

/// Byte offsets in the value of the control map.
pub struct Control;

impl Control {
    /// `u32`: programs do nothing while it is 0.
    pub const GATE: u32 = 0;
    /// `u32`: 1 after `exit()`, 2 after a failed assertion or `fail`.
    pub const EXIT: u32 = 4;
    /// `i32`: the code given to `exit()`.
    pub const EXIT_CODE: u32 = 8;
    /// `u64`: when the script started, in nanoseconds since boot; written before the first probe.
    pub const START: u32 = 16;
    /// `u64`: wall-clock time at boot, in nanoseconds since 1970; written before the first probe.
    pub const BOOT_TIME: u32 = 24;
    /// `u32`: the process id of the `-c` command, 0 without one; written before the first probe.
    pub const CHILD: u32 = 32;
    /// `i64`: by how many nanoseconds the TAI clock is ahead of the one since boot; written before
    /// the first probe.
    pub const TAI_OFFSET: u32 = 40;
    pub const SIZE: u32 = 48;
}

/// An event's header: `{u32 index into Plan::events; u32 reserved}`; its arguments follow.
pub const EVENT_HEADER_SIZE: u32 = 8;
/// What lies before a packet: see [`EventPlan::Packet`].
pub const PACKET_HEADER_SIZE: u32 = 24;

/// Numbers of stacks that were not recorded by the kernel begin here; see [`EventPlan::Unwind`].
pub const UNWOUND: i64 = 1 << 62;

/// Byte offsets in the event of [`EventPlan::Unwind`].
pub struct UnwindSample;

impl UnwindSample {
    /// `i64`: the stack's number.
    pub const ID: u32 = 8;
    /// `u64`: the process.
    pub const PROCESS: u32 = 16;
    /// `u64`: how many bytes of the stack follow.
    pub const LENGTH: u32 = 24;
    /// `struct pt_regs` of the task in user mode.
    pub const REGISTERS: u32 = 32;
    pub const REGISTERS_SIZE: u32 = 168;
    /// The stack, from the stack pointer on.
    pub const STACK: u32 = Self::REGISTERS + Self::REGISTERS_SIZE;
    pub const STACK_SIZE: u32 = 16 << 10;
    pub const SIZE: u32 = Self::STACK + Self::STACK_SIZE;
}

/// What to do when an event arrives. Arguments lie behind the header as a tuple of `arguments`
/// types does in memory (natural alignment, from offset [`EVENT_HEADER_SIZE`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventPlan {
    Printf {
        format: String,
        arguments: Vec<Type>,
        stream: Stream,
    },
    /// `print(value)`
    Print {
        value: Type,
    },
    /// `print(@map, top, div)`; 0 top is all, 0 div is 1.
    PrintMap {
        map: usize,
        top: u32,
        div: u32,
    },
    /// `print(@map[key])` of an aggregate: the argument is the key as the map stores it; the value
    /// is read when the event is handled.
    PrintMapValue {
        map: usize,
    },
    Clear {
        map: usize,
    },
    Zero {
        map: usize,
    },
    /// `time(format)`
    Time {
        format: String,
    },
    /// `skboutput(path, …, offset)`: comes through the packets' buffers, behind a header of
    /// [`PACKET_HEADER_SIZE`] bytes: as an event's, then a `u64` of nanoseconds since boot and a
    /// `u64` with the bytes of the packet that follow.
    Packet {
        path: String,
        offset: u32,
    },
    /// `unwatch(address)`: the address.
    Unwatch {
        span: Span,
    },
    /// `dw_ustack`: registers and stack of a task, to be unwound; see [`UnwindSample`].
    Unwind,
    /// `join(argv, separator)`: a `u32` count, a `u32` pad, then `count` strings of `capacity`.
    Join {
        separator: String,
        capacity: u32,
        limit: u32,
    },
    Cat {
        format: String,
        arguments: Vec<Type>,
    },
    System {
        format: String,
        arguments: Vec<Type>,
    },
    /// A run-time warning, such as a failed `delete`: an `i64`, what the helper returned if one failed.
    RuntimeError {
        /// Empty if the error number says all.
        message: String,
        helper: Option<Helper>,
        origin: Origin,
    },
}

impl EventPlan {
    /// The types of what is printed.
    fn arguments(&self) -> &[Type] {
        match self {
            EventPlan::Printf { arguments, .. }
            | EventPlan::Cat { arguments, .. }
            | EventPlan::System { arguments, .. } => arguments,
            EventPlan::Print { value } => std::slice::from_ref(value),
            _ => &[],
        }
    }
}

/// Where formatted text goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    /// `warnf`: stderr, with the position.
    Warning(Origin),
    /// `errorf`: stderr, with the position.
    Error(Origin),
}

/// Where in the script something comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub span: Span,
    /// The calls of macros that it was expanded from, the innermost first.
    pub calls: Vec<Span>,
}

impl From<Span> for Origin {
    fn from(span: Span) -> Origin {
        Origin { span, calls: Vec::new() }
    }
}

/// What was lost, as told to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The ring buffer was full: printed output is incomplete.
    Event,
    /// A new key found the map full: index into [`Plan::maps`].
    MapFull(usize),
    /// There was room in the map, but the kernel could not allocate memory for a new key in the probe:
    /// index into [`Plan::maps`].
    NoMemory(usize),
    /// A stack could not be stored: index into [`Plan::maps`].
    Stack(usize),
}

/// Settings of the `config` block that matter at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub print_maps_on_exit: bool,
    pub max_map_keys: u32,
    pub max_strlen: u32,
    pub max_cat_bytes: u64,
    pub max_probes: u64,
    pub ring_buffer_pages: Option<u32>,
    pub missing_probes: MissingProbes,
    pub str_trunc_trailer: String,
    pub cpp_demangle: bool,
    pub show_debug_info: bool,
    pub stack_mode: crate::types::StackMode,
    pub license: String,
    pub on_stack_limit: u32,
    pub max_bpf_progs: u64,
    /// Bytes of the verifier's log.
    pub log_size: u32,
    pub lazy_symbolication: bool,
    pub cache_user_symbols: SymbolCache,
    /// The map, without `@`, that is read in place of the kernel's clocks.
    pub clock_map: Option<String>,
    pub unstable: UnstableFeatures,
}

/// For how long user symbols are remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SymbolCache {
    /// Whatever is right for the processes that are traced.
    #[default]
    Automatic,
    PerPid,
    PerProgram,
    None,
}

/// What becomes of a feature that may still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstable {
    Error,
    Warn,
    Enable,
}

impl Unstable {
    /// As settings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Unstable::Error => "error",
            Unstable::Warn => "warn",
            Unstable::Enable => "enable",
        }
    }
}

/// The features that may still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnstableFeatures {
    pub import_statement: Unstable,
    pub tseries: Unstable,
    pub typeinfo: Unstable,
    pub dw_ustack: Unstable,
}

impl Default for UnstableFeatures {
    fn default() -> Self {
        let (error, warn) = (Unstable::Error, Unstable::Warn);
        UnstableFeatures { import_statement: error, tseries: warn, typeinfo: error, dw_ustack: warn }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingProbes {
    #[default]
    Error,
    Warn,
    Ignore,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            print_maps_on_exit: true,
            max_map_keys: 4096,
            max_strlen: 1024,
            max_cat_bytes: 10240,
            max_probes: 1024,
            ring_buffer_pages: None,
            missing_probes: MissingProbes::Error,
            str_trunc_trailer: "..".into(),
            cpp_demangle: true,
            show_debug_info: true,
            stack_mode: crate::types::StackMode::Bpftrace,
            license: "GPL".into(),
            on_stack_limit: 32,
            max_bpf_progs: 1024,
            log_size: 1_000_000,
            lazy_symbolication: true,
            cache_user_symbols: SymbolCache::default(),
            clock_map: None,
            unstable: UnstableFeatures::default(),
        }
    }
}
