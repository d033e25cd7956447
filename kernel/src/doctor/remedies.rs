//! The way out when a probe cannot be attached, by probe type: for `doctor`, and for the errors of scripts.

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
