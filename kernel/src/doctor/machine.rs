//! Privileges of this process, and what of the kernel is there.

use std::fs;

use probebook_compiler::kernel_info::KernelInfo;
use probebook_runtime::Session;
use probebook_runtime::loader::privilege::{self, CAPABILITIES};

use super::{Line, State};

/// The oldest kernel that is meant to work.
const OLDEST: (u32, u32) = (5, 8);
const AREA: &str = "kernel";
const MODULES: &str = "/sys/kernel/btf";

/// Capabilities and lockdown.
pub fn privileges() -> Vec<Line> {
    const AREA: &str = "privileges";
    let mut lines = Vec::new();
    for capability in CAPABILITIES {
        let held = privilege::has(capability);
        lines.push(if held || capability.optional() {
            let detail = if held { "held" } else { "not held" };
            let state = if held { State::Works } else { State::Missing };
            Line { state, ..Line::works(AREA, capability.name, format!("{detail}; for {}", capability.serves)) }
        } else {
            let detail = format!("not held; for {}", capability.serves);
            let capabilities = privilege::file_capabilities(capability.name);
            let remedy = format!("run as root, or: setcap {capabilities} PROGRAM");
            Line::not(State::Fails, AREA, capability.name, detail, &remedy)
        });
    }
    lines.push(match privilege::lockdown().as_deref() {
        None if !fs::exists(privilege::LOCKDOWN).unwrap_or(false) => {
            Line::works(AREA, "lockdown", "not told: there is no securityfs")
        }
        None => Line::works(AREA, "lockdown", "none"),
        Some("integrity") => Line::not(
            State::Missing,
            AREA,
            "lockdown",
            "integrity: write_user(), override() and some files of tracefs are forbidden",
            "boot with lockdown off to use those",
        ),
        Some(mode) => {
            let detail = format!("{mode}: BPF programs may not read kernel memory");
            Line::not(State::Fails, AREA, "lockdown", detail, "boot with lockdown=integrity or off")
        }
    });
    lines
}

/// Version, types, tracefs, symbols.
pub fn kernel(session: &Session) -> Vec<Line> {
    let system = session.system();
    let mut lines = vec![version()];
    lines.push(if system.btf().is_empty() {
        let remedy = "use a kernel with CONFIG_DEBUG_INFO_BTF, as distributions have";
        Line::not(State::Fails, AREA, "btf", "the kernel does not describe its types", remedy)
    } else {
        Line::works(AREA, "btf", "/sys/kernel/btf/vmlinux")
    });
    let modules = fs::read_dir(MODULES).map_or(0, |entries| entries.count().saturating_sub(1));
    lines.push(if modules > 0 {
        Line::works(AREA, "module btf", format!("{modules} modules"))
    } else {
        Line::not(State::Missing, AREA, "module btf", "no module describes its types", "")
    });
    lines.push(match system.tracefs().root() {
        Ok(root) if root.starts_with("/proc") => Line::works(AREA, "tracefs", "mounted for this process only"),
        Ok(root) => Line::works(AREA, "tracefs", root.display().to_string()),
        Err(error) => Line::not(State::Fails, AREA, "tracefs", error.reason, error.remedy.as_deref().unwrap_or("")),
    });
    let filter = system.tracefs().root().map(|root| root.join("available_filter_functions"));
    lines.push(match filter.ok().and_then(|path| fs::File::open(path).ok()) {
        Some(_) => Line::works(AREA, "available_filter_functions", "readable"),
        None => {
            let detail =
                "not readable; functions are taken from BTF and /proc/kallsyms, some of which cannot be traced";
            Line::not(State::Missing, AREA, "available_filter_functions", detail, "")
        }
    });
    lines
}

/// The kernel's functions, which take a while to read.
pub fn functions(session: &Session) -> Line {
    match session.system().kernel_functions() {
        Ok(functions) => Line::works(AREA, "kernel functions", format!("{} known", functions.len())),
        Err(error) => {
            Line::not(State::Fails, AREA, "kernel functions", error.reason, error.remedy.as_deref().unwrap_or(""))
        }
    }
}

fn version() -> Line {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let mut numbers = release.split(['.', '-']).map_while(|word| word.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found >= OLDEST {
        return Line::works(AREA, "version", release);
    }
    let detail = format!("{release} is older than {}.{}", OLDEST.0, OLDEST.1);
    Line::not(State::Fails, AREA, "version", detail, "use a newer kernel")
}
