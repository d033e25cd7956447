//! `profile`: a clock that fires on every CPU.

use probebook_compiler::plan::ProfileRate;

use super::{Attachment, Reason, Surroundings, Target, perf};
use crate::loader::perf::{Event, Rate, SOFTWARE_CPU_CLOCK, TYPE_SOFTWARE};

const NANOSECONDS: u64 = 1_000_000_000;

pub fn attach(target: Target<'_>, rate: ProfileRate, around: &Surroundings<'_>) -> Result<Vec<Attachment>, Reason> {
    // The clock counts nanoseconds, so a frequency is a period too, and one that
    // `kernel.perf_event_max_sample_rate` does not forbid.
    let period = match rate {
        ProfileRate::Hertz(hertz) => NANOSECONDS / hertz.clamp(1, NANOSECONDS),
        ProfileRate::PeriodNs(period) => period,
    };
    let event = Event::Sampled { kind: TYPE_SOFTWARE, config: SOFTWARE_CPU_CLOCK, rate: Rate::Period(period.max(1)) };
    perf::hang_everywhere(&event, target, around)
}
