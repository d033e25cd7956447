//! ROUTER: many peers send, each answer goes back to the peer that asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::command::{Command, pong};
use super::frame::{Limits, Received, encode_message, read_message};
use super::handshake::{SocketType, handshake};
use super::listener::{Listener, Reader, Writer};
use super::outbox::Outbox;
use super::{CONNECTIONS_LIMIT, UNREAD_LIMIT, ZmtpError};

/// Called on the runtime's thread for each message: who sent it, and its frames.
type Receive = dyn Fn(Peer, Vec<Bytes>) + Send + Sync;

/// A bound ROUTER socket. It serves until the runtime ends.
pub struct Router {
    connections: Arc<Connections>,
}

#[derive(Default)]
struct Connections {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Connection>,
}

struct Connection {
    identity: Bytes,
    outbox: Arc<Outbox>,
}

/// Whom to answer.
#[derive(Clone)]
pub struct Peer {
    connections: Arc<Connections>,
    connection: u64,
    identity: Bytes,
}

impl Router {
    /// Starts to serve on `listener`, inside a tokio runtime.
    pub fn serve(
        listener: Listener,
        limits: Limits,
        receive: impl Fn(Peer, Vec<Bytes>) + Send + Sync + 'static,
    ) -> Self {
        let connections = Arc::new(Connections::default());
        let receive: Arc<Receive> = Arc::new(receive);
        let router = Self { connections: Arc::clone(&connections) };
        let places = Arc::new(Semaphore::new(CONNECTIONS_LIMIT));
        tokio::spawn(async move {
            loop {
                let (reader, writer) = listener.accept().await;
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let connections = Arc::clone(&connections);
                let receive = Arc::clone(&receive);
                tokio::spawn(async move {
                    if let Err(error) = connections.attend(reader, writer, limits, &receive).await {
                        tracing::debug!(%error, "connection closed");
                    }
                    drop(place);
                });
            }
        });
        router
    }

    /// Waits until every answer is with the operating system, at most until `deadline`.
    pub async fn drain(&self, deadline: Instant) {
        let outboxes: Vec<_> = {
            let table = self.connections.lock();
            table.open.values().map(|open| Arc::clone(&open.outbox)).collect()
        };
        for outbox in outboxes {
            outbox.wait_for_room(0, |_| deadline).await;
        }
    }
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn attend(
        self: Arc<Self>,
        mut reader: Reader,
        mut writer: Writer,
        limits: Limits,
        receive: &Arc<Receive>,
    ) -> Result<(), ZmtpError> {
        let identity = handshake(&mut reader, &mut writer, SocketType::Router).await?;
        let (outbox, messages) = Outbox::new();
        let outbox = Arc::new(outbox);
        let connection = self.insert(identity.clone(), Arc::clone(&outbox));
        tokio::spawn({
            let outbox = Arc::clone(&outbox);
            async move { outbox.pump(messages, writer).await }
        });
        let peer = Peer { connections: Arc::clone(&self), connection, identity };
        let ended = read_all(&mut reader, limits, &outbox, &peer, receive).await;
        self.lock().open.remove(&connection);
        outbox.close();
        ended
    }

    fn insert(&self, identity: Bytes, outbox: Arc<Outbox>) -> u64 {
        let mut table = self.lock();
        table.next += 1;
        let connection = table.next;
        table.open.insert(connection, Connection { identity, outbox });
        connection
    }
}

async fn read_all(
    reader: &mut Reader,
    limits: Limits,
    outbox: &Outbox,
    peer: &Peer,
    receive: &Arc<Receive>,
) -> Result<(), ZmtpError> {
    loop {
        match read_message(reader, limits).await? {
            Received::Message(frames) => receive(peer.clone(), frames),
            Received::Command(body) => {
                if let Some(Command::Ping(context)) = Command::parse(&body) {
                    outbox.send_or_close(pong(&context), UNREAD_LIMIT);
                }
            }
        }
        if outbox.is_closed() {
            return Err(ZmtpError::Unread);
        }
    }
}

impl Peer {
    /// Sends a message to this peer. If its connection is gone and it has come back under the same
    /// identity, the message goes there; otherwise it is dropped, as ROUTER does.
    pub fn send<F: AsRef<[u8]>>(&self, frames: &[F]) {
        self.deliver(encode_message(frames), Outbox::send);
    }

    /// As [`Peer::send`], but a peer for which more than `limit` bytes wait is disconnected.
    pub fn send_or_close<F: AsRef<[u8]>>(&self, frames: &[F], limit: usize) {
        self.deliver(encode_message(frames), |outbox, wire| outbox.send_or_close(wire, limit));
    }

    fn deliver(&self, wire: Bytes, send: impl FnOnce(&Outbox, Bytes) -> bool) {
        let table = self.connections.lock();
        let connection = table.open.get(&self.connection).or_else(|| {
            let same = |open: &&Connection| open.identity == self.identity;
            table.open.values().find(same).filter(|_| !self.identity.is_empty())
        });
        match connection {
            Some(connection) => {
                send(&connection.outbox, wire);
            }
            None => tracing::debug!("the peer of an answer is gone"),
        }
    }
}
