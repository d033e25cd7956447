//! From the queue to the subscribers, and what happens when one of them does not read.
//!
//! A slow subscriber slows output down. One that has taken nothing for three seconds is stuck:
//! from then on output for it is dropped and counted, while all others get everything. Statuses,
//! errors and answers are kept for it. When it reads again, or at the end of the cell, it is told
//! how much it missed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use super::{Item, Next, Queue, Stream};
use crate::jupyter::wire::{Parent, Session, Signer, broadcast_frames};
use crate::jupyter::zmtp::{Outbox, Publisher, Subscriber, encode_message};

/// Bytes of output that may wait for one subscriber.
const OUTBOX_BYTES: usize = 8 << 20;
/// Bytes of anything that may wait for one subscriber; then it is disconnected.
const OUTBOX_LIMIT: usize = 64 << 20;
/// A subscriber that takes nothing for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(3);
/// A subscriber may hold output up for so long at a time, even if it takes a little.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What delivery needs.
pub struct Delivery {
    /// Where messages come from.
    pub queue: Arc<Queue>,
    /// Where they go.
    pub publisher: Publisher,
    /// Who sends them.
    pub session: Arc<Session>,
    /// How they are signed.
    pub signer: Arc<Signer>,
}

/// One subscriber's missed output of one request.
struct Loss {
    subscriber: Arc<Subscriber>,
    parent: Arc<Parent>,
    bytes: u64,
}

struct State {
    delivery: Delivery,
    started: bool,
    losses: Vec<Loss>,
    stuck: Vec<Arc<Subscriber>>,
}

/// A message ready to go.
struct Broadcast<'a> {
    parent: &'a Arc<Parent>,
    msg_type: &'static str,
    content: &'a [u8],
    /// Bytes of output that are lost if this is dropped; `None` if it must not be.
    droppable: Option<u64>,
}

/// Delivers until the queue is closed and empty; gives back the publisher for a last flush.
pub async fn deliver(delivery: Delivery) -> Publisher {
    let mut state = State { delivery, started: false, losses: Vec::new(), stuck: Vec::new() };
    let queue = Arc::clone(&state.delivery.queue);
    loop {
        match queue.next(Instant::now()) {
            Next::Send(item) => {
                state.send(item).await;
                // A long run of messages must not keep the sockets from being served.
                tokio::task::yield_now().await;
            }
            Next::Wait(until) => {
                let until = tokio::time::Instant::from_std(until);
                let _ = tokio::time::timeout_at(until, queue.filled()).await;
            }
            Next::Empty => queue.filled().await,
            Next::Closed => return state.delivery.publisher,
        }
    }
}

impl State {
    async fn send(&mut self, item: Item) {
        match item {
            Item::Text { parent, stream, text, .. } => {
                let content = text_content(stream, &text);
                self.broadcast(Broadcast {
                    parent: &parent,
                    msg_type: "stream",
                    content: &content,
                    droppable: Some(text.len() as u64),
                })
                .await;
            }
            Item::Message { parent, msg_type, content, droppable, is_last } => {
                self.start().await;
                if is_last {
                    self.report_losses(|loss| Arc::ptr_eq(&loss.parent, &parent));
                }
                self.broadcast(Broadcast {
                    parent: &parent,
                    msg_type,
                    content: &content,
                    droppable: droppable.then_some(content.len() as u64),
                })
                .await;
            }
            Item::Welcome { subscriber, topic } => {
                self.welcome(&subscriber, &topic);
                self.start().await;
            }
        }
    }

    /// Says once that the kernel is starting: when there is somebody to hear it, but before
    /// anything else.
    async fn start(&mut self) {
        if !std::mem::replace(&mut self.started, true) {
            self.broadcast(Broadcast {
                parent: &Arc::new(Parent::none()),
                msg_type: "status",
                content: br#"{"execution_state":"starting"}"#,
                droppable: None,
            })
            .await;
        }
    }

    /// <https://jupyter.org/enhancement-proposals/65-jupyter-xpub/jupyter-xpub.html>
    fn welcome(&self, subscriber: &Arc<Subscriber>, topic: &Bytes) {
        let topic = String::from_utf8_lossy(topic);
        let content = json!({ "subscription": topic }).to_string();
        let message = self.encode("iopub_welcome", &Parent::none(), content.as_bytes());
        subscriber.outbox.send(message);
    }

    async fn broadcast(&mut self, broadcast: Broadcast<'_>) {
        let topic = broadcast.msg_type.as_bytes();
        let subscribers = self.delivery.publisher.subscribers_of(topic);
        if subscribers.is_empty() {
            return;
        }
        let message = self.encode(broadcast.msg_type, broadcast.parent, broadcast.content);
        for subscriber in subscribers {
            if let Some(bytes) = broadcast.droppable
                && !self.has_room(&subscriber).await
            {
                self.lose(&subscriber, broadcast.parent, bytes);
                continue;
            }
            if subscriber.outbox.queued() > OUTBOX_LIMIT {
                tracing::warn!("a client that reads nothing is disconnected");
                subscriber.outbox.close();
            }
            if broadcast.droppable.is_some() {
                self.report_losses(|loss| Arc::ptr_eq(&loss.subscriber, &subscriber));
            }
            subscriber.outbox.send(message.clone());
        }
    }

    /// Waits for room, unless this subscriber is known to be stuck.
    async fn has_room(&mut self, subscriber: &Arc<Subscriber>) -> bool {
        let is_it = |other: &Arc<Subscriber>| Arc::ptr_eq(other, subscriber);
        let outbox = &subscriber.outbox;
        if outbox.queued() <= OUTBOX_BYTES {
            self.stuck.retain(|other| !is_it(other));
            return true;
        }
        if self.stuck.iter().any(is_it) {
            return false;
        }
        let latest = Instant::now() + LONGEST_WAIT;
        let deadline = |outbox: &Outbox| latest.min(outbox.last_progress() + STUCK_AFTER);
        let room = outbox.wait_for_room(OUTBOX_BYTES, deadline).await;
        if !room {
            tracing::warn!("a client does not read its output");
            self.stuck.retain(|other| !other.outbox.is_closed());
            self.stuck.push(Arc::clone(subscriber));
        }
        room
    }

    fn lose(&mut self, subscriber: &Arc<Subscriber>, parent: &Arc<Parent>, bytes: u64) {
        parent.add_lost(bytes);
        self.losses.retain(|loss| !loss.subscriber.outbox.is_closed());
        let same = |loss: &&mut Loss| Arc::ptr_eq(&loss.subscriber, subscriber) && Arc::ptr_eq(&loss.parent, parent);
        match self.losses.iter_mut().find(same) {
            Some(loss) => loss.bytes += bytes,
            None => self.losses.push(Loss { subscriber: Arc::clone(subscriber), parent: Arc::clone(parent), bytes }),
        }
    }

    /// Tells subscribers what they missed, and forgets it.
    fn report_losses(&mut self, which: impl Fn(&Loss) -> bool) {
        if self.losses.is_empty() {
            return;
        }
        let (reported, kept) = std::mem::take(&mut self.losses).into_iter().partition(|loss| which(loss));
        self.losses = kept;
        let reported: Vec<Loss> = reported;
        for loss in reported {
            let text = format!("{} bytes of output were dropped: this client had stopped reading\n", loss.bytes);
            let content = text_content(Stream::Stderr, &text);
            let message = self.encode("stream", &loss.parent, &content);
            loss.subscriber.outbox.send(message);
        }
    }

    fn encode(&self, msg_type: &'static str, parent: &Parent, content: &[u8]) -> Bytes {
        let Delivery { session, signer, .. } = &self.delivery;
        encode_message(&broadcast_frames(session, signer, msg_type, parent, content))
    }
}

fn text_content(stream: Stream, text: &str) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Content<'a> {
        name: Stream,
        text: &'a str,
    }
    // A name and a string: this cannot fail.
    serde_json::to_vec(&Content { name: stream, text }).unwrap_or_default()
}
