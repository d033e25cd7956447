//! `fentry` and `fexit`: the function is named when the program is loaded.

use probebook_compiler::plan::ProgramKind;

use super::{Attachment, Reason, Target};
use crate::loader::link;

pub fn attach(target: Target<'_>) -> Result<Vec<Attachment>, Reason> {
    let link =
        link::function(target.program, target.kind == ProgramKind::Fexit, target.cookie).map_err(
            |error| match error.raw_os_error() {
                // How the kernel says that the function's trampoline takes no more programs.
                Some(libc::E2BIG) => Reason::Missing("too many programs hang on this function already".into()),
                _ => Reason::of(error, "attaching to the function"),
            },
        )?;
    Ok(vec![Attachment::of_link(link)])
}
