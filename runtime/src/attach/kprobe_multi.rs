//! Many kernel functions by one link, where the kernel can: at their entries, their returns, or both (a session).

use std::ffi::{CStr, CString};
use std::io;

use probebook_compiler::plan::{Cookie, ProbePlan};

use super::kprobe::{self, Function};
use super::{AttachError, Attachment, Reason, Target};
use crate::loader::link::{self, Ends, KernelFunctions};
use crate::loader::program::Linking;

/// A probe and its index in the plan.
type Probe<'a> = (usize, &'a ProbePlan);
type Outcome = Result<Vec<Attachment>, AttachError>;

/// Attaches to all of the functions, by as few links as the kernel takes; one outcome for each probe.
pub fn attach(probes: &[Probe<'_>], target: Target<'_>) -> Vec<Outcome> {
    if target.linking != Linking::KprobeSession {
        return together(probes, &[], target);
    }
    let (exits, entries): (Vec<Probe>, Vec<Probe>) = probes.iter().partition(|(_, probe)| returns(probe));
    together(&entries, &exits, target)
}

fn returns(probe: &ProbePlan) -> bool {
    Function::of(&probe.attach).is_some_and(|function| function.returns)
}

/// `exits` are the same functions once more, if there are any: the link of the entries serves them too.
fn together(probes: &[Probe<'_>], exits: &[Probe<'_>], target: Target<'_>) -> Vec<Outcome> {
    let error = match link(probes, target) {
        Ok(attachment) => {
            let others = probes.iter().skip(1).chain(exits).map(|_| Ok(Vec::new()));
            return std::iter::once(Ok(vec![attachment])).chain(others).collect();
        }
        Err(error) => error,
    };
    // The kernel does not say which of the functions it does not find.
    if probes.len() > 1 && is_about_one(&error) {
        let (first, second) = probes.split_at(probes.len() / 2);
        let (first_exits, second_exits) = exits.split_at(exits.len().min(first.len()));
        let mut outcomes = together(first, first_exits, target);
        outcomes.extend(together(second, second_exits, target));
        return outcomes;
    }
    probes.iter().chain(exits).map(|(_, probe)| Err(failure(probe, &error, target.overrides))).collect()
}

fn is_about_one(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH | libc::EINVAL))
}

fn failure(probe: &ProbePlan, error: &io::Error, overrides: bool) -> AttachError {
    let error = error.raw_os_error().map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error);
    let reason = match Function::of(&probe.attach) {
        Some(function) => kprobe::explain(error, &function, overrides),
        None => Reason::of(error, "attaching to kernel functions"),
    };
    AttachError { probe: probe.name.clone(), span: probe.span, reason }
}

fn link(probes: &[Probe<'_>], target: Target<'_>) -> io::Result<Attachment> {
    let functions = probes.iter().filter_map(|(_, probe)| Function::of(&probe.attach));
    let ends = match target.linking {
        Linking::KprobeSession => Ends::Both,
        _ if probes.iter().any(|(_, probe)| returns(probe)) => Ends::Return,
        _ => Ends::Entry,
    };
    let names: Result<Vec<CString>, _> = functions.map(|function| CString::new(function.symbol)).collect();
    let names = names.map_err(|_| io::Error::from_raw_os_error(libc::ENOENT))?;
    let names: Vec<&CStr> = names.iter().map(CString::as_c_str).collect();
    let cookies: Vec<u64> = probes.iter().map(|(index, _)| Cookie::of(*index, 0)).collect();
    let link = link::kprobe_multi(target.program, &KernelFunctions { names: &names, cookies: &cookies, ends })?;
    Ok(Attachment::of_link(link))
}
