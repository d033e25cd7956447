//! Ends a command together with all that it has started, also when this process is killed.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::loader::limits;

/// Reads a line, or ends what it is given if there is none: its input was closed by our death.
const GUARD: &str = r#"read -r _ || kill -s KILL -- "$1""#;

/// A hold on a command. Let go, what the command has left behind may live on.
///
/// `PR_SET_PDEATHSIG` would reach the command alone, not what it has started, and fires when the
/// thread ends that forked. Hence a shell that waits for the end of a pipe.
pub struct Leash {
    /// As kill(2) takes it: below zero for a process group.
    target: Pid,
    guard: Child,
}

impl Leash {
    /// Holds a command that was started as the leader of a process group.
    pub fn group(leader: u32) -> io::Result<Leash> {
        Leash::new(-process_id(leader)?)
    }

    /// Holds a single process.
    pub fn single(process: u32) -> io::Result<Leash> {
        Leash::new(process_id(process)?)
    }

    fn new(target: i32) -> io::Result<Leash> {
        let mut guard = Command::new("/bin/sh");
        // In a group of its own: the terminal's Ctrl-C is not for the guard.
        guard.args(["-c", GUARD, "sh", &target.to_string()]).process_group(0);
        limits::restore_descriptors(&mut guard);
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Leash { target: Pid::from_raw(target), guard: guard.spawn()? })
    }

    /// Ends what is held, at once.
    pub fn kill(&self) {
        // It may have ended by itself.
        let _ = kill(self.target, Signal::SIGKILL);
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if let Some(mut line) = self.guard.stdin.take() {
            // If this fails, the guard is gone already.
            let _ = line.write_all(b"\n");
        }
        let _ = self.guard.wait();
    }
}

fn process_id(number: u32) -> io::Result<i32> {
    i32::try_from(number).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::time::{Duration, Instant};

    /// A shell and its child; the child's number.
    fn family() -> (Child, u32) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]).process_group(0).stdout(Stdio::piped());
        let mut shell = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (shell, line.trim().parse().unwrap())
    }

    fn is_alive(pid: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
    }

    fn ends(pid: u32) -> bool {
        let start = Instant::now();
        while is_alive(pid) && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
        !is_alive(pid)
    }

    #[test]
    fn the_whole_group_is_killed() {
        let (mut shell, child) = family();
        Leash::group(shell.id()).unwrap().kill();
        shell.wait().unwrap();
        assert!(ends(child));
    }

    #[test]
    fn what_is_let_go_lives_on() {
        let (mut shell, child) = family();
        drop(Leash::group(shell.id()).unwrap());
        std::thread::sleep(Duration::from_millis(50));
        assert!(is_alive(child));
        kill(Pid::from_raw(-(shell.id() as i32)), Signal::SIGKILL).unwrap();
        shell.wait().unwrap();
    }

    #[test]
    fn the_guard_kills_when_its_input_ends() {
        let (mut shell, child) = family();
        let mut leash = Leash::group(shell.id()).unwrap();
        drop(leash.guard.stdin.take());
        shell.wait().unwrap();
        assert!(ends(child));
    }
}
