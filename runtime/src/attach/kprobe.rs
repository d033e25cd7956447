//! `kprobe` and `kretprobe`: a kernel function by performance event, many by one link where the kernel
//! can.

use std::ffi::{CStr, CString};
use std::io;

use probebook_compiler::plan::{Attach, ProbePlan};

use super::uprobe::source_type;
use super::{AttachError, Attachment, Reason, Surroundings, Target, perf};
use crate::loader::link;
use crate::loader::perf::{Event, Target as Place};

const SOURCE: &str = "/sys/bus/event_source/devices/kprobe/type";

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
    fn of(attach: &'a Attach) -> Option<Function<'a>> {
        match attach {
            Attach::Kprobe { module, symbol, offset, returns } => {
                Some(Function { module: module.as_deref(), symbol, offset: *offset, returns: *returns })
            }
            _ => None,
        }
    }
}

/// Attaches to one place.
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
    let event = Event::Kprobe { kind, function: called, offset, returns };
    match perf::hang(&event, Place::Cpu(0), target) {
        Ok(attachment) => Ok(vec![attachment]),
        Err(Reason::System { source, .. }) => Err(explain(source, &function)),
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
fn explain(error: io::Error, function: &Function<'_>) -> Reason {
    let symbol = if function.symbol.is_empty() { "this address" } else { function.symbol };
    let meaning = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ESRCH) => {
            format!("{symbol} is not traceable: there is no such function, it was inlined, or it is notrace")
        }
        Some(libc::EINVAL) => {
            format!("{symbol} is not traceable: the kernel allows no probes there (notrace, or its kprobes/blacklist)")
        }
        Some(libc::EADDRNOTAVAIL) => {
            format!("several kernel functions are called {symbol}: name the module, or the address with --unsafe")
        }
        Some(libc::EILSEQ) => {
            "Possible attachment attempt in the middle of an instruction, try a different offset.".into()
        }
        _ => return Reason::of(error, "attaching to the kernel function"),
    };
    Reason::Missing(meaning)
}

/// Attaches to the start or the end of many functions, by as few links as the kernel takes.
pub fn attach_many(probes: &[(usize, &ProbePlan)], target: Target<'_>) -> Vec<Result<Vec<Attachment>, AttachError>> {
    let error = match attach_together(probes, target) {
        Ok(attachment) => {
            let others = probes.iter().skip(1).map(|_| Ok(Vec::new()));
            return std::iter::once(Ok(vec![attachment])).chain(others).collect();
        }
        Err(error) => error,
    };
    match probes {
        [(_, probe)] => {
            let reason = match Function::of(&probe.attach) {
                Some(function) => explain(error, &function),
                None => Reason::of(error, "attaching to kernel functions"),
            };
            vec![Err(AttachError { probe: probe.name.clone(), span: probe.span, reason })]
        }
        // The kernel does not say which of them it is.
        _ => {
            let (first, second) = probes.split_at(probes.len() / 2);
            let mut results = attach_many(first, target);
            results.extend(attach_many(second, target));
            results
        }
    }
}

fn attach_together(probes: &[(usize, &ProbePlan)], target: Target<'_>) -> io::Result<Attachment> {
    let functions = probes.iter().filter_map(|(_, probe)| Function::of(&probe.attach));
    let returns = functions.clone().any(|function| function.returns);
    let names: Result<Vec<CString>, _> = functions.map(|function| CString::new(function.symbol)).collect();
    let names = names.map_err(|_| io::Error::from_raw_os_error(libc::ENOENT))?;
    let names: Vec<&CStr> = names.iter().map(CString::as_c_str).collect();
    let cookies: Vec<u64> = probes.iter().map(|(cookie, _)| *cookie as u64).collect();
    let link = link::kprobe_multi(target.program, &names, &cookies, returns)?;
    Ok(Attachment::of_link(link))
}
