//! What probes over performance events have in common.

use std::fs;
use std::os::fd::AsFd;

use super::{Attachment, Reason, Surroundings, Target};
use crate::loader::perf::{self, Event};
use crate::loader::link;

/// Opens an event, hangs the program on it and lets it fire.
pub fn hang(event: &Event, on: perf::Target, target: Target<'_>) -> Result<Attachment, Reason> {
    let event = perf::open(event, on).map_err(|error| Reason::of(error, "opening the performance event"))?;
    let link = link::perf_event(target.program, event.as_fd(), target.cookie)
        .map_err(|error| Reason::of(error, "linking the program to its event"))?;
    perf::enable(event.as_fd()).map_err(|error| Reason::of(error, "enabling the event"))?;
    Ok(Attachment { _link: link, _event: Some(event) })
}

/// Hangs the program on an event of each CPU, or of each thread of the process of interest.
pub fn hang_everywhere(event: &Event, target: Target<'_>, around: &Surroundings<'_>) -> Result<Vec<Attachment>, Reason> {
    let places: Vec<perf::Target> = match around.pid {
        Some(pid) => threads(pid).into_iter().map(perf::Target::Process).collect(),
        None => around.system.online_cpus().into_iter().map(perf::Target::Cpu).collect(),
    };
    places.into_iter().map(|place| hang(event, place, target)).collect()
}

/// The threads of a process; at least its first.
fn threads(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut threads: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    if threads.is_empty() {
        threads.push(pid);
    }
    threads
}
