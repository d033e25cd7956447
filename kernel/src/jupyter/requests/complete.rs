//! `complete_request`: what could stand at the cursor.

use jupyter_protocol::CompleteRequest;
use serde_json::{Value, json};

use super::{Content, parse};
use crate::jupyter::interpreter::{Completion, CompletionMatch};
use crate::jupyter::kernel::Kernel;

pub fn reply(kernel: &Kernel, content: &Value) -> Content {
    let request: CompleteRequest = parse(content)?;
    let cursor = request.cursor_pos.min(request.code.chars().count());
    Ok(to_content(kernel.interpreter.complete(&request.code, cursor)))
}

fn to_content(completion: Completion) -> Value {
    let Completion { matches, cursor_start, cursor_end } = completion;
    // JupyterLab takes icons and signatures from this; other clients ignore it.
    let typed = |one: &CompletionMatch| {
        json!({
            "text": one.text,
            "type": one.kind.as_deref().unwrap_or(""),
            "signature": one.signature.as_deref().unwrap_or(""),
            "start": cursor_start,
            "end": cursor_end,
        })
    };
    let types: Vec<Value> = matches.iter().map(typed).collect();
    let texts: Vec<String> = matches.into_iter().map(|one| one.text).collect();
    json!({
        "status": "ok",
        "matches": texts,
        "cursor_start": cursor_start,
        "cursor_end": cursor_end,
        "metadata": { "_jupyter_types_experimental": types },
    })
}
