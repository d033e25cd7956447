//! `rawtracepoint`: by name; needs no tracefs.

use std::ffi::CString;
use std::io;

use probebook_compiler::plan::ProgramKind;

use super::{Attachment, Reason, Target};
use crate::loader::link;

pub fn attach(target: Target<'_>, name: &str) -> Result<Vec<Attachment>, Reason> {
    // Such a program named the tracepoint when it was loaded.
    if target.kind == ProgramKind::TypedTracepoint {
        let link = link::tracing(target.program);
        let link = link.map_err(|error| Reason::of(error, "attaching to the raw tracepoint"))?;
        return Ok(vec![Attachment::of_link(link)]);
    }
    let missing = || Reason::Missing(format!("there is no raw tracepoint {name}"));
    let kernel_name = CString::new(name).map_err(|_| missing())?;
    let link = link::raw_tracepoint(target.program, &kernel_name).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing(),
        _ => Reason::of(error, "attaching to the raw tracepoint"),
    })?;
    Ok(vec![Attachment::of_link(link)])
}
