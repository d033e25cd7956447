//! What still has to be written to one connection, with its bytes counted.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, mpsc};

use super::listener::Writer;

/// Small messages are gathered into one write up to this many bytes.
const GATHER_BYTES: usize = 64 << 10;

/// A connection's queue of encoded messages. The owner decides how long it may get.
pub struct Outbox {
    sender: mpsc::UnboundedSender<Bytes>,
    queued: AtomicUsize,
    closed: AtomicBool,
    last_progress: Mutex<Instant>,
    progress: Notify,
}

impl Outbox {
    /// An empty outbox and the messages that [`Outbox::pump`] has to write.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Bytes>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let outbox = Self {
            sender,
            queued: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            last_progress: Mutex::new(Instant::now()),
            progress: Notify::new(),
        };
        (outbox, receiver)
    }

    /// Queues an encoded message. False if the connection is gone.
    pub fn send(&self, message: Bytes) -> bool {
        if self.is_closed() {
            return false;
        }
        let length = message.len();
        if self.queued.fetch_add(length, Ordering::AcqRel) == 0 {
            self.note_progress();
        }
        self.sender.send(message).is_ok()
    }

    /// Queues an encoded message, unless more than `limit` bytes wait already: then the connection is
    /// given up. False if it is gone.
    pub fn send_or_close(&self, message: Bytes, limit: usize) -> bool {
        if self.queued() > limit {
            self.close();
        }
        self.send(message)
    }

    /// Bytes that the operating system has not taken yet.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Acquire)
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Gives the connection up: nothing more is sent, waiters return.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.queued.store(0, Ordering::Release);
        self.progress.notify_waiters();
    }

    /// When the peer last took bytes, or the queue last was empty.
    pub fn last_progress(&self) -> Instant {
        *self.last_progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no more than `limit` bytes are queued, or the connection is gone, or `deadline`
    /// (asked anew after each progress) has passed. True if there is room.
    pub async fn wait_for_room(&self, limit: usize, deadline: impl Fn(&Self) -> Instant) -> bool {
        loop {
            let progress = self.progress.notified();
            if self.queued() <= limit || self.is_closed() {
                return true;
            }
            let deadline = tokio::time::Instant::from_std(deadline(self));
            if tokio::time::timeout_at(deadline, progress).await.is_err() {
                return self.queued() <= limit;
            }
        }
    }

    /// Writes what is sent here until the connection or the outbox ends.
    pub async fn pump(&self, mut messages: mpsc::UnboundedReceiver<Bytes>, mut writer: Writer) {
        while let Some(message) = messages.recv().await {
            let batch = gather(message, &mut messages);
            if self.write(&batch, &mut writer).await.is_err() || self.is_closed() {
                break;
            }
        }
        self.close();
        let _ = writer.shutdown().await;
    }

    async fn write(&self, batch: &[u8], writer: &mut Writer) -> std::io::Result<()> {
        let mut rest = batch;
        while !rest.is_empty() {
            let written = tokio::select! {
                written = writer.write(rest) => written?,
                () = self.closed() => return Ok(()),
            };
            if written == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(written..).unwrap_or_default();
            self.note_progress();
            self.took(written);
        }
        writer.flush().await
    }

    async fn closed(&self) {
        loop {
            let progress = self.progress.notified();
            if self.is_closed() {
                return;
            }
            progress.await;
        }
    }

    fn took(&self, bytes: usize) {
        let _ =
            self.queued.fetch_update(Ordering::AcqRel, Ordering::Acquire, |queued| Some(queued.saturating_sub(bytes)));
        self.progress.notify_waiters();
    }

    fn note_progress(&self) {
        *self.last_progress.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// Joins the messages that are waiting already, so that a burst takes few system calls.
fn gather(first: Bytes, messages: &mut mpsc::UnboundedReceiver<Bytes>) -> Bytes {
    if first.len() >= GATHER_BYTES || messages.is_empty() {
        return first;
    }
    let mut batch = BytesMut::from(first);
    while batch.len() < GATHER_BYTES {
        match messages.try_recv() {
            Ok(message) => batch.extend_from_slice(&message),
            Err(_) => break,
        }
    }
    batch.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn bytes_are_counted_until_the_peer_takes_them() {
        let (outbox, messages) = Outbox::new();
        let outbox = Arc::new(outbox);
        let (near, mut far) = tokio::io::duplex(4);
        assert!(outbox.send(Bytes::from_static(b"0123456789")));
        let pump = {
            let outbox = Arc::clone(&outbox);
            tokio::spawn(async move { outbox.pump(messages, Box::new(near)).await })
        };
        let soon = |outbox: &Outbox| outbox.last_progress() + Duration::from_millis(20);
        assert!(!outbox.wait_for_room(0, soon).await);
        assert_eq!(outbox.queued(), 6);
        let mut taken = [0; 10];
        far.read_exact(&mut taken).await.unwrap();
        assert!(outbox.wait_for_room(0, soon).await);
        assert_eq!(&taken, b"0123456789");
        drop(far);
        outbox.send(Bytes::from_static(b"x"));
        pump.await.unwrap();
        assert!(!outbox.send(Bytes::from_static(b"x")));
    }
}
