//! Probes of the runtime itself: `begin`, `end`; and `test` and `bench`, which are not there yet.

use crate::diagnostics::Diagnostic;
use crate::plan::{Attach, ProgramKind};

use super::{Expanded, ProbeContext, ProbeType, Request};

pub const BEGIN: ProbeType = ProbeType {
    name: "begin",
    aliases: &["BEGIN"],
    variants: &["begin"],
    documentation: "Fires once, before any other probe is attached.",
    expand: Some(|request| once(request, &BEGIN, Attach::Begin)),
};

pub const END: ProbeType = ProbeType {
    name: "end",
    aliases: &["END"],
    variants: &["end"],
    documentation: "Fires once, after all other probes are detached.",
    expand: Some(|request| once(request, &END, Attach::End)),
};

pub const TEST: ProbeType = ProbeType {
    name: "test",
    aliases: &[],
    variants: &["test:name"],
    documentation: "A test, run only in test mode.",
    expand: None,
};

pub const BENCH: ProbeType = ProbeType {
    name: "bench",
    aliases: &[],
    variants: &["bench:name"],
    documentation: "A micro benchmark, run only in bench mode.",
    expand: None,
};

fn once(request: &Request, ty: &'static ProbeType, attach: Attach) -> Result<Vec<Expanded>, Box<Diagnostic>> {
    if !request.parts.is_empty() {
        return Err(request.wrong_form(ty));
    }
    let context = ProbeContext::new(ProgramKind::Run, ty.name, ty.name.to_string());
    Ok(vec![Expanded { attach, context, span: request.point.span }])
}
