//! The way out when a probe cannot be attached or a helper not be called: for `doctor`, and for the errors of
//! scripts.

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

/// The helper that the verifier does not let a program call, by its words (`check_helper_call` in
/// `kernel/bpf/verifier.c`): `unknown func bpf_d_path#147`, `helper call is not allowed in probe`.
pub fn refused_helper(message: &str) -> Option<&str> {
    let start = message.find("bpf_").filter(|_| message.contains("func ") || message.contains("helper"))?;
    let name = message.get(start + "bpf_".len()..)?;
    name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_names_helpers() {
        for (message, name) in [
            ("program of this type cannot use helper bpf_override_return#58", Some("override_return")),
            ("unknown func bpf_d_path#147", Some("d_path")),
            ("helper bpf_d_path not allowed in probe", Some("d_path")),
            ("R1 invalid mem access 'scalar'", None),
        ] {
            assert_eq!(refused_helper(message), name, "{message}");
        }
    }
}
