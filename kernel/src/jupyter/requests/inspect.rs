//! `inspect_request`: documentation of the name at the cursor.

use jupyter_protocol::InspectRequest;
use serde_json::{Value, json};

use super::{Content, parse};
use crate::jupyter::kernel::Kernel;

pub fn reply(kernel: &Kernel, content: &Value) -> Content {
    let request: InspectRequest = parse(content)?;
    let cursor = request.cursor_pos.min(request.code.chars().count());
    let detail = request.detail_level.map_or(0, |level| level.min(1) as u8);
    let found = kernel.interpreter.inspect(&request.code, cursor, detail);
    let is_found = found.is_some();
    let bundle = found.unwrap_or_default();
    Ok(json!({
        "status": "ok",
        "found": is_found,
        "data": bundle.data,
        "metadata": bundle.metadata,
    }))
}
