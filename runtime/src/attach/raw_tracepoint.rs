//! `rawtracepoint`: by name; needs no tracefs.

use std::ffi::CString;
use std::io;

use super::{Attachment, Reason, Target};
use crate::loader::link;

pub fn attach(target: Target<'_>, name: &str) -> Result<Vec<Attachment>, Reason> {
    let missing = || Reason::Missing(format!("there is no raw tracepoint {name}"));
    let kernel_name = CString::new(name).map_err(|_| missing())?;
    let link = link::raw_tracepoint(target.program, &kernel_name).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing(),
        _ => Reason::of(error, "attaching to the raw tracepoint"),
    })?;
    Ok(vec![Attachment { _link: link, _event: None }])
}
