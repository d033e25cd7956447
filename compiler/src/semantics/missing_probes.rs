//! What becomes of probes that do not exist: the setting `missing_probes` decides. The texts are bpftrace's.

use crate::diagnostics::{Diagnostic, Severity};
use crate::kernel_info::KernelInfo;
use crate::plan::MissingProbes;
use crate::semantics::probes::{Expanded, UNKNOWN_FUNCTION, kprobe};
use crate::syntax::ast::{AttachPoint, Probe, Span};

/// What is said of an attach point that could not be expanded.
pub fn of_point(point: &AttachPoint, diagnostic: Diagnostic, how: MissingProbes) -> Vec<Diagnostic> {
    if !matches!(diagnostic.id, "unknown-probe" | UNKNOWN_FUNCTION) {
        return vec![diagnostic];
    }
    let untraceable = (diagnostic.id == UNKNOWN_FUNCTION).then(|| untraceable(point));
    let missing = match how {
        MissingProbes::Error => diagnostic,
        MissingProbes::Ignore => return Vec::new(),
        MissingProbes::Warn => {
            let message = format!("{}. Skipping.", diagnostic.message.trim_end_matches('.'));
            Diagnostic { severity: Severity::Warning, message, ..diagnostic }
        }
    };
    untraceable.into_iter().chain([missing]).collect()
}

/// What is said of a function that is unknown, and yet is to be tried.
pub fn doubtful(point: &AttachPoint, probes: &[Expanded], info: &dyn KernelInfo) -> Option<Diagnostic> {
    match probes {
        [probe] if kprobe::is_unknown(info, &probe.attach) => Some(untraceable(point)),
        _ => None,
    }
}

fn untraceable(point: &AttachPoint) -> Diagnostic {
    let function = point.parts.last().map_or("", |part| part.text.as_str());
    let why = "either non-existing, inlined, or marked as \"notrace\"";
    let message = format!("{function} is not traceable ({why}); attaching to it will likely fail");
    Diagnostic::warning("untraceable-function", point.span, message)
}

/// What is said of an action that nothing triggers.
pub fn of_action(probe: &Probe, how: MissingProbes) -> Option<Diagnostic> {
    const ID: &str = "no-attach-points";
    let first = probe.attach_points.first()?.span;
    let last = probe.attach_points.last()?.span;
    let span = Span { end: last.end, ..first };
    match how {
        MissingProbes::Error => {
            let diagnostic = Diagnostic::error(ID, span, "Probe has no valid attach points.");
            Some(diagnostic.hint("config = { missing_probes=warn } goes on without it"))
        }
        MissingProbes::Warn => {
            let consequence = "It is being removed which may cause issues with program behavior.";
            Some(Diagnostic::warning(ID, span, format!("Probe has no valid attach points. {consequence}")))
        }
        MissingProbes::Ignore => None,
    }
}
