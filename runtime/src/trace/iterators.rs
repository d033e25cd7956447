//! Runs iterators: each is read once, on a thread of its own, while what it sends is handled.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The kernel stops after so many objects (`MAX_ITER_OBJECTS` in `kernel/bpf/bpf_iter.c`) and wants
/// to be asked again; what programs write themselves comes in pieces of at most this size.
const PIECE: usize = 1 << 16;

/// Iterators that were started.
#[derive(Default)]
pub(super) struct Iterators {
    running: Arc<AtomicUsize>,
}

impl Iterators {
    /// Starts one. The program runs as this process, so the thread keeps its name.
    pub fn start(&self, objects: File) -> io::Result<()> {
        self.running.fetch_add(1, Ordering::Relaxed);
        let running = Arc::clone(&self.running);
        let thread = thread::Builder::new().spawn(move || {
            read_all(objects);
            running.fetch_sub(1, Ordering::Release);
        });
        if thread.is_err() {
            self.running.fetch_sub(1, Ordering::Relaxed);
        }
        thread.map(drop)
    }

    /// Whether all have come to their end.
    pub fn are_done(&self) -> bool {
        self.running.load(Ordering::Acquire) == 0
    }
}

/// Reads to the end. Programs write to the ring buffer, so there is nothing in it for us.
fn read_all(mut objects: File) {
    let mut piece = vec![0; PIECE];
    loop {
        match objects.read(&mut piece) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(_) => return,
        }
    }
}
