//! `is_complete_request`: run it, or ask for more lines.

use jupyter_protocol::IsCompleteRequest;
use serde_json::{Value, json};

use super::{Content, parse};
use crate::jupyter::interpreter::Completeness;
use crate::jupyter::kernel::Kernel;

pub fn reply(kernel: &Kernel, content: &Value) -> Content {
    let request: IsCompleteRequest = parse(content)?;
    Ok(match kernel.interpreter.is_complete(&request.code) {
        Completeness::Complete => json!({ "status": "complete" }),
        Completeness::Incomplete { indent } => json!({ "status": "incomplete", "indent": indent }),
        Completeness::Invalid => json!({ "status": "invalid" }),
        Completeness::Unknown => json!({ "status": "unknown" }),
    })
}
