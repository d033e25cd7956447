//! iopub: everything that is broadcast, in one order, through one bounded queue.
//!
//! Threads push into [`Queue`]; one task, [`deliver`], takes from it, joins stream text into
//! batches and hands messages to the subscribers. Both ends are bounded, so that a flood of output
//! slows its source down; only a client that has stopped reading altogether loses output, and then
//! it is told how much.

mod delivery;
mod item;
mod queue;

pub use delivery::{Delivery, deliver};
pub use item::{Item, Stream};
pub use queue::{Next, Queue};
