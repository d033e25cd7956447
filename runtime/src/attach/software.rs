//! `software`: the kernel's own events, such as page faults, every so many of them.

use probebook_compiler::plan::SoftwareEvent;

use super::{Attachment, Reason, Surroundings, Target, perf};
use crate::loader::perf::{Event, Rate, TYPE_SOFTWARE};

pub fn attach(
    target: Target<'_>,
    event: SoftwareEvent,
    period: u64,
    around: &Surroundings<'_>,
) -> Result<Vec<Attachment>, Reason> {
    let period = if period == 0 { event.default_period } else { period };
    let event = Event::Sampled { kind: TYPE_SOFTWARE, config: event.config, rate: Rate::Period(period.max(1)) };
    perf::hang_everywhere(&event, target, around)
}
