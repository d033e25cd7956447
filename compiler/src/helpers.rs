//! The kernel's helper functions that programs call: what they are called, and what needs them.

use crate::ir::Helper;

/// A helper as `bpf-helpers(7)` calls it, without `bpf_`.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub id: Helper,
    pub name: &'static str,
    /// What of the language calls it.
    pub serves: &'static str,
}

const fn known(id: Helper, name: &'static str, serves: &'static str) -> Known {
    Known { id, name, serves }
}

/// Every helper that programs may call.
pub const ALL: &[Known] = &[
    known(Helper::MAP_LOOKUP_ELEM, "map_lookup_elem", "maps"),
    known(Helper::MAP_UPDATE_ELEM, "map_update_elem", "maps"),
    known(Helper::MAP_DELETE_ELEM, "map_delete_elem", "delete()"),
    known(Helper::MAP_LOOKUP_PERCPU_ELEM, "map_lookup_percpu_elem", "reading count(), sum() … in a script"),
    known(Helper::FOR_EACH_MAP_ELEM, "for_each_map_elem", "for over maps, len()"),
    known(Helper::LOOP, "loop", "for over ranges"),
    known(Helper::RINGBUF_OUTPUT, "ringbuf_output", "printf() and all other output"),
    known(Helper::SEQ_PRINTF, "seq_printf", "pinned iterators"),
    known(Helper::TRACE_PRINTK, "trace_printk", "debugf()"),
    known(Helper::KTIME_GET_NS, "ktime_get_ns", "nsecs(monotonic)"),
    known(Helper::KTIME_GET_BOOT_NS, "ktime_get_boot_ns", "nsecs, elapsed"),
    known(Helper::KTIME_GET_TAI_NS, "ktime_get_tai_ns", "nsecs(tai)"),
    known(Helper::JIFFIES64, "jiffies64", "jiffies"),
    known(Helper::GET_PRANDOM_U32, "get_prandom_u32", "rand"),
    known(Helper::GET_SMP_PROCESSOR_ID, "get_smp_processor_id", "cpu"),
    known(Helper::GET_NUMA_NODE_ID, "get_numa_node_id", "numaid"),
    known(Helper::GET_CURRENT_PID_TGID, "get_current_pid_tgid", "pid, tid"),
    known(Helper::GET_NS_CURRENT_PID_TGID, "get_ns_current_pid_tgid", "pid, tid in containers"),
    known(Helper::GET_CURRENT_UID_GID, "get_current_uid_gid", "uid, gid"),
    known(Helper::GET_CURRENT_COMM, "get_current_comm", "comm without BTF"),
    known(Helper::GET_CURRENT_TASK, "get_current_task", "curtask without BTF"),
    known(Helper::GET_CURRENT_TASK_BTF, "get_current_task_btf", "comm, curtask"),
    known(Helper::GET_CURRENT_CGROUP_ID, "get_current_cgroup_id", "cgroup"),
    known(Helper::GET_STACKID, "get_stackid", "kstack, ustack as map keys"),
    known(Helper::GET_STACK, "get_stack", "kstack, ustack"),
    known(Helper::TASK_PT_REGS, "task_pt_regs", "dw_ustack"),
    known(Helper::GET_FUNC_IP, "get_func_ip", "func, uaddr()"),
    known(Helper::GET_FUNC_ARG, "get_func_arg", "args of fentry and fexit"),
    known(Helper::GET_ATTACH_COOKIE, "get_attach_cookie", "probe, one program for many probes"),
    known(Helper::PROBE_READ_USER, "probe_read_user", "reading user memory"),
    known(Helper::PROBE_READ_KERNEL, "probe_read_kernel", "reading kernel memory"),
    known(Helper::PROBE_READ_USER_STR, "probe_read_user_str", "str() of user memory"),
    known(Helper::PROBE_READ_KERNEL_STR, "probe_read_kernel_str", "str() of kernel memory"),
    known(Helper::PROBE_WRITE_USER, "probe_write_user", "write_user()"),
    known(Helper::OVERRIDE_RETURN, "override_return", "override()"),
    known(Helper::SEND_SIGNAL, "send_signal", "signal()"),
    known(Helper::SEND_SIGNAL_THREAD, "send_signal_thread", "signal_thread()"),
    known(Helper::GET_SOCKET_COOKIE, "get_socket_cookie", "socket_cookie()"),
    known(Helper::SKB_OUTPUT, "skb_output", "skboutput()"),
    known(Helper::D_PATH, "d_path", "path()"),
];

/// What a helper is called.
pub fn name(helper: Helper) -> &'static str {
    ALL.iter().find(|known| known.id == helper).map_or("unknown", |known| known.name)
}
