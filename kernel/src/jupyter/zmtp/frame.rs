//! Frames and multipart messages: reading them with a bound on memory, and encoding them.
//!
//! Layout: <https://rfc.zeromq.org/spec/37/#framing>. A flags octet (bit 0 more, bit 1 long,
//! bit 2 command), a length of one or eight octets, the body.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::ZmtpError;

const FLAG_MORE: u8 = 0b001;
const FLAG_LONG: u8 = 0b010;
const FLAG_COMMAND: u8 = 0b100;

/// The most bytes one message may hold in all its frames. Notebook cells are far below; the bound
/// keeps a peer that has not shown it knows the key from taking the machine's memory.
pub const MESSAGE_LIMIT: usize = 16 << 20;

/// The most bytes of a command, and of a message where Jupyter's are small. RFC 37 allows a PING 16
/// octets of context; a READY has a few properties.
const SMALL_LIMIT: usize = 4 << 10;

/// The most frames one message may hold.
const FRAMES_LIMIT: usize = 4096;

/// A message that has begun must be complete by then.
const MESSAGE_TIME: Duration = Duration::from_secs(30);

/// So much is read at a time, and memory grows with it.
const STEP: usize = 64 << 10;

/// What unfinished messages of all connections may take together, beyond a first step of each.
static UNFINISHED: Budget = Budget::new(64 << 20);

/// How long what a peer sends may be.
#[derive(Clone, Copy)]
pub struct Limits {
    message: usize,
    command: usize,
    /// From a message's first byte to its last.
    time: Duration,
    budget: &'static Budget,
}

impl Limits {
    /// For requests: anything up to [`MESSAGE_LIMIT`].
    pub fn requests() -> Limits {
        Limits { message: MESSAGE_LIMIT, command: SMALL_LIMIT, time: MESSAGE_TIME, budget: &UNFINISHED }
    }

    /// For handshakes, heartbeats and subscriptions.
    pub fn small() -> Limits {
        Limits { message: SMALL_LIMIT, ..Limits::requests() }
    }
}

/// Bytes that may be in use by all together.
struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    const fn new(limit: usize) -> Budget {
        Budget { used: AtomicUsize::new(0), limit }
    }
}

/// A share of a budget, given back when dropped.
struct Share {
    budget: &'static Budget,
    bytes: usize,
}

impl Share {
    fn grow(&mut self, bytes: usize) -> Result<(), ZmtpError> {
        let before = self.budget.used.fetch_add(bytes, Ordering::AcqRel);
        self.bytes += bytes;
        if before + bytes > self.budget.limit { Err(ZmtpError::Crowded) } else { Ok(()) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// What a connection delivers: a whole message or a single command.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// All frames of one message, in order.
    Message(Vec<Bytes>),
    /// The body of one command frame.
    Command(Bytes),
}

/// Reads the next message or command. Not cancel safe: give each connection one reading task.
///
/// # Errors
/// Any error means that the stream cannot be understood any further and must be closed.
pub async fn read_message<R>(reader: &mut R, limits: Limits) -> Result<Received, ZmtpError>
where
    R: AsyncRead + Unpin,
{
    // A connection may be silent for as long as it likes, but not in the middle of a message.
    let first = reader.read_u8().await?;
    match tokio::time::timeout(limits.time, read_rest(reader, first, limits)).await {
        Ok(result) => result,
        Err(_) => Err(ZmtpError::Frame("unfinished for too long")),
    }
}

async fn read_rest<R>(reader: &mut R, first: u8, limits: Limits) -> Result<Received, ZmtpError>
where
    R: AsyncRead + Unpin,
{
    let mut share = Share { budget: limits.budget, bytes: 0 };
    let mut frames = Vec::new();
    let mut room = limits.message;
    let mut flags = first;
    loop {
        let is_command = flags & FLAG_COMMAND != 0;
        if is_command && (flags & FLAG_MORE != 0 || !frames.is_empty()) {
            return Err(ZmtpError::Frame("command inside a message"));
        }
        let body = read_frame(reader, flags, if is_command { limits.command } else { room }, &mut share).await?;
        if is_command {
            return Ok(Received::Command(body));
        }
        room -= body.len();
        frames.push(body);
        if flags & FLAG_MORE == 0 {
            return Ok(Received::Message(frames));
        }
        if frames.len() >= FRAMES_LIMIT {
            return Err(ZmtpError::Frame("too many frames"));
        }
        flags = reader.read_u8().await?;
    }
}

/// The body of a frame whose flags have been read.
async fn read_frame<R>(reader: &mut R, flags: u8, room: usize, share: &mut Share) -> Result<Bytes, ZmtpError>
where
    R: AsyncRead + Unpin,
{
    if flags & !(FLAG_MORE | FLAG_LONG | FLAG_COMMAND) != 0 {
        return Err(ZmtpError::Frame("reserved flag set"));
    }
    let length = if flags & FLAG_LONG != 0 { reader.read_u64().await? } else { u64::from(reader.read_u8().await?) };
    let length = usize::try_from(length).ok().filter(|length| *length <= room).ok_or(ZmtpError::TooLong(room))?;
    // Grow with the bytes that arrive, never with the length that was announced.
    let mut body = Vec::new();
    while body.len() < length {
        let step = (length - body.len()).min(STEP);
        if !body.is_empty() {
            share.grow(step)?;
        }
        body.reserve_exact(step);
        if (&mut *reader).take(step as u64).read_to_end(&mut body).await? < step {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(body.into())
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
        read_message(&mut &bytes[..], Limits::requests()).await
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
    async fn where_messages_are_small_large_ones_are_refused() {
        let wire = encode_message(&[vec![0; SMALL_LIMIT + 1]]);
        assert!(matches!(read_message(&mut &wire[..], Limits::small()).await, Err(ZmtpError::TooLong(_))));
        let wire = encode_command(&vec![0; SMALL_LIMIT + 1]);
        assert!(matches!(read(&wire).await, Err(ZmtpError::TooLong(_))));
    }

    #[tokio::test]
    async fn unfinished_messages_share_one_budget() {
        static BUDGET: Budget = Budget::new(1 << 20);
        let limits = Limits { budget: &BUDGET, ..Limits::requests() };
        let wire = encode_message(&[vec![0; 900 << 10]]);
        let (mut sender, mut receiver) = tokio::io::duplex(1 << 20);
        tokio::io::AsyncWriteExt::write_all(&mut sender, &wire[..800 << 10]).await.unwrap();
        let unfinished = tokio::spawn(async move { read_message(&mut receiver, limits).await });
        while BUDGET.used.load(Ordering::Acquire) < 700 << 10 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(read_message(&mut &wire[..], limits).await, Err(ZmtpError::Crowded)));
        // Cells of the usual size go on.
        assert!(read_message(&mut &encode_message(&[vec![0; STEP]])[..], limits).await.is_ok());
        drop(sender);
        assert!(unfinished.await.unwrap().is_err());
        assert!(read_message(&mut &wire[..], limits).await.is_ok());
        assert_eq!(BUDGET.used.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn a_message_must_be_finished_in_time() {
        let limits = Limits { time: Duration::from_millis(20), ..Limits::requests() };
        let (mut sender, mut receiver) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut sender, &[FLAG_MORE, 0]).await.unwrap();
        assert!(matches!(read_message(&mut receiver, limits).await, Err(ZmtpError::Frame(_))));
    }

    #[tokio::test]
    async fn endless_frames_are_refused() {
        let wire = [FLAG_MORE, 0].repeat(FRAMES_LIMIT + 1);
        assert!(matches!(read(&wire).await, Err(ZmtpError::Frame(_))));
    }
}
