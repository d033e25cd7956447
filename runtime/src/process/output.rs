//! What a command prints, read when somebody asks for it: until then it lies in the pipe.

use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Bytes read at once, and how often at most.
const CHUNK: usize = 16 << 10;
const CHUNKS: usize = 32;
/// What the pipe is to hold, so that a command need not wait for us between two looks; by default it is
/// 64 KiB (`pipe(7)`).
const PIPE: usize = CHUNK * CHUNKS;

/// The reading end of a command's output. Who reads slowly keeps the command waiting.
pub struct Output {
    pipe: PipeReader,
}

/// What was found.
pub enum Chunk {
    Bytes(Vec<u8>),
    /// Nothing, up to now.
    Nothing,
    /// Everybody who could write has ended.
    End,
}

impl Output {
    pub fn new(pipe: PipeReader) -> Output {
        // A user may have used up what they may have in pipes; then it is smaller.
        let _ = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(PIPE as i32));
        Output { pipe }
    }

    /// The next piece, which may be waited for.
    pub fn next(&self, patience: Duration) -> Chunk {
        let mut pipe = [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        match poll(&mut pipe, patience) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => Chunk::Nothing,
            Ok(_) => self.read(),
            Err(_) => Chunk::End,
        }
    }

    fn read(&self) -> Chunk {
        let mut bytes = vec![0u8; CHUNK];
        match (&self.pipe).read(&mut bytes) {
            Ok(length @ 1..) => {
                bytes.truncate(length);
                Chunk::Bytes(bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Chunk::Nothing,
            Ok(_) | Err(_) => Chunk::End,
        }
    }

    /// Hands over what is there, but not for ever: a command may print faster than it is read.
    pub fn drain(&self, mut output: impl FnMut(&[u8])) {
        for _ in 0..CHUNKS {
            let Chunk::Bytes(bytes) = self.next(Duration::ZERO) else { return };
            output(&bytes);
        }
    }

    /// Hands over what a command that has ended has printed: all of that is in the pipe. Something that
    /// it left in the background may hold its output open, and print; that is not waited for.
    pub fn finish(&self, mut output: impl FnMut(&[u8]), is_abandoned: impl Fn() -> bool) {
        let mut left = PIPE;
        while left > 0 && !is_abandoned() {
            let Chunk::Bytes(bytes) = self.next(Duration::ZERO) else { return };
            let bytes = bytes.get(..left).unwrap_or(&bytes);
            output(bytes);
            left -= bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    /// Somebody who never stops printing, and a count of what they got rid of.
    fn endless() -> (Output, Arc<AtomicUsize>) {
        let (reader, mut writer) = io::pipe().unwrap();
        let written = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&written);
        thread::spawn(move || {
            while let Ok(length) = writer.write(&[b'y'; 4096]) {
                counter.fetch_add(length, Ordering::Relaxed);
            }
        });
        (Output::new(reader), written)
    }

    #[test]
    fn what_is_not_read_stays_with_the_command() {
        let (_output, written) = endless();
        thread::sleep(Duration::from_millis(200));
        assert!(written.load(Ordering::Relaxed) <= PIPE);
    }

    #[test]
    fn draining_ends_though_the_command_does_not() {
        let (output, written) = endless();
        while written.load(Ordering::Relaxed) < PIPE / 2 {
            thread::sleep(Duration::from_millis(1));
        }
        let mut length = 0;
        output.drain(|bytes| {
            length += bytes.len();
            // As fast as it is read, there is more.
            thread::sleep(Duration::from_millis(1));
        });
        assert!(length > 0 && length <= CHUNKS * CHUNK);
        output.finish(|bytes| length += bytes.len(), || false);
        assert!(length <= PIPE + CHUNKS * CHUNK);
    }

    #[test]
    fn what_was_printed_before_the_end_is_there_at_once() {
        let (reader, writer) = io::pipe().unwrap();
        let mut command = std::process::Command::new("/bin/sh");
        // Something stays behind that holds the pipe open.
        command.args(["-c", "sleep 5 & head -c 60000 /dev/zero"]).stdout(writer);
        let output = Output::new(reader);
        command.status().unwrap();
        let mut length = 0;
        output.finish(|bytes| length += bytes.len(), || false);
        assert_eq!(length, 60_000);
    }

    #[test]
    fn the_end_is_told_after_all_bytes() {
        let (reader, mut writer) = io::pipe().unwrap();
        let output = Output::new(reader);
        writer.write_all(b"all").unwrap();
        drop(writer);
        let patience = Duration::from_secs(10);
        assert!(matches!(output.next(patience), Chunk::Bytes(bytes) if bytes == b"all"));
        assert!(matches!(output.next(patience), Chunk::End));
    }
}
