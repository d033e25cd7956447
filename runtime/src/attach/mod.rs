//! Attaches programs to what triggers them, one kind of probe a file.

pub mod bind;
mod fentry;
pub(crate) mod groups;
mod hardware;
mod interval;
mod iter;
mod kprobe;
mod kprobe_multi;
mod perf;
mod profile;
mod raw_tracepoint;
mod software;
mod tracepoint;
mod uprobe;
mod watchpoint;

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::mpsc;
use std::thread;

use probebook_compiler::kernel_info::Unavailable;
use probebook_compiler::plan::{Attach, ProbePlan, ProgramKind};
use probebook_compiler::syntax::ast::Span;

use crate::loader::heap;
use crate::loader::limits;
use crate::loader::privilege::Refusal;
use crate::loader::program::Linking;
use crate::system::System;
use crate::text::reason;

/// A program that hangs on something. Dropping it detaches, which may take 0.1 s.
pub struct Attachment {
    _link: OwnedFd,
    /// Reading from it runs the iterator.
    objects: Option<File>,
    /// The address of a watchpoint.
    watches: Option<u64>,
}

impl Attachment {
    /// A link that needs nothing else.
    fn of_link(link: OwnedFd) -> Attachment {
        Attachment { _link: link, objects: None, watches: None }
    }

    fn watching(self, address: u64) -> Attachment {
        Attachment { watches: Some(address), ..self }
    }

    /// What has to be read to run an iterator, once.
    pub fn take_objects(&mut self) -> Option<File> {
        self.objects.take()
    }

    /// Whether it is a watchpoint for this address.
    pub fn watches(&self, address: u64) -> bool {
        self.watches == Some(address)
    }
}

/// What attaching needs to know of the world.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    pub system: &'a System,
    /// Only this process is of interest (`-p`, `-c`).
    pub pid: Option<u32>,
    pub mechanisms: Mechanisms,
}

/// Which of several ways to attach are open; the kernel may know fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mechanisms {
    /// One link for many kprobes.
    pub kprobe_multi: bool,
    /// One link for many uprobes.
    pub uprobe_multi: bool,
    /// A USDT semaphore is raised in every process that has the file mapped.
    pub usdt_file_activation: bool,
}

impl Default for Mechanisms {
    fn default() -> Mechanisms {
        Mechanisms { kprobe_multi: true, uprobe_multi: true, usdt_file_activation: false }
    }
}

/// A program, and what its `bpf_get_attach_cookie` gives at this probe.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub program: BorrowedFd<'a>,
    pub kind: ProgramKind,
    pub cookie: u64,
    /// What kind of link the program was loaded for.
    pub linking: Linking,
    /// It calls `override()`.
    pub overrides: bool,
}

/// A probe could not be attached.
#[derive(Debug, thiserror::Error)]
#[error("Unable to attach probe: {probe}: {reason}")]
pub struct AttachError {
    /// As `probe` gives it.
    pub probe: String,
    pub span: Span,
    pub reason: Reason,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// There is nothing of that name; `config = { missing_probes = … }` says what then.
    #[error("{0}")]
    Missing(String),
    /// The program or library was there when the script was compiled.
    #[error("there is no file {0}")]
    FileGone(String),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Unavailable(#[from] Unavailable),
    /// The kernel was built without it.
    #[error("this kernel has no {feature}")]
    NoKernelSupport { feature: &'static str },
    #[error("all breakpoints of the processor are in use (x86-64 has four)")]
    NoBreakpointLeft,
    #[error("it could not be pinned: {0}")]
    Pin(String),
    #[error(
        "this process may have {limit} descriptors, and each probe that is attached by itself takes one: raise the \
         limit before (ulimit -n, LimitNOFILE=), or attach to fewer places"
    )]
    DescriptorLimit { limit: u64 },
    #[error("{action}: {}", reason(.source))]
    System { action: &'static str, source: io::Error },
}

impl Reason {
    /// A failed system call, explained if it is a matter of permission.
    fn of(source: io::Error, action: &'static str) -> Reason {
        if source.raw_os_error() == Some(libc::EMFILE) {
            return Reason::DescriptorLimit { limit: limits::most_descriptors() };
        }
        match Refusal::of(&source, action) {
            Some(refusal) => refusal.into(),
            None => Reason::System { action, source },
        }
    }
}

/// Attaches a program to one probe. Probes that are run rather than attached give nothing.
pub fn attach(
    probe: &ProbePlan,
    target: Target<'_>,
    surroundings: &Surroundings<'_>,
) -> Result<Vec<Attachment>, AttachError> {
    let attached = match &probe.attach {
        Attach::Begin | Attach::End | Attach::Signal { .. } => Ok(Vec::new()),
        Attach::Test { .. } | Attach::Bench { .. } => Ok(Vec::new()),
        Attach::Interval { period_ns } => interval::attach(target, *period_ns, surroundings),
        Attach::Profile { rate } => profile::attach(target, *rate, surroundings),
        Attach::Tracepoint { category, name } => tracepoint::attach(target, category, name, surroundings),
        Attach::RawTracepoint { name } => raw_tracepoint::attach(target, name, surroundings),
        Attach::Software { event, period } => software::attach(target, *event, *period, surroundings),
        Attach::Hardware { event, period } => hardware::attach(target, *event, *period, surroundings),
        Attach::Kprobe { module, symbol, offset, returns } => {
            let function = kprobe::Function { module: module.as_deref(), symbol, offset: *offset, returns: *returns };
            kprobe::attach(target, function, surroundings)
        }
        Attach::Uprobe { path, returns, .. } => {
            let places = groups::places(probe, target.cookie).unwrap_or_default();
            uprobe::attach(target, path, &places, *returns, surroundings)
        }
        Attach::Usdt { path, .. } => {
            let places = groups::places(probe, target.cookie).unwrap_or_default();
            uprobe::attach(target, path, &places, false, surroundings)
        }
        Attach::Fentry { .. } => fentry::attach(target),
        Attach::Iter { pin, .. } => iter::attach(target, pin.as_deref(), surroundings),
        Attach::Watchpoint { address, length, access } => {
            watchpoint::attach(target, *address, *length, *access, surroundings)
        }
    };
    attached.map_err(|reason| AttachError { probe: probe.name.clone(), span: probe.span, reason })
}

/// Closes what takes long to close, on a thread of its own.
pub struct Reaper {
    sender: mpsc::Sender<Doomed>,
}

/// Something to do where it delays nobody.
pub type Task = Box<dyn FnOnce() + Send>;

/// Things whose end nobody should have to wait for.
#[derive(Default)]
pub struct Doomed {
    pub attachments: Vec<Attachment>,
    pub programs: Vec<OwnedFd>,
    /// Done when all is closed.
    pub last: Option<Task>,
    /// Answered when all is closed.
    pub done: Option<mpsc::Sender<()>>,
}

impl Reaper {
    pub fn new() -> io::Result<Reaper> {
        let (sender, receiver) = mpsc::channel::<Doomed>();
        thread::Builder::new().name("reaper".into()).spawn(move || {
            for doomed in receiver {
                let Doomed { attachments, programs, last, done } = doomed;
                drop(attachments);
                drop(programs);
                last.into_iter().for_each(|task| task());
                done.map(|done| done.send(()));
                heap::give_back();
            }
        })?;
        Ok(Reaper { sender })
    }

    pub fn reap(&self, doomed: Doomed) {
        // Without the thread they are closed here, which is slow but right.
        drop(self.sender.send(doomed));
    }
}
