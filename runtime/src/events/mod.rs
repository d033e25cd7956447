//! What programs send: the ring buffer, the actions it asks for, and what did not fit in.

mod action;
mod command;
mod losses;
mod packets;
mod ring;
mod sink;

pub use action::{ActionError, Actions, Context};
pub use losses::LossCounters;
pub use packets::{PacketError, Packets};
pub use ring::{Drained, ERROR_BYTES, Pace, Ring, size as ring_size};
pub use sink::{LossKind, LossReport, MapPrint, RuntimeError, Severity, Sink, TextSource};
