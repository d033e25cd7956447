//! `history_request`: earlier cells.

use serde_json::{Value, json};

use super::{Content, parse};
use crate::jupyter::kernel::Kernel;

pub fn reply(kernel: &Kernel, content: &Value) -> Content {
    let request = parse(content)?;
    let found = kernel.history().find(&request);
    Ok(json!({ "status": "ok", "history": found }))
}
