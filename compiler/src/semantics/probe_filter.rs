//! Which of a script's probes are wanted, by their names (`--probe-filter`).

use std::fmt;
use std::sync::Arc;

use crate::plan::Attach;
use crate::semantics::probes::Expanded;

/// A choice among probes. What begins and ends a script is always wanted.
#[derive(Clone)]
pub struct ProbeFilter(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl ProbeFilter {
    /// `is_wanted` is asked with a probe's full name.
    pub fn new(is_wanted: impl Fn(&str) -> bool + Send + Sync + 'static) -> ProbeFilter {
        ProbeFilter(Arc::new(is_wanted))
    }

    pub(super) fn wants(&self, probe: &Expanded) -> bool {
        matches!(probe.attach, Attach::Begin | Attach::End) || (self.0)(&probe.context.name)
    }
}

impl fmt::Debug for ProbeFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProbeFilter")
    }
}
