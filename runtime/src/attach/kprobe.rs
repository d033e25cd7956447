//! `kprobe` and `kretprobe`: a kernel function by performance event.

use std::ffi::CString;
use std::io;

use probebook_compiler::plan::Attach;

use super::uprobe::source_type;
use super::{Attachment, Reason, Surroundings, Target, perf};
use crate::loader::perf::{Event, Target as Place};

const SOURCE: &str = "/sys/bus/event_source/devices/kprobe/type";

/// Every instruction starts at a multiple of it.
const INSTRUCTION_ALIGNMENT: u64 = if cfg!(target_arch = "aarch64") { 4 } else { 1 };
const INSIDE_INSTRUCTION: &str = "Possible attachment attempt in the middle of an instruction, try a different offset.";

/// A kernel function, or a place in one.
#[derive(Clone, Copy)]
pub struct Function<'a> {
    pub module: Option<&'a str>,
    /// Empty: `offset` is the address.
    pub symbol: &'a str,
    pub offset: u64,
    pub returns: bool,
}

impl<'a> Function<'a> {
    pub fn of(attach: &'a Attach) -> Option<Function<'a>> {
        match attach {
            Attach::Kprobe { module, symbol, offset, returns } => {
                Some(Function { module: module.as_deref(), symbol, offset: *offset, returns: *returns })
            }
            _ => None,
        }
    }
}

/// Attaches to one place; to several, if several functions have the name.
pub fn attach(
    target: Target<'_>,
    function: Function<'_>,
    around: &Surroundings<'_>,
) -> Result<Vec<Attachment>, Reason> {
    let kind = source_type(SOURCE).ok_or(Reason::NoKernelSupport { feature: "kprobes (CONFIG_KPROBE_EVENTS)" })?;
    let Function { module, symbol, offset, returns } = function;
    check_offset(&function, around)?;
    let name = match module {
        Some(module) => format!("{module}:{symbol}"),
        None => symbol.to_owned(),
    };
    let absent = || Reason::Missing(format!("there is no kernel function {name}"));
    let called = if symbol.is_empty() { None } else { Some(CString::new(name.as_str()).map_err(|_| absent())?) };
    let at = |function: Option<CString>, offset: u64| {
        perf::hang(&Event::Kprobe { kind, function, offset, returns }, Place::Cpu(0), target)
    };
    match at(called, offset) {
        Ok(attachment) => Ok(vec![attachment]),
        Err(Reason::System { source, .. }) => {
            let addresses = around.system.kallsyms().addresses(symbol, module);
            if source.raw_os_error() != Some(libc::EADDRNOTAVAIL) || addresses.len() < 2 {
                return Err(explain(source, &function, target.overrides));
            }
            addresses.iter().map(|start| at(None, start.saturating_add(offset))).collect()
        }
        Err(other) => Err(other),
    }
}

/// Beyond the end of a function lies another.
fn check_offset(function: &Function<'_>, around: &Surroundings<'_>) -> Result<(), Reason> {
    if function.symbol.is_empty() || function.offset == 0 {
        return Ok(());
    }
    let kallsyms = around.system.kallsyms();
    let Some(start) = kallsyms.address(function.symbol) else { return Ok(()) };
    match kallsyms.lookup(start.saturating_add(function.offset)) {
        Some(at) if at.address == start => Ok(()),
        other => {
            let place = other.map_or(String::new(), |at| format!(": there is {}", at.name));
            let Function { symbol, offset, .. } = function;
            Err(Reason::Missing(format!("the offset {offset} lies outside of {symbol}{place}")))
        }
    }
}

/// What `perf_event_open` means by its error numbers (`kernel/trace/trace_kprobe.c`, `kernel/kprobes.c`).
pub fn explain(error: io::Error, function: &Function<'_>, overrides: bool) -> Reason {
    let symbol = if function.symbol.is_empty() { "this address" } else { function.symbol };
    let meaning = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ESRCH) => {
            format!("{symbol} is not traceable: there is no such function, it was inlined, or it is notrace")
        }
        Some(libc::EINVAL) if !function.offset.is_multiple_of(INSTRUCTION_ALIGNMENT) => INSIDE_INSTRUCTION.into(),
        Some(libc::EINVAL) => {
            let no_errors = ", or no errors, which override() needs (its /sys/kernel/debug/error_injection/list has \
                             functions that take them)";
            let no_errors = if overrides { no_errors } else { "" };
            format!(
                "{symbol} is not traceable: the kernel allows no probes there (notrace, or its kprobes/blacklist){no_errors}"
            )
        }
        Some(libc::EADDRNOTAVAIL) => {
            format!("several kernel functions are called {symbol}, and their addresses are not known")
        }
        Some(libc::EILSEQ) => INSIDE_INSTRUCTION.into(),
        _ => return Reason::of(error, "attaching to the kernel function"),
    };
    Reason::Missing(meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_actions_that_override_are_told_of_errors() {
        let function = Function { module: None, symbol: "vfs_read", offset: 0, returns: false };
        let told = |overrides| explain(io::Error::from_raw_os_error(libc::EINVAL), &function, overrides).to_string();
        assert!(told(true).contains("no errors, which override() needs"));
        assert!(!told(false).contains("override"), "{}", told(false));
    }
}
