//! `hardware`: the processor's counters, every so many events.

use std::io;

use probebook_compiler::plan::HardwareEvent;

use super::{Attachment, Reason, Surroundings, Target, perf};
use crate::loader::perf::{Event, Rate, TYPE_HARDWARE};

pub fn attach(
    target: Target<'_>,
    event: HardwareEvent,
    period: u64,
    around: &Surroundings<'_>,
) -> Result<Vec<Attachment>, Reason> {
    let period = if period == 0 { event.default_period } else { period };
    let event = Event::Sampled { kind: TYPE_HARDWARE, config: event.config, rate: Rate::Period(period.max(1)) };
    perf::hang_everywhere(&event, target, around).map_err(|reason| match reason {
        Reason::System { source, .. } if is_absent(&source) => {
            Reason::NoKernelSupport { feature: "such hardware counter (in virtual machines they are often hidden)" }
        }
        other => other,
    })
}

/// How `perf_event_open` says that there is no counter of the kind.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV))
}
