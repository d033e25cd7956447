//! What a probe's arguments are, as C declares them.

use std::path::Path;

use probebook_compiler::kernel_info::{KERNEL, KernelInfo};
use probebook_compiler::user_info::{UserInfo, UserSymbol};
use probebook_runtime::system::{Signature, System};

use super::names::Listed;

/// A line for each argument, and one for what is returned; nothing if that is not known.
pub fn of(system: &System, probe: &Listed) -> Vec<String> {
    let name = probe.name.as_str();
    match probe.ty {
        "tracepoint" => tracepoint(system, probe.target.as_deref().unwrap_or_default(), name),
        "rawtracepoint" => named(system.btf().raw_tracepoint_signature(name)),
        "iter" => named(system.btf().iterator_signature(name)),
        "kprobe" => by_number(of_function(system, probe)),
        "fentry" => named(of_function(system, probe).map(|signature| Signature { returns: None, ..signature })),
        "fexit" => named(of_function(system, probe)),
        "uprobe" => of_user_function(system, probe),
        "kretprobe" => match of_function(system, probe) {
            Some(signature) => vec![signature.returns.map_or("void".to_string(), |ty| format!("{ty} retval"))],
            None => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// A kernel function's, in its module's description.
fn of_function(system: &System, probe: &Listed) -> Option<Signature> {
    system.module_btf(probe.target.as_deref().unwrap_or(KERNEL))?.signature(&probe.name)
}

/// A user function's, from its binary's debug information; nothing if there is none.
fn of_user_function(system: &System, probe: &Listed) -> Vec<String> {
    let path = Path::new(probe.target.as_deref().unwrap_or_default());
    let Ok(binary) = system.user_binary(path) else { return Vec::new() };
    let is_it = |symbol: &&UserSymbol| symbol.is_function && symbol.name == probe.name;
    let Some(function) = binary.symbols.iter().find(is_it) else { return Vec::new() };
    let Ok(prototype) = system.user_prototype(path, function.address) else { return Vec::new() };
    let parameters = prototype.parameters.iter();
    parameters.map(|parameter| format!("{} {}", parameter.c_type, parameter.name).trim_end().to_string()).collect()
}

fn named(signature: Option<Signature>) -> Vec<String> {
    let Some(Signature { parameters, returns }) = signature else { return Vec::new() };
    let result = returns.map(|ty| format!("{ty} retval"));
    parameters.into_iter().map(|(ty, name)| format!("{ty} {name}")).chain(result).collect()
}

/// Scripts have no names for these, only `arg0` ….
fn by_number(signature: Option<Signature>) -> Vec<String> {
    let parameters = signature.unwrap_or_default().parameters;
    parameters.into_iter().enumerate().map(|(index, (ty, _))| format!("{ty} arg{index}")).collect()
}

/// The fields of a tracepoint's own, which follow those that all have.
fn tracepoint(system: &System, category: &str, name: &str) -> Vec<String> {
    let Ok(Some(format)) = system.tracepoint_format(category, name) else { return Vec::new() };
    let own = format.lines().skip_while(|line| !line.is_empty());
    let fields = own.filter_map(|line| line.strip_prefix("\tfield:")?.split(';').next());
    fields.map(str::to_string).collect()
}
