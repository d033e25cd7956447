//! Kernel function probes: `kprobe`, `kretprobe`, and those still to come.

use crate::diagnostics::Diagnostic;
use crate::plan::{Attach, ProgramKind};
use crate::types::AddressSpace;

use super::{Arguments, Expanded, ProbeContext, ProbeType, Request, glob};

pub const KPROBE: ProbeType = ProbeType {
    name: "kprobe",
    aliases: &["k"],
    variants: &["kprobe[:module]:function", "kprobe[:module]:function+offset"],
    documentation: "Fires when a kernel function is entered; its arguments are in `arg0` ….",
    expand: Some(|request| kernel(request, &KPROBE, false)),
};

pub const KRETPROBE: ProbeType = ProbeType {
    name: "kretprobe",
    aliases: &["kr"],
    variants: &["kretprobe[:module]:function"],
    documentation: "Fires when a kernel function returns; `retval` is what it returned.",
    expand: Some(|request| kernel(request, &KRETPROBE, true)),
};

type Outcome = Result<Vec<Expanded>, Box<Diagnostic>>;

fn context(kind: ProgramKind, ty: &ProbeType, name: String, space: AddressSpace) -> ProbeContext {
    let mut context = ProbeContext::new(kind, ty.name, name);
    context.address_space = space;
    context.arguments = Arguments::Registers;
    context
}

/// `function`, `function+0x10`: name and offset.
pub(super) fn split_offset(text: &str) -> Option<(&str, u64)> {
    match text.rsplit_once('+') {
        None => Some((text, 0)),
        Some((name, offset)) => Some((name, parse_number(offset)?)),
    }
}

pub(super) fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn kernel(request: &Request, ty: &'static ProbeType, returns: bool) -> Outcome {
    let function = match request.parts.as_slice() {
        [function] => function,
        [_module, function] => function,
        _ => return Err(request.wrong_form(ty)),
    };
    let (name, offset) = split_offset(function).ok_or_else(|| request.wrong_form(ty))?;
    let all = request.info.kernel_functions().map_err(|error| request.unavailable(error))?;
    let mut matching: Vec<&str> =
        all.iter().map(|(_, known)| known.as_str()).filter(|known| glob::matches(name, known)).collect();
    matching.dedup();
    // Of several names of one place the list of traceable functions has only one.
    if matching.is_empty() && !glob::is_pattern(name) && request.info.kernel_symbol(name).is_some() {
        matching.push(name);
    }
    if matching.is_empty() && !glob::is_pattern(name) {
        return Err(request.not_found("kernel function", name, all.iter().map(|(_, known)| known.as_str())));
    }
    request.check_limit(matching.len())?;
    let make = |symbol: &str| {
        let suffix = if offset > 0 { format!("+{offset}") } else { String::new() };
        let full = format!("{}:{symbol}{suffix}", ty.name);
        let attach = Attach::Kprobe { symbol: symbol.to_string(), offset, returns };
        let context = context(ProgramKind::Probe, ty, full, AddressSpace::Kernel);
        Expanded { attach, context, span: request.point.span }
    };
    Ok(matching.into_iter().map(make).collect())
}
