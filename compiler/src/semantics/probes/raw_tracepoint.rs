//! `rawtracepoint:event`: tracepoints with the kernel's own arguments, typed by BTF.

use crate::diagnostics::Diagnostic;
use crate::kernel_info::KERNEL;
use crate::plan::{Attach, ProgramKind};

use super::{Arguments, Expanded, ProbeContext, ProbeType, Request, glob};

pub const RAW_TRACEPOINT: ProbeType = ProbeType {
    name: "rawtracepoint",
    aliases: &["rt"],
    variants: &["rawtracepoint[:module]:event"],
    documentation: "Fires at a static tracepoint, with the arguments the kernel passes to it; cheaper than `tracepoint`.",
    expand,
};

fn expand(request: &Request) -> Result<Vec<Expanded>, Box<Diagnostic>> {
    let (module, name) = match request.parts.as_slice() {
        [name] => (None, name),
        [module, name] => (Some(module), name),
        _ => return Err(request.wrong_form(&RAW_TRACEPOINT)),
    };
    let all = request.info.raw_tracepoints().map_err(|error| request.unavailable(error))?;
    let is_known_module = module.is_none_or(|module| glob::matches(module, KERNEL));
    let matching: Vec<&String> = all.iter().filter(|known| is_known_module && glob::matches(name, known)).collect();
    if matching.is_empty() && !glob::is_pattern(name) {
        let shown = module.map_or(name.clone(), |module| format!("{module}:{name}"));
        return Err(request.no_match(&RAW_TRACEPOINT, &shown, name, all.iter().map(String::as_str)));
    }
    request.check_limit(matching.len())?;
    Ok(matching.into_iter().map(|name| describe(request, name)).collect())
}

fn describe(request: &Request, name: &str) -> Expanded {
    let full = format!("rawtracepoint:vmlinux:{name}");
    let mut context = ProbeContext::new(ProgramKind::RawTracepoint, "rawtracepoint", full);
    let parameters = request.info.raw_tracepoint_arguments(name).unwrap_or_default();
    context.arguments = Arguments::Words(super::words(&context.name, parameters).0);
    let attach = Attach::RawTracepoint { name: name.to_string() };
    Expanded { attach, context, span: request.point.span }
}
