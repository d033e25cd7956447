//! The greeting and the READY commands that open a connection.
//!
//! <https://rfc.zeromq.org/spec/37/#connection-greeting>

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::ZmtpError;
use super::command::{Command, ready};
use super::frame::{Limits, Received, read_message};
use super::listener::{Reader, Writer};

/// A peer that has not introduced itself by then is cut off.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

const GREETING_LENGTH: usize = 64;

/// What a socket is, seen from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketType {
    /// Shell, control, stdin and heartbeat.
    Router,
    /// iopub.
    Publisher,
}

impl SocketType {
    fn name(self) -> &'static str {
        match self {
            Self::Router => "ROUTER",
            Self::Publisher => "XPUB",
        }
    }

    fn accepts(self, peer: &str) -> bool {
        match self {
            Self::Router => matches!(peer, "DEALER" | "REQ" | "ROUTER"),
            Self::Publisher => matches!(peer, "SUB" | "XSUB"),
        }
    }
}

/// Performs the handshake as the side that was connected to. Returns the peer's identity, empty
/// if it set none.
///
/// # Errors
/// If the peer speaks something else, does not fit, or takes longer than ten seconds.
pub async fn handshake(reader: &mut Reader, writer: &mut Writer, socket_type: SocketType) -> Result<Bytes, ZmtpError> {
    match tokio::time::timeout(HANDSHAKE_LIMIT, exchange(reader, writer, socket_type)).await {
        Ok(result) => result,
        Err(_) => Err(ZmtpError::HandshakeTimeout),
    }
}

async fn exchange(reader: &mut Reader, writer: &mut Writer, socket_type: SocketType) -> Result<Bytes, ZmtpError> {
    writer.write_all(&greeting()).await?;
    writer.flush().await?;
    let mut theirs = [0; GREETING_LENGTH];
    // The signature first: who speaks something else may never send 64 bytes.
    let (signature, rest) = theirs.split_at_mut(10);
    reader.read_exact(signature).await?;
    if signature.first() != Some(&0xff) || signature.last().is_none_or(|last| last & 1 == 0) {
        return Err(ZmtpError::Greeting("no ZMTP signature"));
    }
    reader.read_exact(rest).await?;
    check_greeting(&theirs)?;
    writer.write_all(&ready(socket_type.name())).await?;
    writer.flush().await?;
    let Received::Command(body) = read_message(reader, Limits::small()).await? else {
        return Err(ZmtpError::Frame("message before READY"));
    };
    match Command::parse(&body) {
        Some(Command::Ready { socket_type: peer, identity }) if socket_type.accepts(&peer) => Ok(identity),
        Some(Command::Ready { socket_type: peer, .. }) => Err(ZmtpError::SocketType(peer)),
        _ => Err(ZmtpError::Frame("no READY command")),
    }
}

fn greeting() -> [u8; GREETING_LENGTH] {
    let mut greeting = [0; GREETING_LENGTH];
    let fields: [(usize, &[u8]); 4] = [(0, &[0xff]), (9, &[0x7f]), (10, &[3, 1]), (12, b"NULL")];
    for (at, bytes) in fields {
        for (slot, byte) in greeting.iter_mut().skip(at).zip(bytes) {
            *slot = *byte;
        }
    }
    greeting
}

fn check_greeting(greeting: &[u8; GREETING_LENGTH]) -> Result<(), ZmtpError> {
    if greeting[10] < 3 {
        return Err(ZmtpError::Greeting("ZMTP older than 3.0"));
    }
    let mut mechanism = [0; 20];
    for (slot, byte) in mechanism.iter_mut().zip(b"NULL") {
        *slot = *byte;
    }
    if greeting[12..32] != mechanism {
        return Err(ZmtpError::Greeting("a security mechanism other than NULL"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_greeting_passes_our_check() {
        assert!(check_greeting(&greeting()).is_ok());
    }

    #[test]
    fn other_versions_and_mechanisms_are_refused() {
        let mut old = greeting();
        old[10] = 1;
        assert!(check_greeting(&old).is_err());
        let mut curve = greeting();
        curve[12..17].copy_from_slice(b"CURVE");
        assert!(check_greeting(&curve).is_err());
    }

    #[test]
    fn only_fitting_sockets_may_connect() {
        assert!(SocketType::Router.accepts("DEALER"));
        assert!(!SocketType::Router.accepts("SUB"));
        assert!(SocketType::Publisher.accepts("SUB"));
        assert!(!SocketType::Publisher.accepts("DEALER"));
    }
}
