//! Probes that are taken for granted: a script is checked for a kernel or programs that are not here.

use crate::plan::{Attach, ProgramKind};
use crate::types::AddressSpace;

use super::{Arguments, Expanded, ProbeContext, ProbeType, Request};

/// Diagnostics that say a probe is not here; anything else is wrong on every system.
const ABSENT: [&str; 4] = ["unknown-probe", super::UNKNOWN_FUNCTION, "unknown-binary", "system-information"];

/// Whether an attach point was refused only because of what this system has.
pub fn is_absent(id: &str) -> bool {
    ABSENT.contains(&id)
}

/// The one probe that an attach point would be. It cannot be attached.
pub fn expand(request: &Request, ty: &'static ProbeType) -> Vec<Expanded> {
    let symbol = request.parts.last().cloned().unwrap_or_default();
    let mut context = ProbeContext::new(ProgramKind::Probe, ty.name, request.point.text.clone());
    context.arguments = Arguments::Assumed;
    if ty.name.starts_with('u') {
        context.address_space = AddressSpace::User;
    }
    let attach = Attach::Kprobe { module: None, symbol, offset: 0, returns: false };
    vec![Expanded { attach, context, span: request.point.span }]
}
