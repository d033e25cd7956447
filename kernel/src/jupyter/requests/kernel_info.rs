//! `kernel_info_request`: who is there.

use jupyter_protocol::{KernelInfoReply, ReplyStatus};
use serde_json::{Value, json};

use super::Content;
use crate::jupyter::kernel::Kernel;
use crate::jupyter::wire::PROTOCOL_VERSION;

pub fn reply(kernel: &Kernel) -> Content {
    let info = kernel.interpreter.kernel_info();
    let reply = KernelInfoReply {
        status: ReplyStatus::Ok,
        protocol_version: PROTOCOL_VERSION.to_owned(),
        implementation: info.implementation,
        implementation_version: info.implementation_version,
        language_info: info.language_info,
        banner: info.banner,
        help_links: info.help_links,
        debugger: false,
        error: None,
    };
    let mut content = serde_json::to_value(reply).unwrap_or_default();
    if let Value::Object(fields) = &mut content {
        // New in 5.5: neither a debugger nor subshells.
        fields.insert("supported_features".to_owned(), json!([]));
    }
    Ok(content)
}
