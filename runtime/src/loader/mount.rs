//! A view of tracefs on systems where it is not mounted.
//!
//! `fsopen` and `fsmount` give a mount that is reachable only through its descriptor. It is gone
//! when the descriptor is closed: nothing is left behind and nobody else sees it.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// `FSOPEN_CLOEXEC`, `FSMOUNT_CLOEXEC`, `FSCONFIG_CMD_CREATE` of `linux/mount.h`.
const FSOPEN_CLOEXEC: libc::c_ulong = 1;
const FSMOUNT_CLOEXEC: libc::c_ulong = 1;
const FSCONFIG_CMD_CREATE: libc::c_ulong = 6;

/// A detached mount of a kernel file system such as `tracefs`; needs CAP_SYS_ADMIN.
pub fn detached(kind: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: the name is NUL-terminated; the call returns a new descriptor or an error.
    let context = descriptor(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
    // SAFETY: this command takes neither key nor value.
    let created =
        unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CMD_CREATE, 0usize, 0usize, 0usize) };
    if created < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call takes integers only and returns a new descriptor or an error.
    descriptor(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, 0usize) })
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(result as RawFd) })
}
