//! Probes that the language has and this version does not attach.

use probebook_compiler::plan::Attach;

use super::{Attachment, Reason};

pub fn attach(attach: &Attach) -> Result<Vec<Attachment>, Reason> {
    Err(Reason::Unsupported(match attach {
        Attach::Fentry { exit: false, .. } => "fentry",
        Attach::Fentry { exit: true, .. } => "fexit",
        Attach::Iter { .. } => "iter",
        Attach::Watchpoint { .. } => "watchpoint",
        _ => "such",
    }))
}
