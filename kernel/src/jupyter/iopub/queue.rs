//! The bounded queue in front of iopub, and the batching of stream text.
//!
//! Text is held back a little so that many small prints become few messages: two milliseconds
//! when there was silence before, else until fifty milliseconds after the last batch. Any other
//! message pushes out the text before it, so nothing ever overtakes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::{Item, Stream};
use crate::jupyter::wire::Parent;

/// Bytes that may wait; beyond, whoever prints waits.
const QUEUE_BYTES: usize = 4 << 20;
/// Text of one message at most.
const BATCH_BYTES: usize = 128 << 10;
/// Delay of the first text after silence.
const FIRST_DELAY: Duration = Duration::from_millis(2);
/// Time between batches of text.
const BATCH_INTERVAL: Duration = Duration::from_millis(50);
/// Printing waits this long for room at most; the task that empties the queue gives stuck clients
/// up earlier than that, so this is only reached if that task is gone.
const ROOM_WAIT: Duration = Duration::from_secs(15);
/// How far back text looks for a batch of its own request to join.
const JOIN_DEPTH: usize = 8;

/// The queue. Filled by threads, emptied by one task.
pub struct Queue {
    state: Mutex<State>,
    room: Condvar,
    filled: Notify,
}

struct State {
    items: VecDeque<Item>,
    bytes: usize,
    /// Entries that are not text: while there are any, nothing is held back.
    urgent: usize,
    last_text: Option<Instant>,
    closed: bool,
}

/// What the emptying task has to do next.
pub enum Next {
    /// Broadcast this.
    Send(Item),
    /// Nothing before then, unless [`Queue::filled`] says so.
    Wait(Instant),
    /// Nothing until [`Queue::filled`] says so.
    Empty,
    /// Nothing any more.
    Closed,
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State { items: VecDeque::new(), bytes: 0, urgent: 0, last_text: None, closed: false }),
            room: Condvar::new(),
            filled: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues stream text. Blocks while the queue is full; never call it on the runtime's thread.
    pub fn push_text(&self, parent: &Arc<Parent>, stream: Stream, mut text: &str) {
        while !text.is_empty() {
            let piece;
            (piece, text) = text.split_at(text.floor_char_boundary(BATCH_BYTES));
            let Some(mut state) = self.wait_for_room() else {
                parent.add_lost(piece.len() as u64);
                continue;
            };
            if state.add_text(parent, stream, piece) {
                drop(state);
                self.filled.notify_one();
            }
        }
    }

    /// Queues output that is not text. Blocks while the queue is full.
    pub fn push_output(&self, item: Item) {
        match self.wait_for_room() {
            Some(mut state) => {
                state.add(item);
                drop(state);
                self.filled.notify_one();
            }
            None => {
                if let Item::Message { parent, .. } = &item {
                    parent.add_lost(item.size() as u64);
                }
            }
        }
    }

    /// Queues what must not be lost and must not wait: statuses, errors, answers.
    pub fn push_now(&self, item: Item) {
        self.lock().add(item);
        self.filled.notify_one();
    }

    /// No more will come: what is there goes out without delay.
    pub fn close(&self) {
        self.lock().closed = true;
        self.room.notify_all();
        self.filled.notify_one();
    }

    /// What to do now.
    pub fn next(&self, now: Instant) -> Next {
        let mut state = self.lock();
        let next = state.next(now);
        drop(state);
        if matches!(next, Next::Send(_)) {
            self.room.notify_all();
        }
        next
    }

    /// Completes when there may be something new to do.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// The state once there is room; `None` if the queue is closed or nobody empties it.
    fn wait_for_room(&self) -> Option<MutexGuard<'_, State>> {
        let full = |state: &mut State| state.bytes >= QUEUE_BYTES && !state.closed;
        let (mut state, _) =
            self.room.wait_timeout_while(self.lock(), ROOM_WAIT, full).unwrap_or_else(PoisonError::into_inner);
        (!full(&mut state) && !state.closed).then_some(state)
    }
}

impl State {
    fn add(&mut self, item: Item) {
        self.bytes += item.size();
        if !matches!(item, Item::Text { .. }) {
            self.urgent += 1;
        }
        self.items.push_back(item);
    }

    /// Adds text, to a waiting batch if that keeps the order. True if the task has to be woken.
    fn add_text(&mut self, parent: &Arc<Parent>, stream: Stream, text: &str) -> bool {
        if let Some(batch) = self.joinable(parent, stream, text.len()) {
            let was = batch.len();
            batch.push_str(text);
            self.bytes += text.len();
            // Crossing half a batch wakes the task, which then need not wait for its timer.
            return was < BATCH_BYTES / 2 && was + text.len() >= BATCH_BYTES / 2;
        }
        let was_empty = self.items.is_empty();
        self.add(Item::Text { parent: Arc::clone(parent), stream, text: text.to_owned(), since: Instant::now() });
        was_empty || self.bytes >= BATCH_BYTES / 2
    }

    /// The batch at the end of this request's entries, if it is of the same stream and has room.
    fn joinable(&mut self, parent: &Arc<Parent>, stream: Stream, length: usize) -> Option<&mut String> {
        let last = self
            .items
            .iter_mut()
            .rev()
            .take(JOIN_DEPTH)
            .find(|item| !matches!(item, Item::Text { parent: other, .. } if !Arc::ptr_eq(other, parent)));
        match last {
            Some(Item::Text { stream: same, text, .. }) if *same == stream && text.len() + length <= BATCH_BYTES => {
                Some(text)
            }
            _ => None,
        }
    }

    fn next(&mut self, now: Instant) -> Next {
        match self.items.front() {
            None if self.closed => return Next::Closed,
            None => return Next::Empty,
            Some(Item::Text { text, since, .. }) => {
                let due = self.due(*since);
                let hold =
                    !self.closed && self.urgent == 0 && text.len() < BATCH_BYTES / 2 && self.bytes < QUEUE_BYTES / 2;
                if hold && now < due {
                    return Next::Wait(due);
                }
                self.last_text = Some(now);
            }
            Some(_) => self.urgent -= 1,
        }
        match self.items.pop_front() {
            Some(item) => {
                self.bytes -= item.size();
                Next::Send(item)
            }
            None => Next::Empty,
        }
    }

    fn due(&self, since: Instant) -> Instant {
        let soon = since + FIRST_DELAY;
        match self.last_text {
            Some(last) => soon.max(last + BATCH_INTERVAL),
            None => soon,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn parent() -> Arc<Parent> {
        Arc::new(Parent::none())
    }

    fn status(parent: &Arc<Parent>) -> Item {
        Item::Message {
            parent: Arc::clone(parent),
            msg_type: "status",
            content: Bytes::new(),
            droppable: false,
            is_last: true,
        }
    }

    /// Everything that would be sent now, texts with a sign for their stream.
    fn sent(queue: &Queue, now: Instant) -> Vec<String> {
        let mut sent = vec![];
        while let Next::Send(item) = queue.next(now) {
            sent.push(match item {
                Item::Text { stream: Stream::Stdout, text, .. } => text,
                Item::Text { text, .. } => format!("!{text}"),
                Item::Message { msg_type, .. } => msg_type.to_owned(),
                Item::Welcome { .. } => "welcome".to_owned(),
            });
        }
        sent
    }

    #[test]
    fn small_prints_become_one_message_after_a_short_delay() {
        let (queue, parent) = (Queue::new(), parent());
        for word in ["a", "b", "c"] {
            queue.push_text(&parent, Stream::Stdout, word);
        }
        let now = Instant::now();
        assert!(matches!(queue.next(now), Next::Wait(due) if due <= now + FIRST_DELAY));
        assert_eq!(sent(&queue, now + FIRST_DELAY), ["abc"]);
        // Now that text flows, the next batch takes its interval.
        queue.push_text(&parent, Stream::Stdout, "d");
        let later = now + FIRST_DELAY + FIRST_DELAY;
        assert!(matches!(queue.next(later), Next::Wait(due) if due > now + BATCH_INTERVAL));
        assert_eq!(sent(&queue, later + BATCH_INTERVAL), ["d"]);
    }

    #[test]
    fn a_status_pushes_out_the_text_before_it_at_once() {
        let (queue, parent) = (Queue::new(), parent());
        queue.push_text(&parent, Stream::Stdout, "text");
        queue.push_now(status(&parent));
        assert_eq!(sent(&queue, Instant::now()), ["text", "status"]);
    }

    #[test]
    fn streams_and_messages_keep_their_order() {
        let (queue, parent) = (Queue::new(), parent());
        queue.push_text(&parent, Stream::Stdout, "a");
        queue.push_text(&parent, Stream::Stderr, "b");
        queue.push_text(&parent, Stream::Stdout, "c");
        queue.push_output(status(&parent));
        queue.push_text(&parent, Stream::Stdout, "d");
        queue.push_now(status(&parent));
        let all = ["a", "!b", "c", "status", "d", "status"];
        assert_eq!(sent(&queue, Instant::now()), all);
    }

    #[test]
    fn text_of_two_requests_does_not_mix_but_still_batches() {
        let (queue, one, two) = (Queue::new(), parent(), parent());
        for _ in 0..3 {
            queue.push_text(&one, Stream::Stdout, "1");
            queue.push_text(&two, Stream::Stdout, "2");
        }
        queue.push_now(status(&one));
        assert_eq!(sent(&queue, Instant::now()), ["111", "222", "status"]);
    }

    #[test]
    fn long_text_is_split_between_characters_and_goes_out_undelayed() {
        let (queue, parent) = (Queue::new(), parent());
        let text = "é".repeat(BATCH_BYTES);
        queue.push_text(&parent, Stream::Stdout, &text);
        queue.push_text(&parent, Stream::Stdout, "x");
        let pieces = sent(&queue, Instant::now());
        assert!(pieces.iter().all(|piece| piece.len() <= BATCH_BYTES));
        assert_eq!(pieces.concat(), text);
        queue.close();
        assert_eq!(sent(&queue, Instant::now()), ["x"]);
        assert!(matches!(queue.next(Instant::now()), Next::Closed));
    }

    #[test]
    fn whoever_prints_too_much_waits_until_it_has_gone_out() {
        let queue = Arc::new(Queue::new());
        let total = 2 * QUEUE_BYTES;
        let printer = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.push_text(&parent(), Stream::Stdout, &"x".repeat(total))
        });
        let mut received = 0;
        while received < total {
            assert!(queue.lock().bytes <= QUEUE_BYTES + BATCH_BYTES);
            let due = Instant::now() + BATCH_INTERVAL;
            received += sent(&queue, due).concat().len();
        }
        printer.join().unwrap();
        assert_eq!(received, total);
    }

    #[test]
    fn what_comes_after_the_end_is_counted() {
        let (queue, parent) = (Queue::new(), parent());
        queue.close();
        queue.push_text(&parent, Stream::Stdout, "late");
        assert_eq!(parent.lost(), 4);
    }
}
