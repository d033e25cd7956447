//! What all parts of a running kernel share, and the frame around each request.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::history::History;
use super::interpreter::{ErrorReport, Interpreter};
use super::iopub::{Item, Queue};
use super::wire::{Parent, Reply, Request, Session, Signer};

/// A running kernel.
pub struct Kernel {
    /// The language.
    pub interpreter: Arc<dyn Interpreter>,
    /// The way to iopub.
    pub queue: Arc<Queue>,
    /// Completes when the kernel is to end.
    pub end: Notify,
    session: Arc<Session>,
    signer: Arc<Signer>,
    history: Mutex<History>,
    execution_count: AtomicU32,
}

impl Kernel {
    /// A kernel that has executed nothing yet.
    pub fn new(
        interpreter: Arc<dyn Interpreter>,
        queue: Arc<Queue>,
        session: Arc<Session>,
        signer: Arc<Signer>,
    ) -> Self {
        Self {
            interpreter,
            queue,
            end: Notify::new(),
            session,
            signer,
            history: Mutex::default(),
            execution_count: AtomicU32::new(0),
        }
    }

    /// Handles a request between `busy` and `idle`.
    pub fn bracket<T>(&self, request: &Request, handle: impl FnOnce() -> T) -> T {
        self.status(&request.parent, "busy");
        let result = handle();
        self.status(&request.parent, "idle");
        result
    }

    /// Answers the requester.
    pub fn reply(&self, request: &Request, msg_type: &str, content: &Value) {
        self.reply_with(request, msg_type, content, &json!({}));
    }

    /// Answers the requester, with metadata.
    pub fn reply_with(&self, request: &Request, msg_type: &str, content: &Value, metadata: &Value) {
        let reply = Reply { content, metadata };
        request.reply(&self.session, &self.signer, msg_type, reply);
    }

    /// Broadcasts a message that must not be lost.
    pub fn broadcast(&self, parent: &Arc<Parent>, msg_type: &'static str, content: &Value) {
        self.push(parent, msg_type, content, false);
    }

    /// The executed cells.
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the last cell that counted.
    pub fn execution_count(&self) -> u32 {
        self.execution_count.load(Ordering::Relaxed)
    }

    /// Counts a cell and gives its number.
    pub fn count_execution(&self) -> u32 {
        self.execution_count.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn status(&self, parent: &Arc<Parent>, state: &str) {
        let content = json!({ "execution_state": state });
        self.push(parent, "status", &content, state == "idle");
    }

    fn push(&self, parent: &Arc<Parent>, msg_type: &'static str, content: &Value, is_last: bool) {
        self.queue.push_now(Item::Message {
            parent: Arc::clone(parent),
            msg_type,
            content: Bytes::from(content.to_string()),
            droppable: false,
            is_last,
        });
    }
}

/// Calls the interpreter; a panic there becomes an error report and the kernel lives on.
pub fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, ErrorReport> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let message = panic_message(panic.as_ref());
        tracing::error!(message, "the interpreter panicked");
        ErrorReport {
            ename: "InternalError".to_owned(),
            evalue: message.to_owned(),
            traceback: vec![format!("InternalError: {message}")],
        }
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic")
}

/// The content of an error reply.
pub fn error_content(report: &ErrorReport) -> Value {
    json!({
        "status": "error",
        "ename": report.ename,
        "evalue": report.evalue,
        "traceback": report.traceback,
    })
}
