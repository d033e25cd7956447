//! `iter`: nothing triggers the program but reading from it.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use super::{Attachment, Reason, Surroundings, Target};
use crate::loader::link;
use crate::text::reason;

pub fn attach(target: Target<'_>, pin: Option<&str>, around: &Surroundings<'_>) -> Result<Vec<Attachment>, Reason> {
    let link = link::iterator(target.program, around.pid).map_err(|error| Reason::of(error, "making the iterator"))?;
    if let Some(path) = pin {
        let kernel_path = CString::new(path).map_err(|_| Reason::Missing(format!("no file can be called {path}")))?;
        link::pin(link.as_fd(), &kernel_path).map_err(|source| not_pinned(path, source))?;
        return Ok(vec![Attachment::of_link(link)]);
    }
    let objects = link::objects(link.as_fd()).map_err(|error| Reason::of(error, "starting the iterator"))?;
    let mut attachment = Attachment::of_link(link);
    attachment.objects = Some(File::from(objects));
    Ok(vec![attachment])
}

fn not_pinned(path: &str, source: io::Error) -> Reason {
    match source.kind() {
        io::ErrorKind::AlreadyExists => Reason::Pin(format!("{path} exists already; remove it first")),
        io::ErrorKind::NotFound => {
            Reason::Pin(format!("{path} lies in no directory that exists; is there a BPF file system at /sys/fs/bpf?"))
        }
        _ => Reason::Pin(format!(
            "{path}: {} (a pin must lie in a BPF file system, such as /sys/fs/bpf)",
            reason(&source)
        )),
    }
}
