//! Frames and multipart messages: reading them with a bound on memory, and encoding them.
//!
//! Layout: <https://rfc.zeromq.org/spec/37/#framing>. A flags octet (bit 0 more, bit 1 long,
//! bit 2 command), a length of one or eight octets, the body.

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::ZmtpError;

const FLAG_MORE: u8 = 0b001;
const FLAG_LONG: u8 = 0b010;
const FLAG_COMMAND: u8 = 0b100;

/// The most bytes one message may hold in all its frames. Notebook cells are far below; the bound
/// keeps a peer that has not shown it knows the key from taking the machine's memory.
pub const MESSAGE_LIMIT: usize = 16 << 20;

/// The most frames one message may hold.
const FRAMES_LIMIT: usize = 4096;

/// How much is reserved before any of a frame's bytes have arrived.
const FIRST_RESERVE: usize = 16 << 10;

/// What a connection delivers: a whole message or a single command.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// All frames of one message, in order.
    Message(Vec<Bytes>),
    /// The body of one command frame.
    Command(Bytes),
}

struct Frame {
    flags: u8,
    body: Bytes,
}

/// Reads the next message or command. Not cancel safe: give each connection one reading task.
///
/// # Errors
/// Any error means that the stream cannot be understood any further and must be closed.
pub async fn read_message<R>(reader: &mut R) -> Result<Received, ZmtpError>
where
    R: AsyncRead + Unpin,
{
    let mut frames = Vec::new();
    let mut room = MESSAGE_LIMIT;
    loop {
        let frame = read_frame(reader, room).await?;
        if frame.flags & FLAG_COMMAND != 0 {
            if frame.flags & FLAG_MORE != 0 || !frames.is_empty() {
                return Err(ZmtpError::Frame("command inside a message"));
            }
            return Ok(Received::Command(frame.body));
        }
        room -= frame.body.len();
        frames.push(frame.body);
        if frame.flags & FLAG_MORE == 0 {
            return Ok(Received::Message(frames));
        }
        if frames.len() >= FRAMES_LIMIT {
            return Err(ZmtpError::Frame("too many frames"));
        }
    }
}

async fn read_frame<R>(reader: &mut R, room: usize) -> Result<Frame, ZmtpError>
where
    R: AsyncRead + Unpin,
{
    let flags = reader.read_u8().await?;
    if flags & !(FLAG_MORE | FLAG_LONG | FLAG_COMMAND) != 0 {
        return Err(ZmtpError::Frame("reserved flag set"));
    }
    let length = if flags & FLAG_LONG != 0 { reader.read_u64().await? } else { u64::from(reader.read_u8().await?) };
    let length =
        usize::try_from(length).ok().filter(|length| *length <= room).ok_or(ZmtpError::TooLong(MESSAGE_LIMIT))?;
    // Grow with the bytes that arrive, never with the length that was announced.
    let mut body = Vec::with_capacity(length.min(FIRST_RESERVE));
    reader.take(length as u64).read_to_end(&mut body).await?;
    if body.len() < length {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Frame { flags, body: body.into() })
}

/// Encodes the frames of one message into the bytes that go over the wire.
pub fn encode_message<F: AsRef<[u8]>>(frames: &[F]) -> Bytes {
    let total: usize = frames.iter().map(|frame| frame.as_ref().len() + 9).sum();
    let mut wire = BytesMut::with_capacity(total);
    for (index, frame) in frames.iter().enumerate() {
        let more = if index + 1 < frames.len() { FLAG_MORE } else { 0 };
        put_frame(&mut wire, more, frame.as_ref());
    }
    wire.freeze()
}

/// Encodes one command frame.
pub fn encode_command(body: &[u8]) -> Bytes {
    let mut wire = BytesMut::with_capacity(body.len() + 9);
    put_frame(&mut wire, FLAG_COMMAND, body);
    wire.freeze()
}

fn put_frame(wire: &mut BytesMut, flags: u8, body: &[u8]) {
    match u8::try_from(body.len()) {
        Ok(length) => {
            wire.put_u8(flags);
            wire.put_u8(length);
        }
        Err(_) => {
            wire.put_u8(flags | FLAG_LONG);
            wire.put_u64(body.len() as u64);
        }
    }
    wire.put_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Result<Received, ZmtpError> {
        read_message(&mut &bytes[..]).await
    }

    #[tokio::test]
    async fn a_message_survives_the_round_trip() {
        let frames = vec![vec![], vec![7; 255], vec![8; 256], vec![9; 100_000]];
        let wire = encode_message(&frames);
        let expected = frames.into_iter().map(Bytes::from).collect();
        assert_eq!(read(&wire).await.unwrap(), Received::Message(expected));
    }

    #[tokio::test]
    async fn a_command_is_told_from_a_message() {
        let wire = encode_command(b"\x04PING");
        let expected = Received::Command(Bytes::from_static(b"\x04PING"));
        assert_eq!(read(&wire).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn an_announced_length_takes_no_memory() {
        let wire = [FLAG_LONG, 0x3f, 255, 255, 255, 255, 255, 255, 255];
        assert!(matches!(read(&wire).await, Err(ZmtpError::TooLong(_))));
        let wire = [FLAG_LONG, 0, 0, 0, 0, 0, 3, 0, 0, 1, 2];
        assert!(matches!(read(&wire).await, Err(ZmtpError::Io(_))));
    }

    #[tokio::test]
    async fn frames_of_one_message_share_the_limit() {
        let mut wire = vec![];
        let half = vec![0; MESSAGE_LIMIT / 2 + 1];
        wire.extend_from_slice(&encode_message(&[&half, &half]));
        assert!(matches!(read(&wire).await, Err(ZmtpError::TooLong(_))));
    }

    #[tokio::test]
    async fn reserved_flags_and_nested_commands_are_refused() {
        assert!(matches!(read(&[0x80, 0]).await, Err(ZmtpError::Frame(_))));
        let nested = [FLAG_MORE, 0, FLAG_COMMAND, 0];
        assert!(matches!(read(&nested).await, Err(ZmtpError::Frame(_))));
    }

    #[tokio::test]
    async fn endless_frames_are_refused() {
        let wire = [FLAG_MORE, 0].repeat(FRAMES_LIMIT + 1);
        assert!(matches!(read(&wire).await, Err(ZmtpError::Frame(_))));
    }
}
