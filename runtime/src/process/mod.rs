//! Commands that a script or its user has started: what they print, and that they end.

mod group;
mod output;

pub use group::Leash;
pub use output::{Chunk, Output};
