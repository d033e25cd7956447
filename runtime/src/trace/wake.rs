//! How another thread gets a polling trace's attention.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Interrupts that have come so far: the first ends the events, the second ends the rest. And
/// signals, which have probes of their own.
#[derive(Debug, Default)]
pub(super) struct Wake {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Since the last reset.
    pending: bool,
    count: u32,
    /// Names of signals that were not yet acted upon.
    signals: Vec<String>,
}

impl Wake {
    /// Waits, but not beyond an interrupt.
    pub fn wait(&self, timeout: Duration) {
        let state = self.lock();
        if !state.pending && state.signals.is_empty() {
            let _ = self.changed.wait_timeout(state, timeout);
        }
    }

    /// Whether an interrupt has come since the last reset.
    pub fn is_interrupted(&self) -> bool {
        self.lock().pending
    }

    /// The signals that have come since the last call.
    pub fn take_signals(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().signals)
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

/// Another thread's hold on a trace, which need not have been started yet.
#[derive(Clone, Debug, Default)]
pub struct TraceHandle {
    pub(super) wake: Arc<Wake>,
}

impl TraceHandle {
    /// Makes [`super::Trace::poll`] return at once. A second call gives up on `end` and printing.
    pub fn interrupt(&self) {
        let mut state = self.wake.lock();
        state.pending = true;
        state.count += 1;
        drop(state);
        self.wake.changed.notify_all();
    }

    /// A hold that does not keep what belongs to the trace.
    pub fn downgrade(&self) -> WeakTraceHandle {
        WeakTraceHandle { wake: Arc::downgrade(&self.wake) }
    }

    /// Whether an interrupt has come that was not yet acted upon.
    pub fn is_interrupted(&self) -> bool {
        self.wake.is_interrupted()
    }

    /// Whether [`TraceHandle::interrupt`] was called more than once.
    pub fn is_abandoned(&self) -> bool {
        self.wake.is_abandoned()
    }
}

/// As [`TraceHandle`], for those who may outlive the trace.
pub struct WeakTraceHandle {
    wake: Weak<Wake>,
}

impl WeakTraceHandle {
    /// Whether there is still somebody to tell.
    pub fn is_alive(&self) -> bool {
        self.wake.strong_count() > 0
    }

    /// Has the probes of a signal run, such as `SIGUSR1`.
    pub fn signal(&self, name: &str) {
        if let Some(wake) = self.wake.upgrade() {
            wake.lock().signals.push(name.to_owned());
            wake.changed.notify_all();
        }
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
        let handle = TraceHandle { wake: Arc::clone(&wake) };
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
        let handle = TraceHandle { wake: Arc::clone(&wake) };
        handle.interrupt();
        wake.reset();
        assert!(!wake.is_interrupted() && !wake.is_abandoned());
        handle.interrupt();
        wake.reset();
        assert!(wake.is_interrupted() && wake.is_abandoned());
    }
}
