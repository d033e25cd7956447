//! `interval`: a clock that fires on one CPU, for the first time after one period.

use super::{Attachment, Reason, Surroundings, Target, perf};
use crate::loader::perf::{Event, Rate, SOFTWARE_CPU_CLOCK, TYPE_SOFTWARE, Target as Place};

pub fn attach(target: Target<'_>, period_ns: u64, around: &Surroundings<'_>) -> Result<Vec<Attachment>, Reason> {
    let event =
        Event::Sampled { kind: TYPE_SOFTWARE, config: SOFTWARE_CPU_CLOCK, rate: Rate::Period(period_ns.max(1)) };
    let cpu = around.system.online_cpus().first().copied().unwrap_or(0);
    Ok(vec![perf::hang(&event, Place::Cpu(cpu), target)?])
}
