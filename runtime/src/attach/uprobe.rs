//! `uprobe`, `uretprobe` and `usdt`: places in a file. Where the kernel can, one link holds all places
//! of a file; otherwise each is a performance event, so nothing appears in tracefs.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::Path;

use super::{Attachment, Reason, Surroundings, Target, perf};
use crate::loader::link::{self, UprobePlaces};
use crate::loader::perf::{Event, Target as On};
use crate::loader::program::Linking;

/// Where the kernel says which number its source of events has.
const SOURCE: &str = "/sys/bus/event_source/devices/uprobe/type";

/// The kernel's own "not supported", which libc does not know (`include/linux/errno.h`).
const ENOTSUPP: i32 = 524;

/// One place to attach to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub offset: u64,
    /// Where the counter lies that is raised while the probe is on; 0 if there is none.
    pub semaphore: u64,
    /// What `bpf_get_attach_cookie` gives there.
    pub cookie: u64,
}

/// Attaches the program to places of one file.
pub fn attach(
    target: Target<'_>,
    path: &str,
    places: &[Place],
    returns: bool,
    around: &Surroundings<'_>,
) -> Result<Vec<Attachment>, Reason> {
    match target.linking {
        Linking::UprobeMulti => many(target, path, places, returns, around).map(|attachment| vec![attachment]),
        _ => places.iter().map(|place| one(target, path, place, returns, around)).collect(),
    }
}

fn many(
    target: Target<'_>,
    path: &str,
    places: &[Place],
    returns: bool,
    around: &Surroundings<'_>,
) -> Result<Attachment, Reason> {
    let column = |value: fn(&Place) -> u64| -> Vec<u64> { places.iter().map(value).collect() };
    let semaphores = column(|place| place.semaphore);
    let wanted = UprobePlaces {
        path: &kernel_path(path)?,
        offsets: &column(|place| place.offset),
        semaphores: if semaphores.iter().any(|semaphore| *semaphore != 0) { &semaphores } else { &[] },
        cookies: &column(|place| place.cookie),
        returns,
        pid: around.pid.unwrap_or(0),
    };
    let link = link::uprobe_multi(target.program, &wanted).map_err(|error| explain(error, path, around))?;
    Ok(Attachment::of_link(link))
}

fn one(
    target: Target<'_>,
    path: &str,
    place: &Place,
    returns: bool,
    around: &Surroundings<'_>,
) -> Result<Attachment, Reason> {
    let kind = source_type(SOURCE).ok_or(Reason::NoKernelSupport { feature: "uprobes (CONFIG_UPROBE_EVENTS)" })?;
    let path_for_kernel = kernel_path(path)?;
    let event =
        Event::Uprobe { kind, path: path_for_kernel, offset: place.offset, semaphore: place.semaphore, returns };
    let on = match around.pid {
        Some(pid) => On::Process(pid),
        None => On::Cpu(around.system.online_cpus().first().copied().unwrap_or(0)),
    };
    let target = Target { cookie: place.cookie, ..target };
    perf::hang(&event, on, target).map_err(|reason| match reason {
        Reason::System { source, .. } => explain(source, path, around),
        other => other,
    })
}

fn kernel_path(path: &str) -> Result<CString, Reason> {
    CString::new(path).map_err(|_| Reason::Missing(format!("there is no file {path}")))
}

/// What the kernel's answer means for a uprobe (`kernel/events/uprobes.c`).
fn explain(error: io::Error, path: &str, around: &Surroundings<'_>) -> Reason {
    if error.raw_os_error() == Some(libc::ENOENT) {
        return Reason::FileGone(path.to_owned());
    }
    let gone = around.pid.filter(|pid| !Path::new(&format!("/proc/{pid}")).exists());
    let meaning = match (error.raw_os_error(), gone) {
        (Some(libc::ESRCH), Some(pid)) => format!("the process {pid} has ended"),
        (Some(ENOTSUPP | libc::EOPNOTSUPP), _) => {
            format!("the kernel cannot put a breakpoint on the instruction at this place of {path}")
        }
        (Some(libc::EINVAL), _) if fs::metadata(path).is_ok_and(|file| !file.is_file()) => {
            format!("{path} is no regular file")
        }
        _ => return Reason::of(error, "attaching to a place in the file"),
    };
    Reason::Missing(meaning)
}

/// The number that `perf_event_open` wants for a dynamic source of events.
pub fn source_type(path: &str) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
