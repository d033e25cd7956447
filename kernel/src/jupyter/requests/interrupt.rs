//! `interrupt_request`: the stop button.

use serde_json::json;

use super::Content;
use crate::jupyter::kernel::Kernel;

pub fn reply(kernel: &Kernel) -> Content {
    kernel.interpreter.interrupt();
    Ok(json!({ "status": "ok" }))
}
