//! What the kernel can do, found out by trying: programs of one call, links of one place.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_cmd, bpf_insn, bpf_prog_type};
use probebook_compiler::plan::ProgramKind;

use super::bpf::{KPROBE_SESSION, attribute, bpf_descriptor};
use super::link::{self, Ends, KernelFunctions, UprobePlaces};
use super::program::{Linking, kernel_type};

/// `BPF_JMP | BPF_CALL`, `BPF_JMP | BPF_EXIT` and `BPF_ALU64 | BPF_MOV | BPF_K` (`linux/bpf.h`).
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const MOVE: u8 = 0xb7;
/// `BPF_PSEUDO_KFUNC_CALL` (`linux/bpf.h`).
const KERNEL_FUNCTION: u8 = 2;
/// `KSYM_NAME_LEN` of `linux/kallsyms.h`, since Linux 6.1; before, it was less.
const SYMBOL_ROOM: usize = 512;
/// Room for the verifier's few words.
const LOG: usize = 4096;

/// What the kernel says of a helper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// Programs may call it; which kinds of them, and why not, is told by loading those.
    Works,
    /// This kernel has no such helper.
    Unknown,
    /// It is not for programs of the kinds that were tried.
    OtherPrograms,
    /// Programs of this kind are refused whatever they call.
    Refused(String),
}

/// BTF ids that programs with typed arguments are loaded for, where the kernel describes itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Typed {
    /// An iterator's function.
    pub iterator: Option<u32>,
    /// A function that can be traced.
    pub function: Option<u32>,
}

/// Whether a helper can be called from any kind of program that traces.
pub fn helper(id: u32, typed: Typed) -> Support {
    let plain = [
        bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT,
        bpf_prog_type::BPF_PROG_TYPE_KPROBE,
        bpf_prog_type::BPF_PROG_TYPE_PERF_EVENT,
    ];
    let plain = plain.map(|ty| Kind { program: ty as u32, attach: 0, btf_id: 0 });
    let tracing = |attach: bpf_attach_type, btf_id: Option<u32>| {
        let program = bpf_prog_type::BPF_PROG_TYPE_TRACING as u32;
        btf_id.map(|btf_id| Kind { program, attach: attach as u32, btf_id })
    };
    let iterator = tracing(bpf_attach_type::BPF_TRACE_ITER, typed.iterator);
    let mut last = Support::OtherPrograms;
    for kind in plain.into_iter().chain(iterator) {
        match try_call(kind, id) {
            Support::OtherPrograms => {}
            Support::Works => return Support::Works,
            other => last = other,
        }
    }
    // Where the kernel refuses programs at functions at all, that says nothing of the helper.
    match tracing(bpf_attach_type::BPF_TRACE_FEXIT, typed.function).map(|kind| try_call(kind, id)) {
        Some(Support::Works) => Support::Works,
        _ => last,
    }
}

fn try_call(kind: Kind, helper: u32) -> Support {
    let call = [instruction(CALL, helper), instruction(MOVE, 0), instruction(EXIT, 0)];
    load(kind, &call).map_or_else(|(error, log)| verdict(&error, &log), |_| Support::Works)
}

/// Whether programs of a kind may call a function of the kernel (a kfunc). `host` is the BTF id of what
/// such a program is bound to, if its kind is bound to something.
pub fn may_call(function: u32, kind: ProgramKind, host: u32) -> bool {
    let (program, attach) = kernel_type(kind, Linking::Single);
    let kind = Kind { program: program as u32, attach, btf_id: host };
    let mut call = instruction(CALL, function);
    call.set_src_reg(KERNEL_FUNCTION);
    match load(kind, &[call, instruction(MOVE, 0), instruction(EXIT, 0)]) {
        Ok(_) => true,
        Err((_, log)) => is_let_through(&log),
    }
}

/// Whether the verifier's complaint is about something else than that the function is called at all:
/// arguments are not set up, results not given back.
fn is_let_through(log: &str) -> bool {
    !log.is_empty() && !log.contains("is not allowed") && !log.contains("reserved fields")
}

/// What the log of a rejected call says. Arguments are not set up, so a helper that may be called
/// is rejected for its arguments.
fn verdict(error: &io::Error, log: &str) -> Support {
    if log.is_empty() {
        return Support::Refused(crate::text::reason(error));
    }
    if log.contains("invalid func") {
        return Support::Unknown;
    }
    // Before and since Linux 6.10.
    if log.contains("unknown func") || log.contains("cannot use helper") {
        return Support::OtherPrograms;
    }
    Support::Works
}

/// Whether one link can hold many kprobes; with `session` also entry and return by one program. Tried for real.
pub fn kprobe_multi(session: bool) -> io::Result<()> {
    link_kprobes(c"vfs_statfs", session).map(drop)
}

/// The same without attaching to anything, which takes long to undo, and without having the kernel go through all of its
/// symbols: whether it gets as far as to read a function's name, which is longer than any (`copy_user_syms` in
/// `kernel/trace/bpf_trace.c`).
pub fn reads_names_of_kprobes(session: bool) -> bool {
    let Ok(name) = CString::new([b'x'; 2 * SYMBOL_ROOM]) else { return false };
    link_kprobes(&name, session).is_err_and(|error| error.raw_os_error() == Some(libc::E2BIG))
}

fn link_kprobes(function: &CStr, session: bool) -> io::Result<OwnedFd> {
    let attach = if session { KPROBE_SESSION } else { bpf_attach_type::BPF_TRACE_KPROBE_MULTI as u32 };
    let program = returning(attach)?;
    let ends = if session { Ends::Both } else { Ends::Entry };
    let functions = KernelFunctions { names: &[function], cookies: &[0], ends };
    link::kprobe_multi(program.as_fd(), &functions)
}

/// Whether one link can hold many uprobes. Tried on a function of this program.
pub fn uprobe_multi() -> io::Result<()> {
    let attach = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
    let program = returning(attach)?;
    let own = std::fs::read_link("/proc/self/exe")?;
    let path = CString::new(own.into_os_string().into_encoded_bytes())?;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let offset = file_offset(&maps, uprobe_multi as *const () as u64).ok_or(io::ErrorKind::NotFound)?;
    let places =
        UprobePlaces { path: &path, offsets: &[offset], semaphores: &[], cookies: &[0], returns: false, pid: 0 };
    link::uprobe_multi(program.as_fd(), &places).map(drop)
}

/// Where in its file an address of `/proc/PID/maps` lies.
fn file_offset(maps: &str, address: u64) -> Option<u64> {
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    maps.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let (start, end) = (number(start)?, number(end)?);
        let offset = number(words.nth(1)?)?;
        (start <= address && address < end).then(|| address - start + offset)
    })
}

/// A kprobe program that does nothing.
fn returning(attach: u32) -> io::Result<OwnedFd> {
    let kind = Kind { program: bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32, attach, btf_id: 0 };
    load(kind, &[instruction(MOVE, 0), instruction(EXIT, 0)]).map_err(|(error, _)| error)
}

#[derive(Clone, Copy)]
struct Kind {
    program: u32,
    attach: u32,
    btf_id: u32,
}

fn instruction(code: u8, immediate: u32) -> bpf_insn {
    // SAFETY: `bpf_insn` is a C struct of integers; all zeros is `BPF_LD` of nothing.
    let mut instruction: bpf_insn = unsafe { std::mem::zeroed() };
    instruction.code = code;
    instruction.imm = immediate.cast_signed();
    instruction
}

/// Loads a few instructions; after a rejection, with what the verifier said.
fn load(kind: Kind, instructions: &[bpf_insn]) -> Result<OwnedFd, (io::Error, String)> {
    let mut log = vec![0u8; LOG];
    let mut attr = attribute();
    // SAFETY: all members of the union are plain integers; this is the one for BPF_PROG_LOAD.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = kind.program;
    load.expected_attach_type = kind.attach;
    load.attach_btf_id = kind.btf_id;
    load.insns = instructions.as_ptr() as u64;
    load.insn_cnt = u32::try_from(instructions.len()).unwrap_or(0);
    load.license = c"GPL".as_ptr() as u64;
    load.log_level = 1;
    load.log_buf = log.as_mut_ptr() as u64;
    load.log_size = LOG as u32;
    // SAFETY: instructions, license and log outlive the call; lengths are theirs.
    unsafe { bpf_descriptor(bpf_cmd::BPF_PROG_LOAD, &mut attr) }.map_err(|error| {
        let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
        (error, String::from_utf8_lossy(log.get(..end).unwrap_or_default()).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_helpers_work_and_made_up_ones_are_unknown() {
        if crate::loader::privilege::missing_privilege().is_some() {
            return println!("skipped: needs root");
        }
        // bpf_map_lookup_elem and bpf_get_current_comm.
        let helper = |id| helper(id, Typed::default());
        assert_eq!(helper(1), Support::Works);
        assert_eq!(helper(16), Support::Works);
        assert_eq!(helper(60_000), Support::Unknown);
        // bpf_skb_store_bytes, which no tracing program may call.
        assert_eq!(helper(9), Support::OtherPrograms);
    }

    #[test]
    fn addresses_lie_in_files() {
        let maps = "1000-2000 r-xp 00000400 08:01 1 /bin/a\n2000-3000 r--p 00001400 08:01 1 /bin/a\n";
        assert_eq!(file_offset(maps, 0x1010), Some(0x410));
        assert_eq!(file_offset(maps, 0x2000), Some(0x1400));
        assert_eq!(file_offset(maps, 0x3000), None);
    }

    #[test]
    fn logs_are_understood() {
        let error = || io::Error::from_raw_os_error(libc::EINVAL);
        assert_eq!(verdict(&error(), "0: (85) call unknown#999\ninvalid func unknown#999"), Support::Unknown);
        assert_eq!(verdict(&error(), "unknown func bpf_d_path#147"), Support::OtherPrograms);
        assert_eq!(verdict(&error(), "R1 !read_ok"), Support::Works);
        assert!(matches!(verdict(&error(), ""), Support::Refused(_)));
        assert!(is_let_through("0: (85) call bpf_task_from_pid#1\nR1 !read_ok"));
        assert!(!is_let_through("calling kernel function bpf_task_from_pid is not allowed"));
        assert!(!is_let_through(""), "programs of this kind are refused whatever they do");
    }
}
