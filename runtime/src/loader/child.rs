//! A command that is started, but held back until the probes are attached (`-c`).

use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread::{self, JoinHandle};

/// A process that exists but has not yet become its command. Dropped, it never does.
pub struct HeldChild {
    pid: u32,
    held: Option<Held>,
}

struct Held {
    /// Written to, it lets the process go on (1) or ends it (0).
    gate: PipeWriter,
    spawner: JoinHandle<io::Result<Child>>,
}

impl HeldChild {
    /// Forks. `Command::spawn` returns only once the command runs, hence the thread.
    pub fn spawn(mut command: Command) -> io::Result<HeldChild> {
        let (gate_reader, gate) = io::pipe()?;
        let (mut pid_reader, pid_writer) = io::pipe()?;
        hold(&mut command, [gate_reader.as_raw_fd(), gate.as_raw_fd(), pid_writer.as_raw_fd()]);
        let spawner = thread::Builder::new().name("child".into()).spawn(move || {
            let child = command.spawn();
            drop((gate_reader, pid_writer));
            child
        })?;
        let mut pid = [0; 4];
        match pid_reader.read_exact(&mut pid) {
            Ok(()) => Ok(HeldChild { pid: u32::from_ne_bytes(pid), held: Some(Held { gate, spawner }) }),
            // The process ended before it could say its number; the thread knows why.
            Err(error) => Err(join(spawner).err().unwrap_or(error)),
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets the process become its command.
    pub fn release(mut self) -> io::Result<Child> {
        let Some(Held { mut gate, spawner }) = self.held.take() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        gate.write_all(&[1])?;
        join(spawner)
    }
}

impl Drop for HeldChild {
    fn drop(&mut self) {
        if let Some(Held { mut gate, spawner }) = self.held.take() {
            // If this fails, the process is gone already.
            let _ = gate.write_all(&[0]);
            let _ = join(spawner);
        }
    }
}

fn join(spawner: JoinHandle<io::Result<Child>>) -> io::Result<Child> {
    spawner.join().unwrap_or_else(|_| Err(io::Error::other("the thread that started the command panicked")))
}

/// Makes the process, once forked, tell its number and wait: reader and writer of the gate, writer
/// of the number.
fn hold(command: &mut Command, pipes: [RawFd; 3]) {
    // SAFETY: between fork and exec only close, getpid, write and read are called, which are all
    // async-signal-safe; the descriptors stay open in the parent until `spawn` returns.
    unsafe { command.pre_exec(move || announce_and_wait(pipes)) };
}

fn announce_and_wait([gate, gate_writer, pid_pipe]: [RawFd; 3]) -> io::Result<()> {
    // Without this the process would wait for itself if the parent ended.
    // SAFETY: this process's own copy of a descriptor that nothing in it uses.
    unsafe { libc::close(gate_writer) };
    // SAFETY: no arguments, cannot fail.
    let pid = unsafe { libc::getpid() }.to_ne_bytes();
    // SAFETY: writes four bytes from a live array.
    if unsafe { libc::write(pid_pipe, pid.as_ptr().cast(), pid.len()) } != 4 {
        return Err(io::Error::last_os_error());
    }
    let mut byte = 0u8;
    // SAFETY: reads one byte into a live variable.
    match unsafe { libc::read(gate, (&raw mut byte).cast(), 1) } {
        1 if byte == 1 => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::ECANCELED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    #[test]
    fn a_held_process_runs_only_after_its_release() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$"]).stdout(Stdio::piped());
        let held = HeldChild::spawn(command).unwrap();
        let pid = held.pid();
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        assert_ne!(name.trim(), "sh");
        let output = held.release().unwrap().wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), pid.to_string());
    }

    #[test]
    fn a_command_that_is_not_there_fails_at_the_release() {
        let held = HeldChild::spawn(Command::new("/no/such/command")).unwrap();
        assert_eq!(held.release().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn an_abandoned_process_never_runs() {
        let held = HeldChild::spawn(Command::new("true")).unwrap();
        let pid = held.pid();
        drop(held);
        assert!(!std::path::Path::new(&format!("/proc/{pid}/cmdline")).exists());
    }
}
