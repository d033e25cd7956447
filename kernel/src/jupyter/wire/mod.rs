//! Jupyter messages on the wire: signed frames in, signed frames out.
//!
//! <https://jupyter-client.readthedocs.io/en/stable/messaging.html#the-wire-protocol>

mod header;
mod message;
mod signature;

pub use header::{Parent, Session, timestamp};
pub use message::{Reply, Request, broadcast_frames};
pub use signature::Signer;

/// The messaging protocol that the kernel speaks.
pub const PROTOCOL_VERSION: &str = "5.5";
