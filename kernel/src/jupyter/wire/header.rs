//! Headers: the request's, which every answer to it carries, and those of our own messages.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::Serialize;

use super::PROTOCOL_VERSION;

/// The request that a message answers: its header exactly as it came, so that nothing a client
/// put there is lost on the way back. Compared by address: one request, one parent.
#[derive(Debug)]
pub struct Parent {
    /// The request's header, JSON.
    pub header: Bytes,
    /// Output bytes that did not reach some client.
    lost: AtomicU64,
}

impl Parent {
    /// The parent of the answers to a request with this header (a JSON object).
    pub fn new(header: Bytes) -> Self {
        Self { header, lost: AtomicU64::new(0) }
    }

    /// The parent of messages that answer nothing.
    pub fn none() -> Self {
        Self::new(Bytes::from_static(b"{}"))
    }

    /// Counts output bytes as lost.
    pub fn add_lost(&self, bytes: u64) {
        self.lost.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Output bytes lost so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// This process as a sender of messages.
pub struct Session {
    id: String,
    username: String,
    sent: AtomicU64,
}

#[derive(Serialize)]
struct Header<'a> {
    msg_id: &'a str,
    session: &'a str,
    username: &'a str,
    date: &'a str,
    msg_type: &'a str,
    version: &'a str,
}

impl Session {
    /// A session with a fresh id.
    pub fn new() -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            username: std::env::var("USER").unwrap_or_else(|_| "kernel".to_owned()),
            sent: AtomicU64::new(0),
        }
    }

    /// The JSON header of the next message.
    pub fn header(&self, msg_type: &str) -> Vec<u8> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let header = Header {
            msg_id: &format!("{}_{}_{number}", self.id, std::process::id()),
            session: &self.id,
            username: &self.username,
            date: &timestamp(),
            msg_type,
            version: PROTOCOL_VERSION,
        };
        // Strings only: this cannot fail.
        serde_json::to_vec(&header).unwrap_or_default()
    }
}

/// Now, as Jupyter writes times: ISO 8601, UTC, microseconds (clients parse no more digits).
pub fn timestamp() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_complete_and_ids_are_unique() {
        let session = Session::new();
        let parse = |json: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&json).unwrap();
        let first = parse(session.header("status"));
        let second = parse(session.header("status"));
        assert_eq!(first["msg_type"], "status");
        assert_eq!(first["version"], "5.5");
        assert_eq!(first["session"], second["session"]);
        assert_ne!(first["msg_id"], second["msg_id"]);
    }

    #[test]
    fn times_have_six_digits() {
        let now = timestamp();
        assert_eq!(now.len(), "2026-01-02T03:04:05.123456Z".len());
        assert!(now.ends_with('Z'));
    }
}
