//! Comms: there are none, which is said politely.
//!
//! <https://jupyter-client.readthedocs.io/en/stable/messaging.html#custom-messages>

use serde_json::{Value, json};

use super::Content;
use crate::jupyter::kernel::Kernel;
use crate::jupyter::wire::Request;

/// `comm_info_request`: no comm is open.
pub fn info() -> Content {
    Ok(json!({ "status": "ok", "comms": {} }))
}

/// `comm_open`: no target is known here, so the comm is closed again.
pub fn refuse(kernel: &Kernel, request: &Request) {
    let Some(Value::String(id)) = request.content.get("comm_id") else {
        return;
    };
    let content = json!({ "comm_id": id, "data": {} });
    kernel.broadcast(&request.parent, "comm_close", &content);
}
