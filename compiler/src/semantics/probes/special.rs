//! Probes of the runtime itself: `begin` and `end`; `test` and `bench`, which are run in their modes.

use crate::diagnostics::Diagnostic;
use crate::plan::{Attach, ProgramKind};

use super::{Expanded, ProbeContext, ProbeType, Request};

pub const BEGIN: ProbeType = ProbeType {
    name: "begin",
    aliases: &["BEGIN"],
    variants: &["begin"],
    documentation: "Fires once, before any other probe is attached.",
    expand: |request| once(request, &BEGIN, Attach::Begin),
};

pub const END: ProbeType = ProbeType {
    name: "end",
    aliases: &["END"],
    variants: &["end"],
    documentation: "Fires once, after all other probes are detached.",
    expand: |request| once(request, &END, Attach::End),
};

pub const TEST: ProbeType = ProbeType {
    name: "test",
    aliases: &[],
    variants: &["test:name"],
    documentation: "A test, run only with `--mode test`: it passes if it returns 0 and says no error.",
    expand: |request| trial(request, &TEST, |name| Attach::Test { name }),
};

pub const BENCH: ProbeType = ProbeType {
    name: "bench",
    aliases: &[],
    variants: &["bench:name"],
    documentation: "A micro benchmark, run only with `--mode bench`: how long the action takes.",
    expand: |request| trial(request, &BENCH, |name| Attach::Bench { name }),
};

fn once(request: &Request, ty: &'static ProbeType, attach: Attach) -> Result<Vec<Expanded>, Box<Diagnostic>> {
    if !request.parts.is_empty() {
        return Err(request.wrong_form(ty));
    }
    let context = ProbeContext::new(ProgramKind::Run, ty.name, ty.name.to_string());
    Ok(vec![Expanded { attach, context, span: request.point.span }])
}

fn trial(
    request: &Request,
    ty: &'static ProbeType,
    attach: fn(String) -> Attach,
) -> Result<Vec<Expanded>, Box<Diagnostic>> {
    let [name] = request.parts.as_slice() else { return Err(request.wrong_form(ty)) };
    if name.is_empty() {
        return Err(request.wrong_form(ty));
    }
    let context = ProbeContext::new(ProgramKind::Measured, ty.name, format!("{}:{name}", ty.name));
    Ok(vec![Expanded { attach: attach(name.clone()), context, span: request.point.span }])
}
