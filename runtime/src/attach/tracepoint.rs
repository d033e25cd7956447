//! `tracepoint`: by its id in tracefs.

use super::{Attachment, Reason, Surroundings, Target, perf};
use crate::loader::perf::{Event, Target as Place};

pub fn attach(
    target: Target<'_>,
    category: &str,
    name: &str,
    around: &Surroundings<'_>,
) -> Result<Vec<Attachment>, Reason> {
    let id = around.system.tracefs().tracepoint_id(category, name)?;
    let id = id.ok_or_else(|| Reason::Missing(format!("there is no tracepoint {category}:{name}")))?;
    // One event is enough: a program runs wherever its tracepoint is passed.
    let cpu = around.system.online_cpus().first().copied().unwrap_or(0);
    Ok(vec![perf::hang(&Event::Tracepoint { id }, Place::Cpu(cpu), target)?])
}
