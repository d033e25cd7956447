//! XPUB: every subscriber gets the messages whose first frame starts with a topic it asked for.
//!
//! This keeps subscriptions and connections. What to do with a subscriber that does not keep up
//! is for the caller to decide: it sees each subscriber's outbox.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::command::{Command, pong};
use super::frame::{Limits, Received, read_message};
use super::handshake::{SocketType, handshake};
use super::listener::{Listener, Reader, Writer};
use super::outbox::Outbox;
use super::{CONNECTIONS_LIMIT, UNREAD_LIMIT, ZmtpError};

/// Topics one subscriber may hold, and their length; Jupyter clients use one, which is empty.
const TOPICS_LIMIT: usize = 64;
const TOPIC_LIMIT: usize = 256;
/// How often a connection may subscribe: each time is answered.
const SUBSCRIPTIONS_LIMIT: usize = 1024;

/// Called on the runtime's thread for each new subscription, with its topic.
type Subscribed = dyn Fn(&Arc<Subscriber>, Bytes) + Send + Sync;

/// A bound XPUB socket. It serves until the runtime ends.
pub struct Publisher {
    subscribers: Arc<Mutex<Vec<Arc<Subscriber>>>>,
}

/// One connected subscriber.
pub struct Subscriber {
    /// What is still to be written to it.
    pub outbox: Outbox,
    topics: Mutex<Vec<Bytes>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Publisher {
    /// Starts to serve on `listener`, inside a tokio runtime.
    pub fn serve(listener: Listener, subscribed: impl Fn(&Arc<Subscriber>, Bytes) + Send + Sync + 'static) -> Self {
        let subscribers = Arc::new(Mutex::new(Vec::new()));
        let subscribed: Arc<Subscribed> = Arc::new(subscribed);
        let publisher = Self { subscribers: Arc::clone(&subscribers) };
        let places = Arc::new(Semaphore::new(CONNECTIONS_LIMIT));
        tokio::spawn(async move {
            loop {
                let (reader, writer) = listener.accept().await;
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let subscribers = Arc::clone(&subscribers);
                let subscribed = Arc::clone(&subscribed);
                tokio::spawn(async move {
                    if let Err(error) = attend(reader, writer, &subscribers, &subscribed).await {
                        tracing::debug!(%error, "subscriber closed");
                    }
                    drop(place);
                });
            }
        });
        publisher
    }

    /// The subscribers that want messages with this first frame.
    pub fn subscribers_of(&self, first_frame: &[u8]) -> Vec<Arc<Subscriber>> {
        let subscribers = lock(&self.subscribers);
        let wanting = subscribers.iter().filter(|one| one.wants(first_frame));
        wanting.cloned().collect()
    }

    /// Waits until everything published is with the operating system, at most until `deadline`.
    pub async fn drain(&self, deadline: Instant) {
        let subscribers = lock(&self.subscribers).clone();
        for subscriber in subscribers {
            subscriber.outbox.wait_for_room(0, |_| deadline).await;
        }
    }
}

impl Subscriber {
    fn wants(&self, first_frame: &[u8]) -> bool {
        let topics = lock(&self.topics);
        topics.iter().any(|topic| first_frame.starts_with(topic))
    }

    /// Adds a topic; false if it is too long or there are too many.
    fn subscribe(&self, topic: Bytes) -> bool {
        let mut topics = lock(&self.topics);
        if topics.len() >= TOPICS_LIMIT || topic.len() > TOPIC_LIMIT {
            return false;
        }
        topics.push(topic);
        true
    }

    fn cancel(&self, topic: &[u8]) {
        let mut topics = lock(&self.topics);
        if let Some(at) = topics.iter().position(|held| held == topic) {
            topics.remove(at);
        }
    }
}

async fn attend(
    mut reader: Reader,
    mut writer: Writer,
    subscribers: &Mutex<Vec<Arc<Subscriber>>>,
    subscribed: &Arc<Subscribed>,
) -> Result<(), ZmtpError> {
    handshake(&mut reader, &mut writer, SocketType::Publisher).await?;
    let (outbox, messages) = Outbox::new();
    let subscriber = Arc::new(Subscriber { outbox, topics: Mutex::default() });
    lock(subscribers).push(Arc::clone(&subscriber));
    tokio::spawn({
        let subscriber = Arc::clone(&subscriber);
        async move { subscriber.outbox.pump(messages, writer).await }
    });
    let ended = read_all(&mut reader, &subscriber, subscribed).await;
    lock(subscribers).retain(|one| !Arc::ptr_eq(one, &subscriber));
    subscriber.outbox.close();
    ended
}

async fn read_all(
    reader: &mut Reader,
    subscriber: &Arc<Subscriber>,
    subscribed: &Arc<Subscribed>,
) -> Result<(), ZmtpError> {
    let mut left = SUBSCRIPTIONS_LIMIT;
    loop {
        if subscriber.outbox.is_closed() {
            return Err(ZmtpError::Unread);
        }
        let (subscribe, topic) = match read_message(reader, Limits::small()).await? {
            // ZMTP 3.0 sends subscriptions as messages: an octet 1 or 0, then the topic.
            Received::Message(frames) => match frames.first() {
                Some(frame) if frame.starts_with(&[1]) => (true, frame.slice(1..)),
                Some(frame) if frame.starts_with(&[0]) => (false, frame.slice(1..)),
                _ => continue,
            },
            Received::Command(body) => match Command::parse(&body) {
                Some(Command::Subscribe(topic)) => (true, topic),
                Some(Command::Cancel(topic)) => (false, topic),
                Some(Command::Ping(context)) => {
                    // Who has so much to read sees from that that we are there.
                    if subscriber.outbox.queued() <= UNREAD_LIMIT {
                        subscriber.outbox.send(pong(&context));
                    }
                    continue;
                }
                _ => continue,
            },
        };
        if !subscribe {
            subscriber.cancel(&topic);
        } else if left > 0 && subscriber.subscribe(topic.clone()) {
            left -= 1;
            subscribed(subscriber, topic);
        } else {
            return Err(ZmtpError::Frame("too many subscriptions"));
        }
    }
}
