//! What this process and the commands that it starts may use. Each probe that is attached by itself takes a
//! descriptor or two. Needs no privilege; it is here since what is done between fork and exec is `unsafe`.

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
    if let Some(limit) = INHERITED.get() {
        limit_command(command, libc::RLIMIT_NOFILE, *limit);
    }
}

/// Bounds a command: its memory in bytes, and for how many seconds it may keep a processor busy.
pub fn confine(command: &mut Command, memory: u64, seconds: u64) {
    for (resource, most) in [(libc::RLIMIT_AS, memory), (libc::RLIMIT_CPU, seconds)] {
        limit_command(command, resource, libc::rlimit { rlim_cur: most, rlim_max: most });
    }
}

fn limit_command(command: &mut Command, resource: libc::__rlimit_resource_t, limit: libc::rlimit) {
    let set = move || {
        // SAFETY: reads a live `rlimit`; a plain system call, which may be made between fork and exec.
        match unsafe { libc::setrlimit(resource, &limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure makes one system call and touches nothing that is shared.
    unsafe { command.pre_exec(set) };
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

    #[test]
    fn confined_commands_are_bounded() {
        let mut command = Command::new("sh");
        confine(command.args(["-c", "ulimit -v; ulimit -t"]), 1 << 30, 7);
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "1048576\n7\n");
    }
}
