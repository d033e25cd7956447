//! What waits to be broadcast.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;

use crate::jupyter::wire::Parent;
use crate::jupyter::zmtp::Subscriber;

/// Which of the two text streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// What the script prints.
    Stdout,
    /// Warnings and errors on the way.
    Stderr,
}

/// One entry of the queue.
pub enum Item {
    /// Stream text that may still grow.
    Text {
        /// The request it belongs to.
        parent: Arc<Parent>,
        /// Its stream.
        stream: Stream,
        /// What has been printed.
        text: String,
        /// When the first of it came.
        since: Instant,
    },
    /// Any other message.
    Message {
        /// The request it belongs to.
        parent: Arc<Parent>,
        /// Its type.
        msg_type: &'static str,
        /// Its content, JSON.
        content: Bytes,
        /// Output may be dropped when a client is stuck; statuses, errors and the like never.
        droppable: bool,
        /// This is the last message of its request, barring background output.
        is_last: bool,
    },
    /// A greeting for a new subscriber alone.
    Welcome {
        /// Who has subscribed.
        subscriber: Arc<Subscriber>,
        /// To what.
        topic: Bytes,
    },
}

impl Item {
    /// Bytes that count against the queue's bound.
    pub fn size(&self) -> usize {
        match self {
            Self::Text { text, .. } => text.len(),
            Self::Message { content, .. } => content.len(),
            Self::Welcome { topic, .. } => topic.len(),
        }
    }
}
