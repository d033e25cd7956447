//! User symbols, found by blazesym on a thread of their own.
//!
//! blazesym's symbolizer cannot move between threads, and reading debug information takes time
//! that the reader of a ring buffer does not have; observing a process never waits.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use blazesym::Pid;
use blazesym::symbolize::source::{Elf, Process, Source};
use blazesym::symbolize::{CodeInfo, InlinedFn, Input, Sym, Symbolized, Symbolizer};
use probebook_compiler::user_info::UserInfo;

use super::Show;
use super::processes::{Found, Place, Processes};
use super::unwind::{Sample, Unwinder};
use crate::system::System;
use crate::value::{Frame, FrameSymbol};

/// A handle on the thread; cheap to share.
pub struct UserSymbols {
    sender: mpsc::Sender<Request>,
}

enum Request {
    Observe(Vec<u32>),
    Binaries(BTreeSet<PathBuf>),
    /// Stands for a file that a reader stumbles over.
    #[cfg(test)]
    Stumble,
    /// An event of `dw_ustack`.
    Unwind {
        event: Vec<u8>,
        reply: mpsc::Sender<Option<Unwound>>,
    },
    Resolve {
        pid: u32,
        addresses: Vec<u64>,
        show: Show,
        reply: mpsc::Sender<Vec<Frame>>,
    },
}

/// A stack that was unwound, and where its process has code.
pub(super) struct Unwound {
    pub id: i64,
    pub pid: u32,
    pub addresses: Vec<u64>,
    pub code: [u64; 4],
}

impl UserSymbols {
    pub fn start(system: Arc<System>) -> io::Result<UserSymbols> {
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new().name("symbols".into()).spawn(move || {
            let mut worker = Worker::new(system);
            for request in receiver {
                worker.answer_guarded(request);
            }
        })?;
        Ok(UserSymbols { sender })
    }

    /// Has the mappings of living processes read, for when their addresses are to be resolved.
    pub fn observe(&self, processes: impl IntoIterator<Item = u32>) {
        // If the thread is gone, addresses stay numbers.
        let _ = self.sender.send(Request::Observe(processes.into_iter().collect()));
    }

    /// Tells of files that run as processes which may be gone when their addresses are resolved.
    pub fn note_binaries(&self, paths: BTreeSet<PathBuf>) {
        let _ = self.sender.send(Request::Binaries(paths));
    }

    /// Unwinds what an event of `dw_ustack` holds.
    pub(super) fn unwind(&self, event: &[u8]) -> Option<Unwound> {
        let (reply, answer) = mpsc::channel();
        self.sender.send(Request::Unwind { event: event.to_owned(), reply }).ok()?;
        answer.recv().ok()?
    }

    /// Frames for the addresses of a process, one for each.
    pub fn resolve(&self, pid: u32, addresses: Vec<u64>, show: Show) -> Vec<Frame> {
        if addresses.is_empty() {
            return Vec::new();
        }
        let unresolved = || addresses.iter().map(|address| Frame { address: *address, symbol: None }).collect();
        let (reply, answer) = mpsc::channel();
        let request = Request::Resolve { pid, addresses: addresses.clone(), show, reply };
        if self.sender.send(request).is_err() {
            return unresolved();
        }
        answer.recv().unwrap_or_else(|_| unresolved())
    }
}

struct Worker {
    system: Arc<System>,
    processes: Processes,
    unwinder: Unwinder,
    /// One for each way of showing symbols.
    symbolizers: HashMap<Show, Symbolizer>,
}

impl Worker {
    fn new(system: Arc<System>) -> Worker {
        Worker { system, processes: Processes::default(), unwinder: Unwinder::default(), symbolizers: HashMap::new() }
    }

    /// Any process may have a file mapped that a reader stumbles over. Whoever asked gets numbers then, and what
    /// was half done is thrown away.
    fn answer_guarded(&mut self, request: Request) {
        if catch_unwind(AssertUnwindSafe(|| self.answer(request))).is_err() {
            self.unwinder = Unwinder::default();
            self.symbolizers.clear();
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Observe(processes) => processes.into_iter().for_each(|pid| self.processes.observe(pid)),
            Request::Binaries(paths) => paths.iter().for_each(|path| self.processes.note_binary(path)),
            #[cfg(test)]
            Request::Stumble => panic!("on purpose"),
            Request::Unwind { event, reply } => drop(reply.send(self.unwind(&event))),
            Request::Resolve { pid, addresses, show, reply } => {
                let frames = addresses.into_iter().map(|address| self.frame(pid, address, show));
                // Whoever asked may have lost interest.
                let _ = reply.send(frames.collect());
            }
        }
    }

    fn unwind(&mut self, event: &[u8]) -> Option<Unwound> {
        let sample = Sample::read(event)?;
        // What is unwound wrongly stays so, and samples are few: libraries may just have been loaded.
        self.processes.refresh(sample.pid);
        let addresses = self.unwinder.unwind(&sample, &mut self.processes);
        let code = self.processes.code_ranges(sample.pid);
        Some(Unwound { id: sample.id, pid: sample.pid, addresses, code })
    }

    fn frame(&mut self, pid: u32, address: u64, show: Show) -> Frame {
        let found = self.processes.find(pid, address);
        let symbolizer = self.symbolizer(show);
        let symbol = match found {
            Found::File(place) => in_file(symbolizer, &place, show).or_else(|| put_aside(&self.system, &place, show)),
            Found::Anonymous => in_process(symbolizer, pid, address),
            Found::Unknown => None,
        };
        Frame { address, symbol }
    }

    fn symbolizer(&mut self, show: Show) -> &Symbolizer {
        self.symbolizers.entry(show).or_insert_with(|| {
            Symbolizer::builder()
                .enable_code_info(show.debug_info)
                .enable_inlined_fns(show.debug_info)
                .enable_demangling(show.demangled)
                .build()
        })
    }
}

/// Debug information that cannot be read must not hide the symbol that the file has anyway.
fn in_file(symbolizer: &Symbolizer, place: &Place, show: Show) -> Option<FrameSymbol> {
    let with = |debug_syms| {
        let mut elf = Elf::new(&place.file);
        elf.debug_syms = debug_syms;
        match symbolizer.symbolize_single(&Source::Elf(elf), Input::FileOffset(place.offset)).ok()? {
            Symbolized::Sym(sym) => Some(frame_symbol(&sym, &place.path)),
            Symbolized::Unknown(_) => None,
        }
    };
    if show.debug_info { with(true).or_else(|| with(false)) } else { with(false) }
}

/// Symbols that blazesym does not read: those that were put aside, in debug files that it does not find or
/// embedded in the program.
fn put_aside(system: &System, place: &Place, show: Show) -> Option<FrameSymbol> {
    let symbol = system.user_files().stripped_symbol(&place.file, place.offset)?;
    let demangled = || system.demangled(&symbol.name).filter(|_| show.demangled);
    Some(FrameSymbol {
        name: demangled().unwrap_or_else(|| symbol.name.clone()),
        offset: place.offset.saturating_sub(symbol.file_offset),
        module: place.path.display().to_string(),
        location: None,
        inlined: Vec::new(),
    })
}

/// For code that lies in no file: the vDSO, and what a just-in-time compiler tells of itself in
/// `/tmp/perf-PID.map`.
fn in_process(symbolizer: &Symbolizer, pid: u32, address: u64) -> Option<FrameSymbol> {
    let source = Source::Process(Process::new(Pid::from(pid)));
    match symbolizer.symbolize_single(&source, Input::AbsAddr(address)).ok()? {
        Symbolized::Sym(sym) => {
            let module = sym.module.as_ref().map(|module| Path::new(module).to_owned()).unwrap_or_default();
            Some(frame_symbol(&sym, &module))
        }
        Symbolized::Unknown(_) => None,
    }
}

fn frame_symbol(sym: &Sym<'_>, module: &Path) -> FrameSymbol {
    FrameSymbol {
        name: sym.name.clone().into_owned(),
        offset: sym.offset as u64,
        module: module.display().to_string(),
        location: sym.code_info.as_deref().map(location),
        // blazesym has the outermost first.
        inlined: sym.inlined.iter().rev().map(inlined).collect(),
    }
}

fn inlined(function: &InlinedFn<'_>) -> String {
    match &function.code_info {
        Some(code) => format!("{}@{}", function.name, location(code)),
        None => function.name.clone().into_owned(),
    }
}

fn location(code: &CodeInfo<'_>) -> String {
    let path = code.to_path().display().to_string();
    match code.line {
        Some(line) => format!("{path}:{line}"),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn a_function_of_ours() {}

    #[test]
    fn our_own_functions_have_names() {
        let symbols = UserSymbols::start(Arc::new(System::new())).unwrap();
        let address = a_function_of_ours as fn() as usize as u64;
        let show = Show { demangled: true, debug_info: false };
        let frames = symbols.resolve(std::process::id(), vec![address, 16], show);
        let symbol = frames[0].symbol.as_ref().unwrap();
        assert!(symbol.name.contains("a_function_of_ours"), "{}", symbol.name);
        assert_eq!(symbol.offset, 0);
        assert_eq!(frames[1], Frame { address: 16, symbol: None });
        symbols.sender.send(Request::Stumble).unwrap();
        assert_eq!(symbols.resolve(std::process::id(), vec![address, 16], show), frames);
    }
}
