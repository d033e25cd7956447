//! `fentry` and `fexit`: kernel functions and BPF programs, by trampoline, with typed arguments.

use crate::diagnostics::Diagnostic;
use crate::kernel_info::Prototype;
use crate::plan::{Attach, FentryTarget, ProgramKind};
use crate::types::Type;

use super::{Arguments, Expanded, ProbeContext, ProbeType, Request, glob, kprobe};

pub const FENTRY: ProbeType = ProbeType {
    name: "fentry",
    aliases: &["f", "kfunc"],
    variants: &["fentry[:module]:function", "fentry:bpf[:program_id]:program_name"],
    documentation: "Fires when a kernel function or a BPF program is entered; the function's arguments are in `args`, with their types.",
    expand: |request| expand(request, &FENTRY, false),
};

pub const FEXIT: ProbeType = ProbeType {
    name: "fexit",
    aliases: &["fr", "kretfunc"],
    variants: &["fexit[:module]:function", "fexit:bpf[:program_id]:program_name"],
    documentation: "Fires when a kernel function or a BPF program returns; its arguments are in `args`, what it returned in `retval`, with their types.",
    expand: |request| expand(request, &FEXIT, true),
};

type Outcome = Result<Vec<Expanded>, Box<Diagnostic>>;

fn expand(request: &Request, ty: &'static ProbeType, exit: bool) -> Outcome {
    match request.parts.as_slice() {
        [bpf] if bpf == "bpf" => {
            let message = "the 'bpf' variant of this probe requires a bpf program name and optional bpf program id";
            Err(request.error("invalid-probe", message))
        }
        [bpf, name] if bpf == "bpf" => bpf_programs(request, ty, None, name, exit),
        [bpf, id, name] if bpf == "bpf" && id == "*" => bpf_programs(request, ty, None, name, exit),
        [bpf, id, name] if bpf == "bpf" => match id.parse() {
            Ok(id) => bpf_programs(request, ty, Some(id), name, exit),
            Err(_) => Err(request.error("invalid-probe", "bpf program id must be a number or '*'")),
        },
        [function] => kernel_functions(request, ty, "*", function, exit),
        [module, function] => kernel_functions(request, ty, module, function, exit),
        _ => Err(request.wrong_form(ty)),
    }
}

fn kernel_functions(request: &Request, ty: &'static ProbeType, module: &str, function: &str, exit: bool) -> Outcome {
    let all = request.info.kernel_functions().map_err(|error| request.unavailable(error))?;
    let matching: Vec<&(String, String)> = match glob::is_pattern(function) {
        true => all.iter().filter(|(_, name)| glob::matches(function, name)).collect(),
        false => {
            // The list is sorted by function.
            let start = all.partition_point(|(_, name)| name.as_str() < function);
            all.iter().skip(start).take_while(|(_, name)| name == function).collect()
        }
    };
    let matching = matching.into_iter().filter(|(known, _)| glob::matches(module, known));
    let described: Vec<(&(String, String), Prototype)> =
        matching.filter_map(|place| Some((place, request.info.function_prototype(&place.0, &place.1)?))).collect();
    if described.is_empty() && !glob::is_pattern(function) {
        let module = (module != "*").then_some(module);
        return Err(kprobe::absent(request, ty, module, function, &all));
    }
    request.check_limit(described.len())?;
    let make = |(place, prototype): (&(String, String), Prototype)| {
        let (module, function) = place;
        let mut context = context(ty, format!("{}:{module}:{function}", ty.name), exit);
        let (arguments, end) = super::words(&context.name, prototype.parameters);
        context.arguments = Arguments::Words(arguments);
        context.result = (exit && prototype.result != Type::Void).then_some((end, prototype.result));
        let target = FentryTarget::Module(module.clone());
        let attach = Attach::Fentry { target, function: function.clone(), exit };
        Expanded { attach, context, span: request.point.span }
    };
    Ok(described.into_iter().map(make).collect())
}

/// Functions of BPF programs are known by name only: what they take and return is not told.
fn bpf_programs(request: &Request, ty: &'static ProbeType, id: Option<u32>, name: &str, exit: bool) -> Outcome {
    let all = request.info.bpf_functions().map_err(|error| request.unavailable(error))?;
    let wanted = all.iter().filter(|function| id.is_none_or(|id| function.program == id));
    let matching: Vec<_> = wanted.filter(|function| glob::matches(name, &function.name)).collect();
    if matching.is_empty() && !glob::is_pattern(name) {
        return Err(no_matches(request, ty, name, all.iter().map(|function| function.name.as_str())));
    }
    request.check_limit(matching.len())?;
    let make = |function: &crate::kernel_info::BpfFunction| {
        let full = format!("{}:bpf:{}:{}", ty.name, function.program, function.name);
        let target = FentryTarget::Program(function.program);
        let attach = Attach::Fentry { target, function: function.name.clone(), exit };
        Expanded { attach, context: context(ty, full, exit), span: request.point.span }
    };
    Ok(matching.into_iter().map(make).collect())
}

fn context(ty: &'static ProbeType, name: String, exit: bool) -> ProbeContext {
    let kind = if exit { ProgramKind::Fexit } else { ProgramKind::Fentry };
    // The kernel wants to know the function when the program is loaded.
    ProbeContext { is_alone: true, ..ProbeContext::new(kind, ty.name, name) }
}

fn no_matches<'a>(
    request: &Request,
    ty: &ProbeType,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Box<Diagnostic> {
    let diagnostic = request.error("unknown-probe", format!("No matches for {} {name}.", ty.name));
    match crate::semantics::nearest::nearest(name, known) {
        Some(near) => Box::new(diagnostic.hint(format!("did you mean {near}?"))),
        None => diagnostic,
    }
}
