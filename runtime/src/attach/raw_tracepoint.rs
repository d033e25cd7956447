//! `rawtracepoint`: by name; needs no tracefs.

use std::ffi::CString;
use std::io;

use probebook_compiler::kernel_info::KernelInfo;
use probebook_compiler::plan::ProgramKind;

use super::{Attachment, Reason, Surroundings, Target};
use crate::loader::link;

pub fn attach(target: Target<'_>, name: &str, around: &Surroundings<'_>) -> Result<Vec<Attachment>, Reason> {
    // Such a program named the tracepoint when it was loaded.
    if target.kind == ProgramKind::TypedTracepoint {
        let link = link::tracing(target.program);
        let link = link.map_err(|error| Reason::of(error, "attaching to the raw tracepoint"))?;
        return Ok(vec![Attachment::of_link(link)]);
    }
    let missing = || Reason::Missing(format!("there is no raw tracepoint {name}"));
    let kernel_name = CString::new(name).map_err(|_| missing())?;
    let cookie = if around.system.has_raw_tracepoint_cookies() { target.cookie } else { 0 };
    let link = link::raw_tracepoint(target.program, &kernel_name, cookie).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing(),
        _ => Reason::of(error, "attaching to the raw tracepoint"),
    })?;
    Ok(vec![Attachment::of_link(link)])
}
