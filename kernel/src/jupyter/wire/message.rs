//! One message: identities, delimiter, signature, header, parent header, metadata, content.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::signature::SignatureError;
use super::{Parent, Session, Signer};
use crate::jupyter::zmtp::Peer;

const DELIMITER: &[u8] = b"<IDS|MSG>";

/// Why a message is ignored.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No delimiter, or too few frames after it.
    #[error("not a Jupyter message")]
    Frames,
    /// Not signed with our key.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A header that is no JSON object or lacks an id or a type.
    #[error("malformed header")]
    Header,
}

/// A message from a client, signature checked.
pub struct Request {
    /// Whom to answer, and under which name.
    peer: Peer,
    identities: Vec<Bytes>,
    /// The message type.
    pub msg_type: String,
    /// What all answers carry.
    pub parent: Arc<Parent>,
    /// The metadata, empty if malformed.
    pub metadata: Map<String, Value>,
    /// The content, null if malformed.
    pub content: Value,
}

impl Request {
    /// Takes a received message apart. Buffers, which only comms have, are left out.
    ///
    /// # Errors
    /// If it is not a Jupyter message, or not from a holder of the key. Malformed metadata or
    /// content is no error here: its sender is known, and is told.
    pub fn decode(peer: Peer, mut frames: Vec<Bytes>, signer: &Signer) -> Result<Self, WireError> {
        let at = frames.iter().position(|frame| frame == DELIMITER);
        let at = at.ok_or(WireError::Frames)?;
        let body = frames.split_off(at);
        let [_, signature, signed @ ..] = body.as_slice() else {
            return Err(WireError::Frames);
        };
        let signed = signed.get(..4).ok_or(WireError::Frames)?;
        let [header, _, metadata, content] = signed else {
            return Err(WireError::Frames);
        };
        signer.verify(signature, signed)?;
        Ok(Self {
            peer,
            identities: frames,
            msg_type: message_type(header)?,
            parent: Arc::new(Parent::new(header.clone())),
            metadata: serde_json::from_slice(metadata).unwrap_or_default(),
            content: serde_json::from_slice(content).unwrap_or_default(),
        })
    }

    /// Sends an answer to the requester.
    pub fn reply(&self, session: &Session, signer: &Signer, msg_type: &str, reply: Reply<'_>) {
        let header = session.header(msg_type);
        let metadata = serde_json::to_vec(reply.metadata).unwrap_or_else(|_| b"{}".to_vec());
        let content = serde_json::to_vec(reply.content).unwrap_or_else(|_| b"{}".to_vec());
        let signed: [&[u8]; 4] = [&header, &self.parent.header, &metadata, &content];
        let mut frames: Vec<&[u8]> = self.identities.iter().map(AsRef::as_ref).collect();
        let signature = signer.sign(&signed);
        frames.extend([DELIMITER, signature.as_bytes()]);
        frames.extend(signed);
        self.peer.send(&frames);
    }
}

/// The parts of an answer that are its own.
#[derive(Clone, Copy)]
pub struct Reply<'a> {
    /// A JSON object.
    pub content: &'a Value,
    /// A JSON object.
    pub metadata: &'a Value,
}

fn message_type(header: &[u8]) -> Result<String, WireError> {
    let header: Map<String, Value> = serde_json::from_slice(header).map_err(|_| WireError::Header)?;
    match (header.get("msg_id"), header.get("msg_type")) {
        (Some(Value::String(_)), Some(Value::String(msg_type))) => Ok(msg_type.clone()),
        _ => Err(WireError::Header),
    }
}

/// The frames of a broadcast: the topic, then the message.
pub fn broadcast_frames(
    session: &Session,
    signer: &Signer,
    msg_type: &str,
    parent: &Parent,
    content: &[u8],
) -> [Vec<u8>; 7] {
    let header = session.header(msg_type);
    let signature = signer.sign(&[&header, &parent.header[..], b"{}", content]);
    [
        msg_type.as_bytes().to_vec(),
        DELIMITER.to_vec(),
        signature.into_bytes(),
        header,
        parent.header.to_vec(),
        b"{}".to_vec(),
        content.to_vec(),
    ]
}
