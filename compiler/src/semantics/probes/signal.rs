//! `self:signal:SIGUSR1`: the tracing process has received a signal.

use crate::diagnostics::Diagnostic;
use crate::plan::{Attach, ProgramKind};

use super::{Expanded, ProbeContext, ProbeType, Request};

pub const SELF: ProbeType = ProbeType {
    name: "self",
    aliases: &[],
    variants: &["self:signal:SIGUSR1"],
    documentation: "Fires when the tracing process receives SIGUSR1.",
    expand,
};

/// The signals that mean nothing else to the tracing process.
pub const SIGNALS: &[&str] = &["SIGUSR1"];

fn expand(request: &Request) -> Result<Vec<Expanded>, Box<Diagnostic>> {
    let [kind, name] = request.parts.as_slice() else { return Err(request.wrong_form(&SELF)) };
    if kind != "signal" {
        return Err(request.wrong_form(&SELF));
    }
    if !SIGNALS.contains(&name.as_str()) {
        let diagnostic = request.error("invalid-probe", format!("{name} is not supported"));
        return Err(Box::new(diagnostic.hint(format!("the signal must be {}", SIGNALS.join(" or ")))));
    }
    let context = ProbeContext::new(ProgramKind::Run, SELF.name, format!("self:signal:{name}"));
    Ok(vec![Expanded { attach: Attach::Signal { name: name.clone() }, context, span: request.point.span }])
}
