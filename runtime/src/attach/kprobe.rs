//! `kprobe` and `kretprobe`: a kernel function, by performance event.

use std::ffi::CString;
use std::io;

use super::uprobe::source_type;
use super::{Attachment, Reason, Target, perf};
use crate::loader::perf::{Event, Target as Place};

const SOURCE: &str = "/sys/bus/event_source/devices/kprobe/type";

pub fn attach(target: Target<'_>, symbol: &str, offset: u64, returns: bool) -> Result<Vec<Attachment>, Reason> {
    let kind = source_type(SOURCE).ok_or(Reason::NoKernelSupport { feature: "kprobes (CONFIG_KPROBE_EVENTS)" })?;
    let missing = || Reason::Missing(format!("there is no kernel function {symbol} that can be probed"));
    let function = CString::new(symbol).map_err(|_| missing())?;
    let event = Event::Kprobe { kind, function, offset, returns };
    let attachment = perf::hang(&event, Place::Cpu(0), target).map_err(|reason| match reason {
        Reason::System { source, .. } if is_absent(&source) => missing(),
        other => other,
    })?;
    Ok(vec![attachment])
}

/// How `perf_event_open` says that a function is unknown, or known twice, or must not be probed.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EADDRNOTAVAIL | libc::EINVAL))
}
