//! What a command prints, read by a thread, with a bound on what lies in memory.

use std::io::{self, PipeReader, Read};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Bytes read at once, and how often: who reads slowly keeps the command waiting, not us growing.
const CHUNK: usize = 16 << 10;
const CHUNKS: usize = 32;
/// A pipe holds so much (`pipe(7)`).
const PIPE: usize = 64 << 10;
/// How long the output of a command that has ended may take to arrive.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// What a command can have printed before it ended and was not seen yet. What comes after that is
/// from something that it left behind.
const LAST_BYTES: usize = (CHUNKS + 1) * CHUNK + PIPE;

/// The reading end of a command's output.
pub struct Output {
    chunks: mpsc::Receiver<Vec<u8>>,
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
    /// Reads `pipe` in the background. The thread ends with the pipe or with this value.
    pub fn new(mut pipe: PipeReader) -> io::Result<Output> {
        let (sender, chunks) = mpsc::sync_channel(CHUNKS);
        thread::Builder::new().name("command-output".into()).spawn(move || {
            let mut buffer = [0u8; CHUNK];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                if sender.send(buffer.get(..length).unwrap_or_default().to_vec()).is_err() {
                    break;
                }
            }
        })?;
        Ok(Output { chunks })
    }

    /// The next piece, which may be waited for.
    pub fn next(&self, patience: Duration) -> Chunk {
        match self.chunks.recv_timeout(patience) {
            Ok(bytes) => Chunk::Bytes(bytes),
            Err(RecvTimeoutError::Timeout) => Chunk::Nothing,
            Err(RecvTimeoutError::Disconnected) => Chunk::End,
        }
    }

    /// Hands over what is there, but not for ever: a command may print faster than it is read.
    pub fn drain(&self, mut output: impl FnMut(&[u8])) {
        self.chunks.try_iter().take(CHUNKS).for_each(|bytes| output(&bytes));
    }

    /// Hands over what a command that has ended has printed. Something that it left in the
    /// background may hold its output open, and print; that is not waited for.
    pub fn finish(&self, mut output: impl FnMut(&[u8]), is_abandoned: impl Fn() -> bool) {
        let mut left = LAST_BYTES;
        while left > 0 && !is_abandoned() {
            let Chunk::Bytes(bytes) = self.next(LAST_WORDS) else { return };
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
        (Output::new(reader).unwrap(), written)
    }

    #[test]
    fn what_is_not_read_stays_with_the_command() {
        let (_output, written) = endless();
        thread::sleep(Duration::from_millis(200));
        assert!(written.load(Ordering::Relaxed) <= LAST_BYTES);
    }

    #[test]
    fn draining_ends_though_the_command_does_not() {
        let (output, written) = endless();
        while written.load(Ordering::Relaxed) < 2 * PIPE {
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
        assert!(length <= LAST_BYTES + CHUNKS * CHUNK);
    }

    #[test]
    fn the_end_is_told_after_all_bytes() {
        let (reader, mut writer) = io::pipe().unwrap();
        let output = Output::new(reader).unwrap();
        writer.write_all(b"all").unwrap();
        drop(writer);
        let patience = Duration::from_secs(10);
        assert!(matches!(output.next(patience), Chunk::Bytes(bytes) if bytes == b"all"));
        assert!(matches!(output.next(patience), Chunk::End));
    }
}
