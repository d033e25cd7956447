//! The requests, one a file, and which file answers which.

mod comm;
mod complete;
mod execute;
mod history;
mod inspect;
mod interrupt;
mod is_complete;
mod kernel_info;
mod shutdown;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use execute::Executor;
pub use shutdown::end_interpreter;

use super::interpreter::ErrorReport;
use super::kernel::{Kernel, error_content, guarded};
use super::wire::Request;

/// The content of a reply, or the error to reply instead.
type Content = Result<Value, ErrorReport>;

/// Answers any request but `execute_request`. Shell and control accept the same ones; each has
/// its own thread, so that neither waits for the other.
pub fn answer(kernel: &Kernel, request: &Request) {
    let ends = kernel.bracket(request, || {
        let content = &request.content;
        let (msg_type, reply): (_, &dyn Fn() -> Content) = match request.msg_type.as_str() {
            "kernel_info_request" => ("kernel_info_reply", &|| kernel_info::reply(kernel)),
            "complete_request" => ("complete_reply", &|| complete::reply(kernel, content)),
            "inspect_request" => ("inspect_reply", &|| inspect::reply(kernel, content)),
            "is_complete_request" => ("is_complete_reply", &|| is_complete::reply(kernel, content)),
            "history_request" => ("history_reply", &|| history::reply(kernel, content)),
            "comm_info_request" => ("comm_info_reply", &comm::info),
            "interrupt_request" => ("interrupt_reply", &|| interrupt::reply(kernel)),
            "shutdown_request" => ("shutdown_reply", &|| shutdown::reply(kernel, content)),
            _ => {
                unanswered(kernel, request);
                return false;
            }
        };
        let content = guarded(reply).and_then(|content| content);
        let content = content.unwrap_or_else(|report| error_content(&report));
        kernel.reply(request, msg_type, &content);
        if msg_type == "shutdown_reply" {
            // Clients other than the one that asked learn it from iopub.
            kernel.broadcast(&request.parent, "shutdown_reply", &content);
        }
        msg_type == "shutdown_reply"
    });
    if ends {
        kernel.end.notify_one();
    }
}

/// Messages that have no reply.
fn unanswered(kernel: &Kernel, request: &Request) {
    match request.msg_type.as_str() {
        "comm_open" => comm::refuse(kernel, request),
        // No comm is ever open, and nobody was asked for input.
        "comm_msg" | "comm_close" | "input_reply" => {}
        other => tracing::warn!(msg_type = other, "unknown message"),
    }
}

/// Reads a request's content.
fn parse<T: DeserializeOwned>(content: &Value) -> Result<T, ErrorReport> {
    T::deserialize(content).map_err(|error| ErrorReport {
        ename: "BadRequest".to_owned(),
        evalue: format!("malformed request: {error}"),
        traceback: Vec::new(),
    })
}
