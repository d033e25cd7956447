//! What the running kernel can do, found out by trying.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use aya_obj::generated::{bpf_attach_type, bpf_cmd, bpf_prog_type};

use super::bpf::{attribute, bpf_descriptor};

/// `r0 = 0; exit` (`struct bpf_insn` of `linux/bpf.h`).
const NOTHING: [u64; 2] = [0xb7, 0x95];

/// Whether one link can hold many kprobes (`BPF_TRACE_KPROBE_MULTI`): Linux 5.18 with CONFIG_FPROBE.
pub fn kprobe_multi() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let Ok(program) = load_nothing(bpf_attach_type::BPF_TRACE_KPROBE_MULTI) else { return false };
        // A kernel that knows such links looks at the names, which lie nowhere (`copy_user_syms` in
        // kernel/trace/bpf_trace.c); another does not get that far.
        let error = link_to_nowhere(program.as_fd()).err();
        error.and_then(|error| error.raw_os_error()) == Some(libc::EFAULT)
    })
}

fn load_nothing(attach_type: bpf_attach_type) -> io::Result<OwnedFd> {
    let mut attr = attribute();
    // SAFETY: all members of the union are plain integers; this is the one for BPF_PROG_LOAD.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
    load.expected_attach_type = attach_type as u32;
    load.insns = NOTHING.as_ptr() as u64;
    load.insn_cnt = 2;
    load.license = c"GPL".as_ptr() as u64;
    // SAFETY: instructions and license are static, and the count is theirs.
    unsafe { bpf_descriptor(bpf_cmd::BPF_PROG_LOAD, &mut attr) }
}

fn link_to_nowhere(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = attribute();
    // SAFETY: all members of the union are plain integers; this is the one for BPF_LINK_CREATE.
    let link = unsafe { &mut attr.link_create };
    link.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    link.attach_type = bpf_attach_type::BPF_TRACE_KPROBE_MULTI as u32;
    // SAFETY: plain integers too.
    let multi = unsafe { &mut link.__bindgen_anon_3.kprobe_multi };
    multi.syms = 8;
    multi.cnt = 1;
    // SAFETY: the address is never mapped, and the kernel checks it before it reads.
    unsafe { bpf_descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
}
