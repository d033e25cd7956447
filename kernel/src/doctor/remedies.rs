//! The way out when a script cannot start, a probe not be attached or a helper not be called: for `doctor`, and
//! for the errors of scripts.

use std::io;

use probebook_runtime::loader::program::LoadError;
use probebook_runtime::maps::MapError;
use probebook_runtime::{StartError, TraceError};

/// What to do when a script cannot start, if the kernel's answer tells.
pub fn for_start(error: &StartError) -> Option<&'static str> {
    match error {
        StartError::Child { source, .. } => for_command(source),
        StartError::Maps(MapError::Create { source, .. }) => match source.raw_os_error()? {
            libc::ENOMEM => Some("the machine has too little memory for it: lower max_map_keys, or drop other maps"),
            libc::E2BIG | libc::EINVAL => Some(
                "its keys or values are longer than the kernel allows, or the kernel is too old for this kind of map: \
                 lower max_strlen, or declare the map as another kind",
            ),
            _ => None,
        },
        StartError::Load(LoadError::Kernel { source, .. }) => match source.raw_os_error()? {
            libc::E2BIG => Some("the program is too long for this kernel: split the action, or unroll less"),
            libc::ENOMEM => Some("the machine has too little memory free"),
            _ => Some("the kernel may be too old for it: `probebook doctor` shows what it can do"),
        },
        _ => None,
    }
}

/// What to do when a trace that had started cannot go on.
pub fn for_trace(error: &TraceError) -> Option<&'static str> {
    match error {
        TraceError::Child { source, .. } => for_command(source),
        TraceError::Run { .. } => {
            Some("programs that are run rather than attached, such as begin, need Linux 5.10 or newer")
        }
        TraceError::Attach(_) | TraceError::Iterator(_) | TraceError::NothingAttached => None,
    }
}

fn for_command(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::NotFound => Some("give the name of a program in PATH, or its path"),
        io::ErrorKind::PermissionDenied => Some("the file must be executable for this user: chmod +x"),
        io::ErrorKind::InvalidInput => Some("give a command; quotes in it must be balanced"),
        _ => None,
    }
}

/// What to do when the kernel does not let a privileged process attach this type of probe.
pub fn for_probe(provider: &str) -> Option<&'static str> {
    Some(match provider {
        "kprobe" | "kretprobe" => {
            "kprobes need a kernel with CONFIG_KPROBES that is not locked down; a tracepoint or rawtracepoint may show the same"
        }
        "fentry" | "fexit" => {
            "fentry and fexit need BTF, CONFIG_FUNCTION_TRACER and permission to change kernel code, which virtual machines \
             and hardened kernels may withhold; kprobe, tracepoint or rawtracepoint may show the same"
        }
        "uprobe" | "uretprobe" | "usdt" => "user probes need a kernel with CONFIG_UPROBE_EVENTS",
        "tracepoint" => {
            "tracepoints need a kernel with CONFIG_FTRACE, and tracefs: mount -t tracefs tracefs /sys/kernel/tracing"
        }
        "rawtracepoint" => "raw tracepoints need Linux 4.17 with CONFIG_BPF_EVENTS",
        "hardware" => {
            "the processor's counters are not accessible, as in most virtual machines; software events or profile need none"
        }
        "interval" | "profile" | "software" => "timed and software events need CONFIG_PERF_EVENTS",
        "watchpoint" => {
            "hardware breakpoints need CONFIG_HAVE_HW_BREAKPOINT, and a processor has few of them (x86-64: four)"
        }
        "iter" => "iterators need Linux 5.8 with BTF",
        _ => return None,
    })
}

/// What to do when the kernel keeps a helper from every program, or from those of this kind.
pub fn for_helper(name: &str) -> Option<&'static str> {
    Some(match name {
        "probe_write_user" => "lockdown forbids it: boot without lockdown to use write_user()",
        "override_return" => {
            "only a kprobe may, in a kernel with CONFIG_BPF_KPROBE_OVERRIDE that is not locked down; the function must \
             allow it: see /sys/kernel/debug/error_injection/list"
        }
        "get_func_arg" => "only fentry and fexit may",
        "d_path" => {
            "only fentry, fexit and iter may, at functions of the kernel's allowlist, such as security_file_open"
        }
        "get_socket_cookie" => "only fentry, fexit and rawtracepoint may",
        "skb_output" => "it needs a typed pointer to the packet: fentry, fexit or rawtracepoint",
        _ => return None,
    })
}

/// The helper that the verifier does not let a program call.
pub fn refused_helper(message: &str) -> Option<&str> {
    message.strip_prefix("helper bpf_")?.strip_suffix(" not allowed in probe")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_names_helpers() {
        assert_eq!(refused_helper("helper bpf_d_path not allowed in probe"), Some("d_path"));
        assert_eq!(refused_helper("R1 invalid mem access 'scalar'"), None);
    }
}
