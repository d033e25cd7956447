//! Performance events: the timers, counters and breakpoints that programs hang on
//! (`perf_event_open(2)`).

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use aya_obj::generated::perf_event_attr;
use probebook_compiler::plan::Access;

/// `PERF_TYPE_*` of `linux/perf_event.h`; the numbers of dynamic sources are in sysfs.
pub const TYPE_HARDWARE: u32 = 0;
pub const TYPE_SOFTWARE: u32 = 1;
pub const TYPE_TRACEPOINT: u32 = 2;
pub const TYPE_BREAKPOINT: u32 = 5;
/// `PERF_COUNT_SW_CPU_CLOCK`.
pub const SOFTWARE_CPU_CLOCK: u64 = 0;

const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
/// `_IO('$', 0)` and `_IO('$', 1)`.
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_DISABLE: libc::c_ulong = 0x2401;

/// `PERF_UPROBE_REF_CTR_OFFSET_SHIFT` of `kernel/events/core.c`; sysfs shows it in
/// `uprobe/format/ref_ctr_offset`.
const SEMAPHORE_SHIFT: u32 = 32;

/// How often an event fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Every so many counts (nanoseconds, for a clock).
    Period(u64),
    /// So many times a second.
    Hertz(u64),
}

/// What an event watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Everything that runs on one CPU.
    Cpu(u32),
    /// One process, on whatever CPU it runs; threads that it starts later included.
    Process(u32),
    /// One process while it is on one CPU.
    ProcessOnCpu(u32, u32),
}

/// Which event to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A counter that samples: its type, its number within the type, and how often.
    Sampled { kind: u32, config: u64, rate: Rate },
    /// A tracepoint by its id in tracefs.
    Tracepoint { id: u64 },
    /// A kernel function; `kind` is what sysfs says of the `kprobe` source. Without a function
    /// `offset` is the address (`perf_kprobe_init` in `kernel/trace/trace_event_perf.c`).
    Kprobe { kind: u32, function: Option<CString>, offset: u64, returns: bool },
    /// A place in a file; `kind` is what sysfs says of the `uprobe` source. The counter at
    /// `semaphore` in the file is raised in every process while the event is open; 0 is none.
    Uprobe { kind: u32, path: CString, offset: u64, semaphore: u64, returns: bool },
    /// Memory that is read, written or executed.
    Breakpoint { address: u64, length: u32, access: Access },
}

/// Opens an event that is not yet enabled.
pub fn open(event: &Event, target: Target) -> io::Result<OwnedFd> {
    // SAFETY: `perf_event_attr` is a C struct of integers; all zeros is its documented start.
    let mut attr: perf_event_attr = unsafe { mem::zeroed() };
    attr.size = u32::try_from(mem::size_of::<perf_event_attr>()).unwrap_or(0);
    attr.set_disabled(1);
    fill(&mut attr, event);
    if matches!((event, target), (Event::Sampled { .. } | Event::Breakpoint { .. }, Target::Process(_))) {
        attr.set_inherit(1);
    }
    let (pid, cpu): (libc::pid_t, libc::c_int) = match target {
        Target::Cpu(cpu) => (-1, cpu as libc::c_int),
        Target::Process(pid) => (pid as libc::pid_t, -1),
        Target::ProcessOnCpu(pid, cpu) => (pid as libc::pid_t, cpu as libc::c_int),
    };
    let attr: *const perf_event_attr = &attr;
    // SAFETY: `attr` is live and has the size it states; the path it may point to is in `event`.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, attr, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

fn fill(attr: &mut perf_event_attr, event: &Event) {
    match event {
        Event::Sampled { kind, config, rate } => {
            attr.type_ = *kind;
            attr.config = *config;
            match rate {
                Rate::Period(period) => attr.__bindgen_anon_1.sample_period = *period,
                Rate::Hertz(hertz) => {
                    attr.set_freq(1);
                    attr.__bindgen_anon_1.sample_freq = *hertz;
                }
            }
        }
        Event::Tracepoint { id } => {
            attr.type_ = TYPE_TRACEPOINT;
            attr.config = *id;
            attr.__bindgen_anon_1.sample_period = 1;
        }
        Event::Breakpoint { address, length, access } => {
            attr.type_ = TYPE_BREAKPOINT;
            attr.bp_type = breakpoint_type(*access);
            attr.__bindgen_anon_1.sample_period = 1;
            attr.__bindgen_anon_3.bp_addr = *address;
            // The kernel wants this length for code (perf_event_open(2), `bp_len`).
            attr.__bindgen_anon_4.bp_len = if access.execute { 8 } else { u64::from(*length) };
        }
        Event::Uprobe { kind, path, offset, semaphore, returns } => {
            attr.type_ = *kind;
            attr.config = u64::from(*returns) | *semaphore << SEMAPHORE_SHIFT;
            attr.__bindgen_anon_3.uprobe_path = path.as_ptr() as u64;
            attr.__bindgen_anon_4.probe_offset = *offset;
        }
        Event::Kprobe { kind, function, offset, returns } => {
            attr.type_ = *kind;
            attr.config = u64::from(*returns);
            attr.__bindgen_anon_3.kprobe_func = function.as_ref().map_or(0, |function| function.as_ptr() as u64);
            attr.__bindgen_anon_4.probe_offset = *offset;
        }
    }
}

/// `HW_BREAKPOINT_*` of `linux/hw_breakpoint.h`.
fn breakpoint_type(access: Access) -> u32 {
    u32::from(access.read) | u32::from(access.write) << 1 | u32::from(access.execute) << 2
}

/// Lets an event fire.
pub fn enable(event: BorrowedFd<'_>) -> io::Result<()> {
    control(event, PERF_EVENT_IOC_ENABLE)
}

/// Stops an event.
pub fn disable(event: BorrowedFd<'_>) -> io::Result<()> {
    control(event, PERF_EVENT_IOC_DISABLE)
}

fn control(event: BorrowedFd<'_>, request: libc::c_ulong) -> io::Result<()> {
    // SAFETY: these two requests take no pointer.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), request as _, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
