//! The server half of ZMTP 3.1, as much of it as a Jupyter kernel binds: ROUTER, PUB and an echo.
//!
//! The `zeromq` crate speaks this protocol too and is the peer in our tests, but it cannot hold
//! what a kernel has to promise: it reserves memory for whatever length a frame announces, before
//! anybody is authenticated (nine bytes from any local process end the kernel); its PUB socket
//! drops or its XPUB socket stalls when one client stops reading; and it neither shows how much is
//! still unsent nor lingers at the end. Here frames are bounded, each connection has an outbox
//! that counts its bytes, and an outbox can be waited for.
//!
//! Specification: <https://rfc.zeromq.org/spec/37/> (ZMTP 3.1), NULL mechanism only.

mod command;
mod echo;
mod frame;
mod handshake;
mod listener;
mod outbox;
mod publisher;
mod router;

pub use echo::serve_echo;
pub use frame::{Limits, encode_message};
pub use listener::{Address, Listener};
pub use outbox::Outbox;
pub use publisher::{Publisher, Subscriber};
pub use router::{Peer, Router};

/// Connections that one socket holds; more are turned away.
const CONNECTIONS_LIMIT: usize = 64;

/// Bytes of answers that may wait for a peer that need not know the key to get them.
const UNREAD_LIMIT: usize = 64 << 10;

/// Why a connection was given up. Always an affair of that one connection.
#[derive(Debug, thiserror::Error)]
pub enum ZmtpError {
    /// The transport failed or the peer went away.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The peer does not speak ZMTP 3 with the NULL mechanism.
    #[error("bad greeting: {0}")]
    Greeting(&'static str),
    /// A frame or command breaks the framing rules.
    #[error("bad frame: {0}")]
    Frame(&'static str),
    /// A frame or message is longer than this side accepts.
    #[error("message exceeds {0} bytes")]
    TooLong(usize),
    /// Unfinished messages take all the memory that they may.
    #[error("too many unfinished messages")]
    Crowded,
    /// The peer asks for answers and does not read them.
    #[error("the peer does not read its answers")]
    Unread,
    /// The peer's socket type does not go with ours.
    #[error("socket type {0:?} cannot connect here")]
    SocketType(String),
    /// The peer did not finish its greeting in time.
    #[error("handshake timed out")]
    HandshakeTimeout,
}
