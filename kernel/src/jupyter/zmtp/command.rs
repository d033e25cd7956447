//! Commands: READY, which ends the handshake, PING, and the subscriptions of ZMTP 3.1.
//!
//! <https://rfc.zeromq.org/spec/37/#commands>. A command is a short name and its data.

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::encode_command;

/// A command that a peer may send to a kernel's sockets.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// The peer's socket type and, where it set one, its identity.
    Ready { socket_type: String, identity: Bytes },
    /// A heartbeat of the transport; carries the context to send back.
    Ping(Bytes),
    /// The peer wants messages whose first frame starts with this.
    Subscribe(Bytes),
    /// It does not any more.
    Cancel(Bytes),
    /// Anything else.
    Other,
}

impl Command {
    /// Parses a command frame's body. `None` if it is cut short.
    pub fn parse(body: &Bytes) -> Option<Self> {
        let name_length = usize::from(*body.first()?);
        let name = body.get(1..1 + name_length)?;
        let data = body.slice(1 + name_length..);
        Some(match name {
            b"READY" => parse_ready(&data)?,
            // Two octets of time to live come before the context.
            b"PING" => Self::Ping(data.get(2..).map(|_| data.slice(2..))?),
            b"SUBSCRIBE" => Self::Subscribe(data),
            b"CANCEL" => Self::Cancel(data),
            _ => Self::Other,
        })
    }
}

fn parse_ready(data: &Bytes) -> Option<Command> {
    let mut socket_type = String::new();
    let mut identity = Bytes::new();
    let mut at = 0;
    while at < data.len() {
        let name_length = usize::from(*data.get(at)?);
        let name = data.get(at + 1..at + 1 + name_length)?;
        at += 1 + name_length;
        let length: [u8; 4] = data.get(at..at + 4)?.try_into().ok()?;
        let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
        at += 4;
        let end = at.checked_add(length).filter(|end| *end <= data.len())?;
        let value = data.slice(at..end);
        at = end;
        if name.eq_ignore_ascii_case(b"Socket-Type") {
            socket_type = String::from_utf8_lossy(&value).into_owned();
        } else if name.eq_ignore_ascii_case(b"Identity") {
            identity = value;
        }
    }
    Some(Command::Ready { socket_type, identity })
}

/// Our READY, on the wire.
pub fn ready(socket_type: &str) -> Bytes {
    let mut body = BytesMut::new();
    body.put_slice(b"\x05READY\x0bSocket-Type");
    body.put_u32(socket_type.len() as u32);
    body.put_slice(socket_type.as_bytes());
    encode_command(&body)
}

/// The answer to a PING, on the wire.
pub fn pong(context: &[u8]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_slice(b"\x04PONG");
    body.put_slice(context);
    encode_command(&body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_ready_is_understood() {
        let wire = ready("ROUTER");
        let expected = Command::Ready { socket_type: "ROUTER".to_owned(), identity: Bytes::new() };
        assert_eq!(Command::parse(&wire.slice(2..)), Some(expected));
    }

    #[test]
    fn identity_and_unknown_properties_are_read() {
        let body = b"\x05READY\x08identity\0\0\0\x02me\x01X\0\0\0\0\x0bSocket-Type\0\0\0\x06DEALER";
        let expected = Command::Ready { socket_type: "DEALER".to_owned(), identity: Bytes::from_static(b"me") };
        assert_eq!(Command::parse(&Bytes::from_static(body)), Some(expected));
    }

    #[test]
    fn every_prefix_of_a_command_is_harmless() {
        let body = Bytes::from_static(b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER");
        for length in 0..body.len() {
            let _ = Command::parse(&body.slice(..length));
        }
        let huge = Bytes::from_static(b"\x05READY\x01a\xff\xff\xff\xff");
        assert_eq!(Command::parse(&huge), None);
    }

    #[test]
    fn ping_gives_back_its_context() {
        let ping = Bytes::from_static(b"\x04PING\0\x0acontext");
        let context = Bytes::from_static(b"context");
        assert_eq!(Command::parse(&ping), Some(Command::Ping(context)));
        assert_eq!(&pong(b"context")[2..], b"\x04PONGcontext");
        assert_eq!(Command::parse(&Bytes::from_static(b"\x04PING\0")), None);
    }
}
