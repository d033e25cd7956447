//! Which probes there are, by type.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use probebook_compiler::kernel_info::{KERNEL, KernelInfo, Unavailable};
use probebook_compiler::semantics::nearest::nearest;
use probebook_compiler::semantics::probes::{self, glob};
use probebook_compiler::syntax::ast::AttachPoint;
use probebook_compiler::user_info::UsdtProbe;

/// Types that a wildcard over all types stands for; return probes would show each function twice,
/// and user probes need a program.
const KERNEL_TYPES: [&str; 7] = ["kprobe", "tracepoint", "software", "hardware", "fentry", "iter", "rawtracepoint"];
const USER_TYPES: [&str; 2] = ["uprobe", "usdt"];
/// Parts of functions that the compiler has split off, which cannot be traced.
const SPLIT_OFF: &str = ".part.";
/// Where a module would stand: what follows is a BPF program.
const BPF: &str = "bpf:";

/// Where probes are looked for.
pub struct Place<'a> {
    pub info: &'a dyn KernelInfo,
    pub pid: Option<u32>,
}

/// A probe that exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    pub ty: &'static str,
    /// The module, category or binary, where the name has one.
    pub target: Option<String>,
    pub name: String,
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => write!(f, "{}:{target}:{}", self.ty, self.name),
            None => write!(f, "{}:{}", self.ty, self.name),
        }
    }
}

/// Full names of the probes that a pattern matches, sorted; for completion.
pub fn matching(info: &dyn KernelInfo, pattern: &str) -> Result<Vec<String>, String> {
    let found = search(&Place { info, pid: None }, pattern)?;
    Ok(found.iter().map(Listed::to_string).collect())
}

/// The probes that a pattern matches: `type:rest`, a type, or a part of a name.
pub fn search(place: &Place, pattern: &str) -> Result<BTreeSet<Listed>, String> {
    let (provider, rest) = match pattern.split_once(':') {
        Some(pair) => pair,
        None if probes::find_type(pattern).is_some() => (pattern, "*"),
        None => ("*", pattern),
    };
    let rest = if rest.is_empty() { "*" } else { rest };
    if !glob::is_pattern(provider) {
        let ty = probes::find_type(provider).ok_or_else(|| unknown(provider))?;
        return of_type(place, ty.name, rest);
    }
    let mut found = BTreeSet::new();
    for ty in types(place, provider, rest) {
        // A wildcard over types shows what can be shown.
        found.extend(of_type(place, ty, rest).unwrap_or_default());
    }
    Ok(found)
}

fn unknown(provider: &str) -> String {
    match nearest(provider, probes::TYPES.iter().map(|ty| ty.name)) {
        Some(near) => format!("invalid probe type: {provider}; did you mean {near}?"),
        None => format!("invalid probe type: {provider}"),
    }
}

/// The types that a pattern stands for.
fn types(place: &Place, provider: &str, rest: &str) -> Vec<&'static str> {
    let has_binary = rest.split_once(':').is_some_and(|(binary, _)| Path::new(binary).exists());
    let user = USER_TYPES.into_iter().filter(|_| place.pid.is_some() || has_binary);
    // What follows the name of an iterator is where it is pinned.
    let fits = |name: &&str| glob::matches(provider, name) && !(*name == "iter" && rest.contains(':'));
    let usual: Vec<_> = KERNEL_TYPES.into_iter().chain(user).filter(fits).collect();
    if !usual.is_empty() {
        return usual;
    }
    probes::TYPES.iter().map(|ty| ty.name).filter(|name| glob::matches(provider, name)).collect()
}

/// The probes that an attach point of a script stands for.
pub fn of_attach_point(place: &Place, point: &AttachPoint) -> Result<BTreeSet<Listed>, String> {
    let mut parts = point.parts.iter().map(|part| part.text.as_str());
    let provider = parts.next().unwrap_or_default();
    let Some(ty) = probes::find_type(provider) else { return Err(unknown(provider)) };
    let rest: Vec<&str> = parts.collect();
    match (ty.name, rest.as_slice()) {
        ("begin" | "end", _) => Ok(BTreeSet::new()),
        ("interval" | "profile", [duration]) if duration.starts_with(|c: char| c.is_ascii_digit()) => {
            of_type(place, ty.name, "us")
        }
        // The count is no part of the probe.
        ("software" | "hardware" | "interval" | "profile", [event, ..]) => {
            of_type(place, ty.name, event.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        (name, rest) => of_type(place, name, &rest.join(":")),
    }
}

/// The probes of one type whose names match.
fn of_type(place: &Place, ty: &'static str, pattern: &str) -> Result<BTreeSet<Listed>, String> {
    let info = place.info;
    let failed = |error: Unavailable| error.to_string();
    match ty {
        "interval" | "profile" => Ok(flat(ty, ["hz:", "ms:", "s:", "us:"].into_iter(), pattern)),
        "software" | "hardware" => {
            let names: Vec<String> = probes::timer::event_names(ty).map(|name| format!("{name}:")).collect();
            Ok(flat(ty, names.iter().map(String::as_str), pattern))
        }
        "self" => Ok(flat(ty, ["signal:SIGUSR1"].into_iter(), pattern)),
        "iter" => {
            let all = info.iterators().map_err(failed)?;
            Ok(flat(ty, all.iter().map(String::as_str), pattern.split(':').next().unwrap_or_default()))
        }
        "tracepoint" => {
            let all = info.tracepoints().map_err(failed)?;
            Ok(targeted(ty, all.iter().map(|(category, name)| (category.as_str(), name.as_str())), pattern))
        }
        "rawtracepoint" => {
            let all = info.raw_tracepoints().map_err(failed)?;
            Ok(targeted(ty, all.iter().map(|name| (KERNEL, name.as_str())), pattern))
        }
        "fentry" | "fexit" if pattern.starts_with(BPF) => bpf_functions(info, ty, pattern).map_err(failed),
        "kprobe" | "kretprobe" | "fentry" | "fexit" => kernel_functions(info, ty, pattern).map_err(failed),
        "uprobe" | "uretprobe" => user_functions(place, ty, pattern).map_err(failed),
        "usdt" => static_probes(place, pattern).map_err(failed),
        _ => Ok(BTreeSet::new()),
    }
}

/// Probes without a target. `cpu` finds `cpu:` too.
fn flat<'a>(ty: &'static str, names: impl Iterator<Item = &'a str>, pattern: &str) -> BTreeSet<Listed> {
    let fits = |name: &&str| glob::matches(pattern, name) || glob::matches(pattern, name.trim_end_matches(':'));
    names.filter(fits).map(|name| Listed { ty, target: None, name: name.to_string() }).collect()
}

/// Probes with a target: `target:name`, or a name in any target. What finds no name may be a target.
fn targeted<'a>(
    ty: &'static str,
    names: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    pattern: &str,
) -> BTreeSet<Listed> {
    let (target, name) = pattern.split_once(':').unwrap_or(("*", pattern));
    let listed = |target: &str, name: &str| Listed { ty, target: Some(target.to_string()), name: name.to_string() };
    let pick = |target: &str, name: &str| {
        let fits = names.clone().filter(|(t, n)| glob::matches(name, n) && glob::matches(target, t));
        fits.map(|(target, name)| listed(target, name)).collect::<BTreeSet<_>>()
    };
    let found = pick(target, name);
    if found.is_empty() && !pattern.contains(':') { pick(pattern, "*") } else { found }
}

/// Functions of the kernel. Kprobes are named with their module only if the pattern has one.
fn kernel_functions(info: &dyn KernelInfo, ty: &'static str, pattern: &str) -> Result<BTreeSet<Listed>, Unavailable> {
    let all = info.kernel_functions()?;
    let is_typed = ty.starts_with('f');
    let (module, function) = match pattern.split_once(':') {
        Some((module, function)) => (Some(module), function),
        None => (None, pattern),
    };
    let function = function.split('+').next().unwrap_or_default();
    let fits = all.iter().filter(|(known, name)| {
        module.is_none_or(|module| glob::matches(module, known))
            && glob::matches(function, name)
            && !name.contains(SPLIT_OFF)
            && (!is_typed || info.describes_function(known, name))
    });
    let with_module = is_typed || module.is_some();
    let listed =
        fits.map(|(module, name)| Listed { ty, target: with_module.then(|| module.clone()), name: name.clone() });
    Ok(listed.collect())
}

/// Functions of BPF programs that are loaded: `bpf:name` or `bpf:id:name`.
fn bpf_functions(info: &dyn KernelInfo, ty: &'static str, pattern: &str) -> Result<BTreeSet<Listed>, Unavailable> {
    let pattern = pattern.strip_prefix(BPF).unwrap_or(pattern);
    let (id, name) = pattern.split_once(':').unwrap_or(("*", pattern));
    let all = info.bpf_functions()?;
    let fits = all.iter().map(|function| (function.program.to_string(), &function.name));
    let fits = fits.filter(|(known, function)| glob::matches(id, known) && glob::matches(name, function));
    Ok(fits.map(|(id, name)| Listed { ty, target: Some(format!("{BPF}{id}")), name: name.clone() }).collect())
}

/// Functions of binaries; without a binary or a process there are none.
fn user_functions(place: &Place, ty: &'static str, pattern: &str) -> Result<BTreeSet<Listed>, Unavailable> {
    let (binary, function) = pattern.rsplit_once(':').unwrap_or(("*", pattern));
    let function = function.split('+').next().unwrap_or_default();
    let mut found = BTreeSet::new();
    for path in binaries(place, binary)? {
        // A process also maps what is no program.
        let Ok(known) = place.info.user_binary(&path) else { continue };
        let functions =
            known.symbols.iter().filter(|symbol| symbol.is_function && glob::matches(function, &symbol.name));
        let target = path.display().to_string();
        found.extend(functions.map(|symbol| Listed { ty, target: Some(target.clone()), name: symbol.name.clone() }));
    }
    Ok(found)
}

/// Static probes of binaries, by `binary:provider:name` or `binary:name`.
fn static_probes(place: &Place, pattern: &str) -> Result<BTreeSet<Listed>, Unavailable> {
    let parts: Vec<&str> = pattern.split(':').collect();
    let (binary, provider, name) = match parts.as_slice() {
        [binary, provider, name] => (*binary, *provider, *name),
        [binary, name] => (*binary, "*", *name),
        _ => ("*", "*", pattern),
    };
    let mut found = BTreeSet::new();
    for path in binaries(place, binary)? {
        // Most binaries have none, and not all can be read.
        let Ok(known) = place.info.usdt_probes(&path) else { continue };
        let fits =
            known.iter().filter(|probe| glob::matches(provider, &probe.provider) && glob::matches(name, &probe.name));
        let target = |probe: &UsdtProbe| Some(format!("{}:{}", path.display(), probe.provider));
        found.extend(fits.map(|probe| Listed { ty: "usdt", target: target(probe), name: probe.name.clone() }));
    }
    Ok(found)
}

/// The binaries that a pattern stands for: of `*`, all that the process has mapped, and none without one.
fn binaries(place: &Place, binary: &str) -> Result<Vec<PathBuf>, Unavailable> {
    match (binary, place.pid) {
        ("*" | "", None) => Ok(Vec::new()),
        ("*" | "", pid) => Ok(place.info.mapped_binaries(pid)),
        _ => place.info.resolve_binary(binary, place.pid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACEPOINTS: [(&str, &str); 3] = [("sched", "sched_switch"), ("sched", "sched_wakeup"), ("irq", "switch")];

    fn names(pattern: &str) -> Vec<String> {
        targeted("tracepoint", TRACEPOINTS.into_iter(), pattern).iter().map(Listed::to_string).collect()
    }

    #[test]
    fn a_pattern_without_a_target_is_a_name_or_a_target() {
        assert_eq!(names("*switch"), ["tracepoint:irq:switch", "tracepoint:sched:sched_switch"]);
        assert_eq!(names("sched:*switch"), ["tracepoint:sched:sched_switch"]);
        assert_eq!(names("irq"), ["tracepoint:irq:switch"]);
        assert_eq!(names("nothing"), [""; 0]);
    }

    #[test]
    fn events_are_found_with_and_without_their_colon() {
        let found = |pattern| flat("software", ["cpu:", "faults:"].into_iter(), pattern).len();
        assert_eq!((found("cpu"), found("cpu:"), found("*"), found("*:")), (1, 1, 2, 2));
    }
}
