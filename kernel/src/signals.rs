//! Signals for `self:signal` probes: this process receives them, the traces that wait for them are told.

use std::sync::{Mutex, PoisonError};
use std::thread;

use probebook_compiler::plan::{Attach, Plan};
use probebook_runtime::{TraceHandle, WeakTraceHandle};
use tokio::signal::unix::{SignalKind, signal};

/// Who wants to know of SIGUSR1; `None` until the first does, and the signal keeps its meaning.
static WAITING: Mutex<Option<Vec<WeakTraceHandle>>> = Mutex::new(None);

/// Tells a trace of the signals that its plan has probes for.
pub fn forward(plan: &Plan, handle: &TraceHandle) -> std::io::Result<()> {
    if !plan.probes.iter().any(|probe| matches!(probe.attach, Attach::Signal { .. })) {
        return Ok(());
    }
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    if waiting.is_none() {
        listen()?;
    }
    let traces = waiting.get_or_insert_default();
    traces.retain(WeakTraceHandle::is_alive);
    traces.push(handle.downgrade());
    Ok(())
}

/// Takes the signal over, from here on and for good.
fn listen() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut received = {
        let _inside = runtime.enter();
        signal(SignalKind::user_defined1())?
    };
    thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async move {
            while received.recv().await.is_some() {
                let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.iter().flatten().for_each(|trace| trace.signal("SIGUSR1"));
            }
        });
    })?;
    Ok(())
}
