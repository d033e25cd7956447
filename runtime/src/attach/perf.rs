//! What probes over performance events have in common.

use std::fs;
use std::io;
use std::os::fd::AsFd;

use super::{Attachment, Reason, Surroundings, Target};
use crate::loader::link;
use crate::loader::perf::{self, Event};
use crate::loader::privilege::Refusal;

/// Opens an event, hangs the program on it and lets it fire. The link keeps the event
/// (`bpf_perf_link_attach` in `kernel/bpf/syscall.c`), so one descriptor is enough.
pub fn hang(event: &Event, on: perf::Target, target: Target<'_>) -> Result<Attachment, Reason> {
    let event = perf::open(event, on).map_err(|error| not_opened(error, event))?;
    let link = link::perf_event(target.program, event.as_fd(), target.cookie)
        .map_err(|error| Reason::of(error, "linking the program to its event"))?;
    perf::enable(event.as_fd()).map_err(|error| Reason::of(error, "enabling the event"))?;
    Ok(Attachment::of_link(link))
}

fn not_opened(error: io::Error, event: &Event) -> Reason {
    let action = match event {
        Event::Uprobe { .. } => "attaching to a place in the file",
        Event::Kprobe { .. } => "attaching to the kernel function",
        _ => "opening the performance event",
    };
    match Refusal::of_event(&error, action) {
        Some(refusal) => refusal.into(),
        None => Reason::System { action, source: error },
    }
}

/// Hangs the program on an event of each CPU, or of each thread of the process of interest.
pub fn hang_everywhere(
    event: &Event,
    target: Target<'_>,
    around: &Surroundings<'_>,
) -> Result<Vec<Attachment>, Reason> {
    match around.pid {
        Some(pid) => hang_on_threads(event, pid, target),
        None => {
            let cpus = around.system.online_cpus().into_iter();
            cpus.map(|cpu| hang(event, perf::Target::Cpu(cpu), target)).collect()
        }
    }
}

/// A thread may end while this goes on; only that none is left is an error.
fn hang_on_threads(event: &Event, pid: u32, target: Target<'_>) -> Result<Vec<Attachment>, Reason> {
    let mut attachments = Vec::new();
    let mut gone = None;
    for thread in threads(pid) {
        match hang(event, perf::Target::Process(thread), target) {
            Ok(attachment) => attachments.push(attachment),
            Err(Reason::System { action, source }) if source.raw_os_error() == Some(libc::ESRCH) => {
                gone = Some(Reason::System { action, source });
            }
            Err(other) => return Err(other),
        }
    }
    match gone {
        Some(reason) if attachments.is_empty() => Err(reason),
        _ => Ok(attachments),
    }
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
