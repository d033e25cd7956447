//! The `bpf(2)` system call.
//!
//! aya covers creating maps and reading ring buffers; batch operations, links of the newer kinds
//! and maps whose sizes are known only at run time go through here.

use std::io;
use std::mem;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// `BPF_TRACE_KPROBE_SESSION` of `enum bpf_attach_type`, which the bindings do not know yet.
pub(crate) const KPROBE_SESSION: u32 = 56;

/// A zeroed attribute, ready to be filled for one command.
pub(crate) fn attribute() -> bpf_attr {
    // SAFETY: `bpf_attr` is a union of plain C structs of integers; all zeros is valid for each.
    unsafe { mem::zeroed() }
}

/// Runs a command that returns a number.
///
/// # Safety
///
/// Every address in `attr` must be valid for what the command does with it, for the whole call.
pub(crate) unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i64> {
    let attr: *mut bpf_attr = attr;
    // SAFETY: `attr` is a live attribute of the size given; the caller answers for its pointers.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, attr, mem::size_of::<bpf_attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Runs a command that returns a new descriptor.
///
/// # Safety
///
/// As [`bpf`]; and the command must be one that returns a descriptor.
pub(crate) unsafe fn bpf_descriptor(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: passed on to the caller.
    let fd = unsafe { bpf(command, attr) }?;
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel has just made this descriptor for us (with O_CLOEXEC).
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A byte slice's address as attributes hold it.
pub(crate) fn address(bytes: &[u8]) -> u64 {
    bytes.as_ptr() as u64
}
