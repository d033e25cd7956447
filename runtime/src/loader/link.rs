//! Ties programs to what triggers them. A link lasts as long as its descriptor.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_cmd};

use super::bpf::{KPROBE_SESSION, attribute, bpf, bpf_descriptor};

/// `BPF_F_KPROBE_MULTI_RETURN` of `linux/bpf.h`.
const KPROBE_RETURN: u32 = 1;

/// At which ends of functions a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    Entry,
    Return,
    /// A session.
    Both,
}

/// Kernel functions for one link.
pub struct KernelFunctions<'a> {
    pub names: &'a [&'a CStr],
    /// As many as there are names: what `bpf_get_attach_cookie` returns there.
    pub cookies: &'a [u64],
    pub ends: Ends,
}

/// Runs `program`, loaded for such links, at all these functions.
pub fn kprobe_multi(program: BorrowedFd<'_>, functions: &KernelFunctions<'_>) -> io::Result<OwnedFd> {
    if functions.names.len() != functions.cookies.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let names: Vec<u64> = functions.names.iter().map(|name| name.as_ptr() as u64).collect();
    let mut attr = attribute();
    // SAFETY: all members of the union are plain integers; this is the one for BPF_LINK_CREATE.
    let link = unsafe { &mut attr.link_create };
    link.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    link.attach_type = match functions.ends {
        Ends::Both => KPROBE_SESSION,
        _ => bpf_attach_type::BPF_TRACE_KPROBE_MULTI as u32,
    };
    // SAFETY: plain integers too.
    let multi = unsafe { &mut link.__bindgen_anon_3.kprobe_multi };
    multi.syms = names.as_ptr() as u64;
    multi.cookies = functions.cookies.as_ptr() as u64;
    multi.cnt = u32::try_from(names.len()).unwrap_or(u32::MAX);
    multi.flags = if functions.ends == Ends::Return { KPROBE_RETURN } else { 0 };
    // SAFETY: names and arrays outlive the call; the arrays have `cnt` elements.
    unsafe { bpf_descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
}

/// `BPF_F_UPROBE_MULTI_RETURN` of `linux/bpf.h`.
const UPROBE_RETURN: u32 = 1;

/// Places in one file.
pub struct UprobePlaces<'a> {
    pub path: &'a CStr,
    pub offsets: &'a [u64],
    /// As many as there are offsets, or none.
    pub semaphores: &'a [u64],
    /// As many as there are offsets.
    pub cookies: &'a [u64],
    pub returns: bool,
    /// Only in this process; 0 is all.
    pub pid: u32,
}

/// Runs `program`, loaded for such links, at all these places.
pub fn uprobe_multi(program: BorrowedFd<'_>, places: &UprobePlaces<'_>) -> io::Result<OwnedFd> {
    let count = places.offsets.len();
    if places.cookies.len() != count || !places.semaphores.is_empty() && places.semaphores.len() != count {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut attr = attribute();
    // SAFETY: all members of the union are plain integers; this is the one for BPF_LINK_CREATE.
    let link = unsafe { &mut attr.link_create };
    link.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    link.attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
    // SAFETY: plain integers too.
    let multi = unsafe { &mut link.__bindgen_anon_3.uprobe_multi };
    multi.path = places.path.as_ptr() as u64;
    multi.offsets = places.offsets.as_ptr() as u64;
    multi.ref_ctr_offsets = if places.semaphores.is_empty() { 0 } else { places.semaphores.as_ptr() as u64 };
    multi.cookies = places.cookies.as_ptr() as u64;
    multi.cnt = u32::try_from(count).unwrap_or(u32::MAX);
    multi.flags = if places.returns { UPROBE_RETURN } else { 0 };
    multi.pid = places.pid;
    // SAFETY: path and arrays outlive the call; the arrays have `cnt` elements.
    unsafe { bpf_descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
}

/// Runs `program` whenever `event` fires; `cookie` is what `bpf_get_attach_cookie` returns there.
pub fn perf_event(program: BorrowedFd<'_>, event: BorrowedFd<'_>, cookie: u64) -> io::Result<OwnedFd> {
    let mut attr = attribute();
    // SAFETY: all members of the union are plain integers; this is the one for BPF_LINK_CREATE.
    let link = unsafe { &mut attr.link_create };
    link.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    link.__bindgen_anon_2.target_fd = event.as_raw_fd() as u32;
    link.attach_type = bpf_attach_type::BPF_PERF_EVENT as u32;
    link.__bindgen_anon_3.perf_event.bpf_cookie = cookie;
    // SAFETY: the attribute holds no pointers.
    unsafe { bpf_descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
}

/// Runs `program` at the entry or the return of the function that it named when it was loaded. `cookie` is what
/// `bpf_get_attach_cookie` returns there (Linux 5.19).
pub fn function(program: BorrowedFd<'_>, returns: bool, cookie: u64) -> io::Result<OwnedFd> {
    let kind = if returns { bpf_attach_type::BPF_TRACE_FEXIT } else { bpf_attach_type::BPF_TRACE_FENTRY };
    let mut attr = attribute();
    // SAFETY: all members of the union are plain integers; this is the one for BPF_LINK_CREATE.
    let link = unsafe { &mut attr.link_create };
    link.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    link.attach_type = kind as u32;
    link.__bindgen_anon_3.tracing.cookie = cookie;
    // SAFETY: the attribute holds no pointers.
    unsafe { bpf_descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
}

/// Runs `program` at the tracepoint that it named when it was loaded.
pub fn tracing(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = attribute();
    attr.raw_tracepoint.prog_fd = program.as_raw_fd() as u32;
    // SAFETY: the attribute holds no pointers: a name is not wanted here.
    unsafe { bpf_descriptor(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr) }
}

/// `union bpf_iter_link_info` for iterators over tasks (Linux 6.1): thread, process, its descriptor.
#[repr(C)]
struct TaskIterator {
    tid: u32,
    pid: u32,
    pid_fd: u32,
    /// The union is larger.
    rest: u32,
}

/// Makes an iterator of `program`, over all objects or over those of one process.
pub fn iterator(program: BorrowedFd<'_>, pid: Option<u32>) -> io::Result<OwnedFd> {
    let info = TaskIterator { tid: 0, pid: pid.unwrap_or(0), pid_fd: 0, rest: 0 };
    let mut attr = attribute();
    // SAFETY: all members of the union are plain integers; this is the one for BPF_LINK_CREATE.
    let link = unsafe { &mut attr.link_create };
    link.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    link.attach_type = bpf_attach_type::BPF_TRACE_ITER as u32;
    if pid.is_some() {
        // SAFETY: as above; this is the member for iterators.
        let iterator = unsafe { &mut link.__bindgen_anon_3.__bindgen_anon_1 };
        iterator.iter_info = (&raw const info) as u64;
        iterator.iter_info_len = size_of::<TaskIterator>() as u32;
    }
    // SAFETY: `info` outlives the call and has the length given.
    unsafe { bpf_descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
}

/// A file that runs an iterator when it is read, and gives what the program writes.
pub fn objects(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = attribute();
    attr.iter_create.link_fd = link.as_raw_fd() as u32;
    // SAFETY: the attribute holds no pointers.
    unsafe { bpf_descriptor(bpf_cmd::BPF_ITER_CREATE, &mut attr) }
}

/// Gives a link a name in a BPF file system, which keeps it.
pub fn pin(link: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    let mut attr = attribute();
    // SAFETY: all members of the union are plain integers; this one is for BPF_OBJ_PIN.
    let object = unsafe { &mut attr.__bindgen_anon_4 };
    object.pathname = path.as_ptr() as u64;
    object.bpf_fd = link.as_raw_fd() as u32;
    // SAFETY: the path is NUL-terminated and outlives the call.
    unsafe { bpf(bpf_cmd::BPF_OBJ_PIN, &mut attr) }.map(drop)
}

/// Runs `program` at a raw tracepoint. Before Linux 6.10 a `cookie` other than 0 is refused.
pub fn raw_tracepoint(program: BorrowedFd<'_>, name: &CStr, cookie: u64) -> io::Result<OwnedFd> {
    let mut attr = attribute();
    // SAFETY: all members of the union are plain integers; this one is for BPF_RAW_TRACEPOINT_OPEN.
    let open = unsafe { &mut attr.raw_tracepoint };
    open.name = name.as_ptr() as u64;
    open.prog_fd = program.as_raw_fd() as u32;
    open.cookie = cookie;
    // SAFETY: the name is NUL-terminated and outlives the call.
    unsafe { bpf_descriptor(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr) }
}
