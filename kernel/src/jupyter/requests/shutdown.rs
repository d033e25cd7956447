//! `shutdown_request`: the end, or the end before a restart.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::Content;
use crate::jupyter::interpreter::Interpreter;
use crate::jupyter::kernel::{Kernel, guarded};

/// What the interpreter gets to end by itself. Clients kill after five seconds or less.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

pub fn reply(kernel: &Kernel, content: &Value) -> Content {
    let restart = content.get("restart").and_then(Value::as_bool);
    let restart = restart.unwrap_or(false);
    end_interpreter(&kernel.interpreter, restart);
    Ok(json!({ "status": "ok", "restart": restart }))
}

/// Lets the interpreter release what it holds. Returns when it has, or after two seconds.
pub fn end_interpreter(interpreter: &Arc<dyn Interpreter>, restart: bool) {
    let (done, ended) = mpsc::channel();
    let interpreter = Arc::clone(interpreter);
    let spawned = thread::Builder::new().name("shutdown".to_owned()).spawn(move || {
        let _ = guarded(|| interpreter.shutdown(restart));
        let _ = done.send(());
    });
    if spawned.is_err() || ended.recv_timeout(SHUTDOWN_LIMIT).is_err() {
        tracing::warn!("the interpreter did not end in time");
    }
}
