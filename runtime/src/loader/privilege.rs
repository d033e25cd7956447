//! What a refusal (`EPERM`) means: a missing capability, or a kernel that forbids the thing.

use std::fs;
use std::io;

/// Bits of the capabilities that tracing needs (`linux/capability.h`).
const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYSLOG: u32 = 34;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The kernel said no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// We may not.
    #[error(
        "{action} needs {missing}, which this process does not have; run as root (for example with \
         sudo), or give the program its capabilities: setcap {} PROGRAM", file_capabilities(.missing)
    )]
    MissingPrivilege { action: String, missing: &'static str },
    /// We may, and still it is not possible on this kernel.
    #[error("the kernel refuses {action} even to a privileged process{}", lockdown_note(.lockdown))]
    ByKernel { action: String, lockdown: Option<String> },
}

fn lockdown_note(lockdown: &Option<String>) -> String {
    match lockdown {
        Some(mode) => format!(" (kernel lockdown is set to {mode})"),
        None => String::new(),
    }
}

/// What `setcap` is to be given: all that tracing usually needs, and what was found to be missing.
pub fn file_capabilities(missing: &str) -> String {
    let usual = CAPABILITIES.iter().filter(|capability| !capability.optional() || missing.contains(capability.name));
    let names: Vec<String> = usual.map(|capability| capability.name.to_lowercase()).collect();
    format!("{}+ep", names.join(","))
}

impl Refusal {
    /// Explains an `EPERM` met while doing `action` (a gerund: `loading the program`).
    pub fn explain(action: impl Into<String>) -> Refusal {
        match missing_privilege() {
            Some(missing) => Refusal::MissingPrivilege { action: action.into(), missing },
            None => Refusal::ByKernel { action: action.into(), lockdown: lockdown() },
        }
    }

    /// Explains an error if it is about permission.
    pub fn of(error: &io::Error, action: impl Into<String>) -> Option<Refusal> {
        (error.raw_os_error() == Some(libc::EPERM)).then(|| Refusal::explain(action))
    }

    /// As [`Refusal::of`], for `perf_event_open`: it says `EACCES`, too, and to those who have all but
    /// CAP_SYS_ADMIN where it is about user probes.
    pub fn of_event(error: &io::Error, action: impl Into<String>) -> Option<Refusal> {
        if !matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) {
            return None;
        }
        Some(match missing_privilege() {
            None if !is_administrator() => {
                Refusal::MissingPrivilege { action: action.into(), missing: "CAP_SYS_ADMIN" }
            }
            _ => Refusal::explain(action),
        })
    }
}

/// Where the kernel says what it forbids to everybody.
pub const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// A capability, and what it is for.
#[derive(Clone, Copy, Debug)]
pub struct Capability {
    pub name: &'static str,
    pub serves: &'static str,
    bit: u32,
}

/// All that tracing may need.
pub const CAPABILITIES: [Capability; 5] = [
    Capability { name: "CAP_BPF", serves: "loading programs and creating maps", bit: CAP_BPF },
    Capability { name: "CAP_PERFMON", serves: "attaching probes and reading memory", bit: CAP_PERFMON },
    Capability { name: "CAP_DAC_READ_SEARCH", serves: "reading tracefs", bit: CAP_DAC_READ_SEARCH },
    Capability { name: "CAP_SYSLOG", serves: "names of kernel functions (kprobe, fentry, kstack)", bit: CAP_SYSLOG },
    Capability {
        name: "CAP_SYS_ADMIN",
        serves: "mounting tracefs, user probes before 6.6, usdt semaphores",
        bit: CAP_SYS_ADMIN,
    },
];

impl Capability {
    /// Whether the others usually suffice.
    pub fn optional(&self) -> bool {
        self.bit == CAP_SYS_ADMIN
    }
}

/// Whether this process has a capability, or the one that stands for all of tracing.
pub fn has(capability: Capability) -> bool {
    let effective = effective();
    let is_held = |bit: u32| effective & (1 << bit) != 0;
    is_held(capability.bit) || matches!(capability.bit, CAP_BPF | CAP_PERFMON) && is_held(CAP_SYS_ADMIN)
}

/// Whether this process has CAP_SYS_ADMIN, which stands for the others.
pub fn is_administrator() -> bool {
    effective() & (1 << CAP_SYS_ADMIN) != 0
}

/// Which of the capabilities that tracing needs are missing; `None` if all are there.
pub fn missing_privilege() -> Option<&'static str> {
    missing_of(effective())
}

/// The capabilities in effect, a bit each.
fn effective() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
        .unwrap_or(0)
}

fn missing_of(effective: u64) -> Option<&'static str> {
    let has = |bit: u32| effective & (1 << bit) != 0;
    match (has(CAP_SYS_ADMIN), has(CAP_BPF), has(CAP_PERFMON)) {
        (true, _, _) | (_, true, true) => None,
        (_, true, false) => Some("CAP_PERFMON"),
        (_, false, true) => Some("CAP_BPF"),
        (_, false, false) => Some("CAP_BPF and CAP_PERFMON"),
    }
}

/// The kernel's lockdown mode, if one is set.
pub fn lockdown() -> Option<String> {
    let text = fs::read_to_string(LOCKDOWN).ok()?;
    let mode = text.split('[').nth(1)?.split(']').next()?;
    (mode != "none").then(|| mode.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_sys_admin_or_both_newer_capabilities_suffice() {
        assert_eq!(missing_of(0), Some("CAP_BPF and CAP_PERFMON"));
        assert_eq!(missing_of(1 << CAP_SYS_ADMIN), None);
        assert_eq!(missing_of(1 << CAP_BPF), Some("CAP_PERFMON"));
        assert_eq!(missing_of(1 << CAP_PERFMON), Some("CAP_BPF"));
        assert_eq!(missing_of(1 << CAP_PERFMON | 1 << CAP_BPF), None);
    }

    #[test]
    fn the_remedy_names_what_is_missing() {
        assert_eq!(file_capabilities("CAP_BPF"), "cap_bpf,cap_perfmon,cap_dac_read_search,cap_syslog+ep");
        assert!(file_capabilities("CAP_SYS_ADMIN").ends_with(",cap_sys_admin+ep"));
    }

    #[test]
    fn only_permission_errors_are_explained_as_refusals() {
        assert!(Refusal::of(&io::Error::from_raw_os_error(libc::EINVAL), "x").is_none());
        assert!(Refusal::of(&io::Error::from_raw_os_error(libc::EPERM), "x").is_some());
    }
}
