//! Loads programs, and runs those that need no attachment.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_cmd, bpf_prog_info, bpf_prog_type};
use probebook_compiler::plan::{ProgramKind, ProgramPlan};

use super::bpf::{KPROBE_SESSION, address, attribute, bpf, bpf_descriptor};
use super::object::{self, Executable, Executables, LineInfo, Numbers, ObjectError};
use super::privilege::Refusal;
use super::verifier_log;
use crate::text::reason;

/// The longest log that is asked for when a first one was too short, and the shortest.
const LARGEST_LOG: u32 = 1 << 26;
const SMALLEST_LOG: u32 = 1 << 12;
/// What is logged: the way to what is rejected, or all ways (`include/linux/bpf_verifier.h`).
const BPF_LOG_LEVEL1: u32 = 1;
const BPF_LOG_LEVEL2: u32 = 2;
/// How often a program is given to the verifier that a signal has kept from its end (`EAGAIN`).
const TRIES: usize = 5;

/// What kind of link a program is loaded for, where its kind leaves a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Linking {
    /// One place a link.
    #[default]
    Single,
    /// Many kernel functions in one link (`BPF_TRACE_KPROBE_MULTI`).
    KprobeMulti,
    /// Both ends of many kernel functions in one link (`BPF_TRACE_KPROBE_SESSION`).
    KprobeSession,
    /// Many places of a file in one link (`BPF_TRACE_UPROBE_MULTI`).
    UprobeMulti,
}

/// Why programs cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("{refusal}")]
    Refused {
        /// Index into the plan's programs.
        program: usize,
        refusal: Refusal,
    },
    /// The verifier found fault with a program.
    #[error("the kernel's verifier rejected the program: {message}")]
    Rejected {
        /// Index into the plan's programs.
        program: usize,
        message: String,
        /// Where in the script, as the compiler's line information tells.
        place: Option<LineInfo>,
        log: String,
    },
    /// The kernel cannot do it, and has no more to say.
    #[error("the kernel could not load the program `{symbol}`: {}", reason(.source))]
    Kernel { program: usize, symbol: String, source: io::Error },
    /// The user did not want to wait for the verifier.
    #[error("interrupted while its programs were loaded; nothing of it has run")]
    Interrupted,
}

/// What a program names when it is loaded: a function or a type that it will be attached to.
pub struct Binding {
    pub btf_id: u32,
    /// Whose type that is, if not the kernel's: a module's BTF, or a BPF program.
    pub owner: Option<OwnedFd>,
}

/// How the verifier is asked.
pub struct Verification<'a> {
    /// Bytes of its log on a program that it rejects; more if they do not do.
    pub log_size: u32,
    /// What it writes of each program is wanted.
    pub keeps_logs: bool,
    /// It may think for seconds: this is asked each time before it begins.
    pub is_interrupted: &'a dyn Fn() -> bool,
}

/// The programs of a plan, in its order.
#[derive(Default)]
pub struct Loaded {
    pub programs: Vec<OwnedFd>,
    /// What the verifier wrote of each program, and of its instructions' effects; empty unless it was wanted.
    pub logs: Vec<String>,
}

/// Loads every program of a plan from its objects. Bindings and kinds of links are in the plan's order; what is
/// missing there has none.
pub fn load(
    objects: &[Vec<u8>],
    plans: &[ProgramPlan],
    bindings: &[Option<Binding>],
    linking: &[Linking],
    numbers: Numbers<'_>,
    verification: &Verification<'_>,
) -> Result<Loaded, LoadError> {
    let Executables { programs, btf } = object::read(objects, plans, numbers)?;
    let btf: Vec<Option<OwnedFd>> = btf.iter().map(|bytes| load_btf(bytes.as_deref()?).ok()).collect();
    let mut loaded = Loaded::default();
    for (index, (executable, plan)) in programs.iter().zip(plans).enumerate() {
        let binding = bindings.get(index).and_then(Option::as_ref);
        let linking = linking.get(index).copied().unwrap_or_default();
        let btf = btf.get(plan.object).and_then(Option::as_ref).map(AsFd::as_fd);
        let around = Surroundings { kind: plan.kind, linking, binding, btf, verification };
        let program = load_one(executable, &around).map_err(|failure| failure.at(index, executable))?;
        loaded.programs.push(program);
        if verification.keeps_logs {
            loaded.logs.push(whole_log(executable, &around));
        }
    }
    Ok(loaded)
}

/// What is loaded together with a program's instructions.
struct Surroundings<'a> {
    kind: ProgramKind,
    linking: Linking,
    binding: Option<&'a Binding>,
    btf: Option<BorrowedFd<'a>>,
    verification: &'a Verification<'a>,
}

/// A failure of one program, before it is known which of the plan's it is.
struct Failure {
    error: io::Error,
    log: String,
}

impl Failure {
    fn at(self, program: usize, executable: &Executable) -> LoadError {
        if self.error.kind() == io::ErrorKind::Interrupted {
            return LoadError::Interrupted;
        }
        if let (true, Some(refusal)) = (self.log.is_empty(), Refusal::of(&self.error, "loading a BPF program")) {
            return LoadError::Refused { program, refusal };
        }
        let reason = verifier_log::reason(&self.log);
        if reason.message.is_empty() {
            return LoadError::Kernel { program, symbol: executable.symbol.clone(), source: self.error };
        }
        let place = reason.instruction.and_then(|index| verifier_log::place(&executable.lines, index));
        LoadError::Rejected { program, message: reason.message, place, log: self.log }
    }
}

/// What the verifier writes.
#[derive(Default)]
struct Log {
    buffer: Vec<u8>,
    level: u32,
    /// How long it would have been (`log_true_size`, since Linux 6.4); 0 if the kernel does not tell.
    whole: u32,
}

impl Log {
    fn of(size: u32) -> Log {
        Log { buffer: vec![0; size as usize], level: BPF_LOG_LEVEL1, whole: 0 }
    }

    /// Whether its end, where the reason stands, may be missing. A kernel that tells how long the log
    /// would be drops its beginning instead (`bpf_verifier_vlog` in `kernel/bpf/log.c`).
    fn lacks_end(&self, error: &io::Error) -> bool {
        error.raw_os_error() == Some(libc::ENOSPC) && self.whole == 0
    }

    fn text(&self) -> String {
        let text = self.buffer.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }
}

/// Loads without a log, which is quicker, and asks for one only after a rejection.
fn load_one(executable: &Executable, around: &Surroundings<'_>) -> Result<OwnedFd, Failure> {
    let error = match submit_patiently(executable, around, &mut Log::default()) {
        Ok(fd) => return Ok(fd),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(Failure { error, log: String::new() }),
        Err(error) => error,
    };
    let mut size = around.verification.log_size.clamp(SMALLEST_LOG, LARGEST_LOG);
    loop {
        let mut log = Log::of(size);
        match submit_patiently(executable, around, &mut log) {
            Ok(fd) => return Ok(fd),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                return Err(Failure { error, log: String::new() });
            }
            Err(cut) if log.lacks_end(&cut) && size < LARGEST_LOG => size = size.saturating_mul(4).min(LARGEST_LOG),
            Err(_) => return Err(Failure { error, log: log.text() }),
        }
    }
}

/// What the verifier writes of a program that it lets pass.
fn whole_log(executable: &Executable, around: &Surroundings<'_>) -> String {
    let mut size = around.verification.log_size.clamp(SMALLEST_LOG, LARGEST_LOG);
    loop {
        let mut log = Log { level: BPF_LOG_LEVEL2, ..Log::of(size) };
        // The program has been loaded; this one is for its log only.
        let outcome = submit_patiently(executable, around, &mut log);
        let is_cut = outcome.is_err_and(|error| error.raw_os_error() == Some(libc::ENOSPC));
        if !is_cut || size == LARGEST_LOG {
            return log.text();
        }
        size = size.saturating_mul(4).min(LARGEST_LOG);
    }
}

/// Begins anew when a signal that was meant for others has ended the verifier's work.
fn submit_patiently(executable: &Executable, around: &Surroundings<'_>, log: &mut Log) -> io::Result<OwnedFd> {
    let mut result = Err(io::ErrorKind::Interrupted.into());
    for _ in 0..TRIES {
        if (around.verification.is_interrupted)() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        result = submit(executable, around, log);
        match &result {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
            _ => break,
        }
    }
    result
}

fn submit(executable: &Executable, around: &Surroundings<'_>, log: &mut Log) -> io::Result<OwnedFd> {
    let mut attr = attribute();
    // SAFETY: all members of the union are plain integers; this is the one for BPF_PROG_LOAD.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    let (program_type, attach_type) = kernel_type(around.kind, around.linking);
    load.prog_type = program_type as u32;
    load.expected_attach_type = attach_type;
    load.insns = executable.instructions.as_ptr() as u64;
    load.insn_cnt = u32::try_from(executable.instructions.len()).unwrap_or(u32::MAX);
    load.license = executable.license.as_ptr() as u64;
    for (to, from) in load.prog_name.iter_mut().take(15).zip(executable.symbol.bytes()) {
        *to = from as libc::c_char;
    }
    if let Some(binding) = around.binding {
        load.attach_btf_id = binding.btf_id;
        load.__bindgen_anon_1.attach_prog_fd = binding.owner.as_ref().map_or(0, |owner| owner.as_raw_fd() as u32);
    }
    if let Some(btf) = around.btf {
        load.prog_btf_fd = btf.as_raw_fd() as u32;
        load.func_info = address(&executable.func_info);
        load.func_info_rec_size = executable.func_info_size;
        load.func_info_cnt = records(&executable.func_info, executable.func_info_size);
        load.line_info = address(&executable.line_info);
        load.line_info_rec_size = executable.line_info_size;
        load.line_info_cnt = records(&executable.line_info, executable.line_info_size);
    }
    if !log.buffer.is_empty() {
        load.log_level = log.level;
        load.log_buf = log.buffer.as_mut_ptr() as u64;
        load.log_size = u32::try_from(log.buffer.len()).unwrap_or(u32::MAX);
    }
    // SAFETY: instructions, license, information and log outlive the call; lengths are theirs.
    let result = unsafe { bpf_descriptor(bpf_cmd::BPF_PROG_LOAD, &mut attr) };
    // SAFETY: the same member, all of whose parts are plain integers.
    log.whole = unsafe { attr.__bindgen_anon_3.log_true_size };
    result
}

fn records(bytes: &[u8], size: u32) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(0).checked_div(size).unwrap_or(0)
}

/// Program and attach types as `linux/bpf.h` numbers them; where the program type says all, the attach type is 0.
pub(super) fn kernel_type(kind: ProgramKind, linking: Linking) -> (bpf_prog_type, u32) {
    match kind {
        ProgramKind::Run | ProgramKind::RawTracepoint => (bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT, 0),
        ProgramKind::Measured => (bpf_prog_type::BPF_PROG_TYPE_XDP, 0),
        ProgramKind::TypedTracepoint => tracing(bpf_attach_type::BPF_TRACE_RAW_TP),
        ProgramKind::Tracepoint => (bpf_prog_type::BPF_PROG_TYPE_TRACEPOINT, 0),
        ProgramKind::PerfEvent => (bpf_prog_type::BPF_PROG_TYPE_PERF_EVENT, 0),
        ProgramKind::Probe | ProgramKind::Session => {
            let attach_type = match linking {
                Linking::Single => 0,
                Linking::KprobeMulti => bpf_attach_type::BPF_TRACE_KPROBE_MULTI as u32,
                Linking::KprobeSession => KPROBE_SESSION,
                Linking::UprobeMulti => bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32,
            };
            (bpf_prog_type::BPF_PROG_TYPE_KPROBE, attach_type)
        }
        ProgramKind::Fentry => tracing(bpf_attach_type::BPF_TRACE_FENTRY),
        ProgramKind::Fexit => tracing(bpf_attach_type::BPF_TRACE_FEXIT),
        ProgramKind::Iter => tracing(bpf_attach_type::BPF_TRACE_ITER),
    }
}

fn tracing(attach_type: bpf_attach_type) -> (bpf_prog_type, u32) {
    (bpf_prog_type::BPF_PROG_TYPE_TRACING, attach_type as u32)
}

/// Gives the object's type information to the kernel.
fn load_btf(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = attribute();
    // SAFETY: all members of the union are plain integers; this is the one for BPF_BTF_LOAD.
    let load = unsafe { &mut attr.__bindgen_anon_7 };
    load.btf = address(bytes);
    load.btf_size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    // SAFETY: `bytes` outlives the call and has the length given.
    unsafe { bpf_descriptor(bpf_cmd::BPF_BTF_LOAD, &mut attr) }
}

/// Runs a raw tracepoint program once, here and now (BPF_PROG_TEST_RUN), and gives what it
/// returned. The context is zeros.
pub fn run(program: BorrowedFd<'_>) -> io::Result<u32> {
    let context = [0u8; 96];
    let mut attr = attribute();
    // SAFETY: all members of the union are plain integers; this is the one for BPF_PROG_TEST_RUN.
    let test = unsafe { &mut attr.test };
    test.prog_fd = program.as_raw_fd() as u32;
    test.ctx_in = address(&context);
    test.ctx_size_in = 96;
    // SAFETY: the context outlives the call and has the length given.
    unsafe { bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr) }?;
    // SAFETY: the kernel has filled the same member in.
    Ok(unsafe { attr.test.retval })
}

/// Runs an XDP program so many times, here and now. Gives what it returned the last time, and the
/// average time in nanoseconds that it took.
pub fn measure(program: BorrowedFd<'_>, times: u32) -> io::Result<(u32, u32)> {
    // An Ethernet header, the least that the kernel takes for a packet.
    let packet = [0u8; 14];
    let mut attr = attribute();
    // SAFETY: all members of the union are plain integers; this is the one for BPF_PROG_TEST_RUN.
    let test = unsafe { &mut attr.test };
    test.prog_fd = program.as_raw_fd() as u32;
    test.data_in = address(&packet);
    test.data_size_in = packet.len() as u32;
    test.repeat = times;
    // SAFETY: the packet outlives the call and has the length given.
    unsafe { bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr) }?;
    // SAFETY: the kernel has filled the same member in.
    Ok(unsafe { (attr.test.retval, attr.test.duration) })
}

/// How often the kernel has skipped a program because one was running already on that CPU
/// (`recursion_misses` of `struct bpf_prog_info`).
pub fn missed_runs(program: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: `bpf_prog_info` is a C struct of integers; all zeros asks for no arrays.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut attr = attribute();
    attr.info.bpf_fd = program.as_raw_fd() as u32;
    attr.info.info = (&raw mut info) as u64;
    attr.info.info_len = u32::try_from(size_of::<bpf_prog_info>()).unwrap_or(0);
    // SAFETY: `info` is live and has the length given.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(info.recursion_misses)
}
