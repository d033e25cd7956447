//! `watchpoint`: a breakpoint of the processor, on each CPU or for each thread of a process.

use probebook_compiler::plan::Access;

use super::{Attachment, Reason, Surroundings, Target, perf};
use crate::loader::perf::Event;

pub fn attach(
    target: Target<'_>,
    address: u64,
    length: u32,
    access: Access,
    around: &Surroundings<'_>,
) -> Result<Vec<Attachment>, Reason> {
    let event = Event::Breakpoint { address, length, access };
    let attached = perf::hang_everywhere(&event, target, around).map_err(|reason| match reason {
        Reason::System { source, .. } if source.raw_os_error() == Some(libc::ENOSPC) => Reason::NoBreakpointLeft,
        Reason::System { source, .. } if matches!(source.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP)) => {
            Reason::NoKernelSupport { feature: "hardware breakpoints (CONFIG_HAVE_HW_BREAKPOINT)" }
        }
        Reason::System { source, .. } if source.raw_os_error() == Some(libc::EINVAL) => {
            Reason::Missing(format!("the processor cannot watch the address {address:#x} in this way"))
        }
        other => other,
    })?;
    Ok(attached.into_iter().map(|attachment| attachment.watching(address)).collect())
}
