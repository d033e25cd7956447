//! Ties programs to what triggers them. A link lasts as long as its descriptor.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_cmd};

use super::bpf::{attribute, bpf_descriptor};

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

/// Runs `program` at a raw tracepoint.
pub fn raw_tracepoint(program: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let mut attr = attribute();
    // SAFETY: all members of the union are plain integers; this one is for BPF_RAW_TRACEPOINT_OPEN.
    let open = unsafe { &mut attr.raw_tracepoint };
    open.name = name.as_ptr() as u64;
    open.prog_fd = program.as_raw_fd() as u32;
    // SAFETY: the name is NUL-terminated and outlives the call.
    unsafe { bpf_descriptor(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr) }
}
