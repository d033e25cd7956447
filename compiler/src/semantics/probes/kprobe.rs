//! `kprobe` and `kretprobe`: functions of the kernel and its modules, and places inside of them.

use std::collections::HashSet;

use crate::diagnostics::Diagnostic;
use crate::kernel_info::{KERNEL, KernelInfo};
use crate::plan::{Attach, ProgramKind};
use crate::types::AddressSpace;

use super::{Arguments, Expanded, ProbeContext, ProbeType, Request, UNKNOWN_FUNCTION, glob};

pub const KPROBE: ProbeType = ProbeType {
    name: "kprobe",
    aliases: &["k"],
    variants: &["kprobe[:module]:function", "kprobe[:module]:function+offset", "kprobe:address"],
    documentation: "Fires when a kernel function is entered; its arguments are in `arg0` …. An address needs `--unsafe`.",
    expand: |request| expand(request, &KPROBE, false),
};

pub const KRETPROBE: ProbeType = ProbeType {
    name: "kretprobe",
    aliases: &["kr"],
    variants: &["kretprobe[:module]:function", "kretprobe:address"],
    documentation: "Fires when a kernel function returns; `retval` is what it returned.",
    expand: |request| expand(request, &KRETPROBE, true),
};

/// Functions that wildcards leave out, because probes on them are known to hang the kernel (those that its
/// own test of many probes leaves out: `tools/testing/selftests/bpf/prog_tests/kprobe_multi_test.c`).
const LEFT_OUT: [&str; 3] = ["arch_cpu_idle", "default_idle", "bpf_dispatcher_xdp_func"];
const LEFT_OUT_PREFIXES: [&str; 2] = ["__ftrace_invalid_address__", "rcu_"];

type Outcome = Result<Vec<Expanded>, Box<Diagnostic>>;

/// What an attach point names.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    Address(u64),
    Function { module: Option<&'a str>, name: &'a str, offset: u64 },
}

/// Takes the parts behind the provider apart; `None` if they have another form.
fn place(parts: &[String]) -> Option<Place<'_>> {
    let (module, function) = match parts {
        [function] => (None, function),
        [module, function] => (Some(module.as_str()), function),
        _ => return None,
    };
    if let (None, Some(address)) = (module, number(function)) {
        return Some(Place::Address(address));
    }
    let (name, offset) = match function.rsplit_once('+') {
        Some((name, offset)) => (name, number(offset)?),
        None => (function.as_str(), 0),
    };
    Some(Place::Function { module, name, offset })
}

/// A decimal or, with `0x`, hexadecimal number.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn expand(request: &Request, ty: &'static ProbeType, returns: bool) -> Outcome {
    match place(&request.parts).ok_or_else(|| request.wrong_form(ty))? {
        Place::Address(address) => at_address(request, ty, address, returns),
        Place::Function { offset, .. } if offset > 0 && returns => {
            Err(request.error("invalid-probe", "a kretprobe fires when its function returns; it has no offset"))
        }
        Place::Function { module, name, offset: 0 } if glob::is_pattern(name) => {
            matching(request, ty, module, name, returns)
        }
        Place::Function { name, .. } if glob::is_pattern(name) => {
            Err(request.error("invalid-probe", "an offset needs the name of one function, without wildcards"))
        }
        Place::Function { module, name, offset } => named(request, ty, module, name, offset, returns),
    }
}

fn at_address(request: &Request, ty: &'static ProbeType, address: u64, returns: bool) -> Outcome {
    if !request.environment.allow_unsafe {
        let hint = "a breakpoint inside of an instruction crashes the kernel: name the function and an offset instead";
        return Err(Box::new(request.error("unsafe-probe", "Probing by address requires --unsafe").hint(hint)));
    }
    let attach = Attach::Kprobe { module: None, symbol: String::new(), offset: address, returns };
    Ok(vec![expanded(request, ty, format!("{}:{address}", ty.name), attach)])
}

/// All traceable functions that a wildcard matches.
fn matching(request: &Request, ty: &'static ProbeType, module: Option<&str>, pattern: &str, returns: bool) -> Outcome {
    let all = request.info.kernel_functions().map_err(|error| request.unavailable(error))?;
    let in_module = |known: &str| module.is_none_or(|module| glob::matches(module, known));
    let mut seen = HashSet::new();
    let found: Vec<(&str, &str)> = all
        .iter()
        .map(|(module, function)| (module.as_str(), function.as_str()))
        .filter(|(known, function)| glob::matches(pattern, function) && in_module(known) && !is_left_out(function))
        // Without a module, functions of one name are one probe.
        .filter(|(known, function)| seen.insert((module.map(|_| *known), *function)))
        .collect();
    request.check_limit(found.len())?;
    let probes =
        found.into_iter().map(|(known, symbol)| at_function(request, ty, module.map(|_| known), symbol, 0, returns));
    Ok(probes.collect())
}

fn is_left_out(function: &str) -> bool {
    LEFT_OUT.contains(&function) || LEFT_OUT_PREFIXES.iter().any(|prefix| function.starts_with(prefix))
}

/// One function by its name.
fn named(
    request: &Request,
    ty: &'static ProbeType,
    module: Option<&str>,
    name: &str,
    offset: u64,
    returns: bool,
) -> Outcome {
    let probe = |module| Ok(vec![at_function(request, ty, module, name, offset, returns)]);
    if module.is_none_or(|module| module == KERNEL) && is_described(request.info, name) {
        return probe(module);
    }
    let all = request.info.kernel_functions().map_err(|error| request.unavailable(error))?;
    let in_module = |known: &str| module.is_none_or(|module| glob::matches(module, known));
    let start = all.partition_point(|(_, function)| function.as_str() < name);
    let same = all.get(start..).unwrap_or_default().iter().take_while(|(_, function)| function == name);
    let found = same.map(|(known, _)| known.as_str()).find(|known| in_module(known));
    // Of several names of one place the list of traceable functions has only one, and those that
    // ftrace leaves out can still have a breakpoint. The kernel has the last word.
    let hidden =
        || (module.is_none_or(|module| module == KERNEL) && may_be_hidden(request.info, name)).then_some(KERNEL);
    match found.or_else(hidden) {
        Some(known) => probe(module.map(|_| known)),
        // The kernel may know better, and may be asked; there is a warning.
        None if request.environment.allow_unsafe && is_loaded(module, &all) => probe(module),
        None => Err(absent(request, ty, module, name, &all)),
    }
}

/// Whether the kernel describes a function of its own, which is quicker to find out than what ftrace lists: that
/// costs the kernel more than all else before the start. Attaching tells if it cannot be traced after all.
fn is_described(info: &dyn KernelInfo, name: &str) -> bool {
    !info.kernel_functions_are_given() && info.describes_function(KERNEL, name)
}

/// Whether kernel functions are known, and this is none of them.
pub(in crate::semantics) fn is_unknown(info: &dyn KernelInfo, attach: &Attach) -> bool {
    let Attach::Kprobe { symbol, .. } = attach else { return false };
    if is_described(info, symbol) {
        return false;
    }
    let Ok(all) = info.kernel_functions() else { return false };
    let known = || all.binary_search_by(|(_, function)| function.as_str().cmp(symbol)).is_ok();
    !symbol.is_empty() && !known() && !may_be_hidden(info, symbol)
}

/// Whether the kernel has a symbol of that name, which its list of functions may lack.
fn may_be_hidden(info: &dyn KernelInfo, name: &str) -> bool {
    !info.kernel_functions_are_given() && info.kernel_symbol(name).is_some()
}

fn is_loaded(module: Option<&str>, all: &[(String, String)]) -> bool {
    module.is_none_or(|module| module == KERNEL || all.iter().any(|(known, _)| glob::matches(module, known)))
}

/// Why there is no function of that name, as far as it can be known, and what was probably meant.
pub(super) fn absent(
    request: &Request,
    ty: &ProbeType,
    module: Option<&str>,
    name: &str,
    all: &[(String, String)],
) -> Box<Diagnostic> {
    if let Some(module) = module.filter(|_| !is_loaded(module, all)) {
        let message = format!("specified module {module} in probe {} is not loaded.", request.point.text);
        return Box::new(request.error("unknown-probe", message).hint(format!("modprobe {module}")));
    }
    let shown = module.map_or(name.to_owned(), |module| format!("{module}:{name}"));
    let id = if ty.name.starts_with('k') { UNKNOWN_FUNCTION } else { "unknown-probe" };
    let diagnostic = request.error(id, format!("No matches for {} {shown}.", ty.name));
    // The compiler of the kernel names what it has made of a function `name.isra.0`, `name.constprop.0`.
    let start = all.partition_point(|(_, function)| function.as_str() < name);
    let after = |function: &str| function.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    let changed = all.get(start..).unwrap_or_default().iter().take(8).find(|(_, function)| after(function));
    if let Some((_, changed)) = changed {
        let hint = format!("the kernel's compiler has made {changed} of it; its arguments may be others");
        return Box::new(diagnostic.hint(hint));
    }
    let elsewhere = all.get(start).filter(|(_, function)| function == name);
    if let Some((known, _)) = elsewhere {
        return Box::new(match module {
            Some(module) if !glob::matches(module, known) => {
                diagnostic.hint(format!("it is in {known}: {}:{known}:{name}", ty.name))
            }
            // Only probes that want a description get here.
            _ => diagnostic.hint(format!("{known} has it, but does not describe it (BTF); kprobe:{name} may do")),
        });
    }
    let why = "it does not exist in this kernel, or was inlined into its callers";
    let hint = match crate::semantics::nearest::nearest(name, all.iter().map(|(_, known)| known.as_str())) {
        Some(near) => format!("did you mean {near}? ({why})"),
        None => format!("{why}; missing_probes = \"warn\" goes on without it"),
    };
    Box::new(diagnostic.hint(hint))
}

fn at_function(
    request: &Request,
    ty: &'static ProbeType,
    module: Option<&str>,
    symbol: &str,
    offset: u64,
    returns: bool,
) -> Expanded {
    let suffix = if offset > 0 { format!("+{offset}") } else { String::new() };
    let name = match module {
        Some(module) => format!("{}:{module}:{symbol}{suffix}", ty.name),
        None => format!("{}:{symbol}{suffix}", ty.name),
    };
    let module = module.filter(|module| *module != KERNEL).map(str::to_owned);
    expanded(request, ty, name, Attach::Kprobe { module, symbol: symbol.to_owned(), offset, returns })
}

fn expanded(request: &Request, ty: &'static ProbeType, name: String, attach: Attach) -> Expanded {
    let mut context = ProbeContext::new(ProgramKind::Probe, ty.name, name);
    context.address_space = AddressSpace::Kernel;
    context.arguments = Arguments::Registers;
    Expanded { attach, context, span: request.point.span }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<String> {
        text.split(':').map(str::to_owned).collect()
    }

    #[test]
    fn attach_points_name_a_function_or_an_address() {
        let function = |module, name, offset| Some(Place::Function { module, name, offset });
        assert_eq!(place(&parts("vfs_read")), function(None, "vfs_read", 0));
        assert_eq!(place(&parts("vfs_read+0x10")), function(None, "vfs_read", 16));
        assert_eq!(place(&parts("ext4:ext4_*")), function(Some("ext4"), "ext4_*", 0));
        assert_eq!(place(&parts("0xffff800000000000")), Some(Place::Address(0xffff_8000_0000_0000)));
        assert_eq!(place(&parts("vfs_read+x")), None);
        assert_eq!(place(&parts("a:b:c")), None);
    }

    #[test]
    fn wildcards_leave_out_what_hangs_the_kernel() {
        assert!(is_left_out("rcu_note_context_switch"));
        assert!(is_left_out("__ftrace_invalid_address___16"));
        assert!(!is_left_out("vfs_read"));
    }
}
