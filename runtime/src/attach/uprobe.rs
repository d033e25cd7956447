//! `uprobe` and `uretprobe`: a place in a file, by performance event, so nothing appears in tracefs.

use std::ffi::CString;
use std::fs;
use std::io;

use super::{Attachment, Reason, Surroundings, Target, perf};
use crate::loader::perf::{Event, Target as Place};

/// Where the kernel says which number its source of events has.
const SOURCE: &str = "/sys/bus/event_source/devices/uprobe/type";

pub fn attach(
    target: Target<'_>,
    path: &str,
    offset: u64,
    returns: bool,
    around: &Surroundings<'_>,
) -> Result<Vec<Attachment>, Reason> {
    let kind = source_type(SOURCE).ok_or(Reason::NoKernelSupport { feature: "uprobes (CONFIG_UPROBE_EVENTS)" })?;
    let kernel_path = CString::new(path).map_err(|_| Reason::Missing(format!("there is no file {path}")))?;
    let event = Event::Uprobe { kind, path: kernel_path, offset, returns };
    let place = match around.pid {
        Some(pid) => Place::Process(pid),
        None => Place::Cpu(around.system.online_cpus().first().copied().unwrap_or(0)),
    };
    let attachment = perf::hang(&event, place, target).map_err(|reason| match reason {
        Reason::System { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Reason::Missing(format!("there is no file {path}"))
        }
        other => other,
    })?;
    Ok(vec![attachment])
}

/// The number that `perf_event_open` wants for a dynamic source of events.
pub fn source_type(path: &str) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
