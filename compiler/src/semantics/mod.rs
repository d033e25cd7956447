//! From syntax tree to typed programs and the plan around them.

mod actions;
pub mod arch;
pub mod c_macros;
pub mod c_sources;
pub mod c_types;
pub mod calling;
pub mod config;
mod direct_tracepoints;
pub mod environment;
#[cfg(test)]
pub mod fake;
pub mod format_string;
pub mod functions;
pub mod imports;
pub mod lower;
pub mod macros;
mod missing_probes;
pub mod named_parameters;
pub mod nearest;
mod plan_builder;
pub mod probe_filter;
pub mod probes;
pub mod replaced;
mod rounds;
mod sessions;
pub mod widen;

pub use plan_builder::PlanBuilder;
pub use rounds::{Analysis, analyse};
