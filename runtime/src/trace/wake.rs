//! How another thread gets a polling trace's attention.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Interrupts that have come so far. The first ends the events; the second ends the rest.
#[derive(Default)]
pub(super) struct Wake {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Since the last reset.
    pending: bool,
    count: u32,
}

impl Wake {
    /// Waits, but not beyond an interrupt.
    pub fn wait(&self, timeout: Duration) {
        let state = self.lock();
        if !state.pending {
            let _ = self.changed.wait_timeout(state, timeout);
        }
    }

    /// Whether an interrupt has come since the last reset.
    pub fn is_interrupted(&self) -> bool {
        self.lock().pending
    }

    /// Whether the user has lost patience.
    pub fn is_abandoned(&self) -> bool {
        self.lock().count > 1
    }

    /// Notes that the interrupt was acted upon: `end` may run.
    pub fn reset(&self) {
        let mut state = self.lock();
        state.pending = state.count > 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Another thread's hold on a trace.
#[derive(Clone)]
pub struct TraceHandle {
    wake: Arc<Wake>,
}

impl TraceHandle {
    pub(super) fn new(wake: Arc<Wake>) -> TraceHandle {
        TraceHandle { wake }
    }

    /// Makes [`super::Trace::poll`] return at once. A second call gives up on `end` and printing.
    pub fn interrupt(&self) {
        let mut state = self.wake.lock();
        state.pending = true;
        state.count += 1;
        drop(state);
        self.wake.changed.notify_all();
    }

    /// Whether [`TraceHandle::interrupt`] was called more than once.
    pub fn is_abandoned(&self) -> bool {
        self.wake.is_abandoned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Instant;

    #[test]
    fn an_interrupt_ends_a_wait() {
        let wake = Arc::new(Wake::default());
        let handle = TraceHandle::new(Arc::clone(&wake));
        let start = Instant::now();
        let interrupter = thread::spawn(move || handle.interrupt());
        while !wake.is_interrupted() {
            wake.wait(Duration::from_secs(10));
        }
        interrupter.join().unwrap();
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn the_second_interrupt_cannot_be_reset() {
        let wake = Arc::new(Wake::default());
        let handle = TraceHandle::new(Arc::clone(&wake));
        handle.interrupt();
        wake.reset();
        assert!(!wake.is_interrupted() && !wake.is_abandoned());
        handle.interrupt();
        wake.reset();
        assert!(wake.is_interrupted() && wake.is_abandoned());
    }
}
