//! How many descriptors this process may have: each probe that is attached by itself takes one or two.

use std::io;
use std::mem;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

/// What was in force when this process was started, for the commands that it starts: programs that use
/// `select(2)` rely on it.
static INHERITED: OnceLock<libc::rlimit> = OnceLock::new();

/// Raises the limit to what the process may give itself. Once is enough.
pub fn raise_descriptors() {
    INHERITED.get_or_init(|| {
        let inherited = descriptors();
        let raised = libc::rlimit { rlim_cur: inherited.rlim_max, ..inherited };
        // SAFETY: reads a live `rlimit`. If it fails, the limit stays what it was.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) };
        inherited
    });
}

/// How many descriptors this process may have now.
pub fn most_descriptors() -> u64 {
    descriptors().rlim_cur
}

/// Gives a command the limit that this process was given.
pub fn restore_descriptors(command: &mut Command) {
    let Some(limit) = INHERITED.get().copied() else { return };
    let restore = move || {
        // SAFETY: reads a live `rlimit`; a plain system call, which may be made between fork and exec.
        match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure makes one system call and touches nothing that is shared.
    unsafe { command.pre_exec(restore) };
}

fn descriptors() -> libc::rlimit {
    // SAFETY: `rlimit` is a C struct of two integers.
    let mut limit: libc::rlimit = unsafe { mem::zeroed() };
    // SAFETY: writes to a live `rlimit`; this resource exists everywhere.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_get_the_limit_that_we_were_given() {
        let given = INHERITED.get().map_or_else(most_descriptors, |limit| limit.rlim_cur);
        raise_descriptors();
        assert_eq!(most_descriptors(), descriptors().rlim_max);
        let mut command = Command::new("sh");
        restore_descriptors(command.args(["-c", "ulimit -Sn"]));
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), given.to_string());
    }
}
