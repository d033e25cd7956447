//! A Jupyter client on the `zeromq` crate, and a kernel in this process for it to talk to.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use zeromq::{DealerSocket, Socket, SocketRecv, SocketSend, SubSocket, ZmqMessage};

use super::language::Toy;

const PATIENCE: Duration = Duration::from_secs(30);

/// A kernel on Unix sockets in a directory of its own.
pub struct Kernel {
    directory: tempfile::TempDir,
    key: String,
    thread: Option<JoinHandle<()>>,
}

impl Kernel {
    pub fn start(key: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("kernel.json");
        let connection = json!({
            "transport": "ipc", "ip": directory.path().join("k"), "key": key,
            "signature_scheme": "hmac-sha256", "shell_port": 1, "iopub_port": 2, "stdin_port": 3,
            "control_port": 4, "hb_port": 5,
        });
        std::fs::write(&file, connection.to_string()).unwrap();
        let thread = std::thread::spawn(move || {
            probebook_kernel::jupyter::serve(&file, Arc::new(Toy::default())).unwrap();
        });
        let kernel = Self { directory, key: key.to_owned(), thread: Some(thread) };
        while !Path::new(&kernel.path(5)).exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        kernel
    }

    pub fn path(&self, port: u8) -> String {
        format!("{}/k-{port}", self.directory.path().display())
    }

    pub fn join(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

#[derive(Debug)]
pub struct Message {
    pub msg_type: String,
    pub parent: Value,
    pub content: Value,
}

pub struct Client {
    pub key: String,
    /// Broadcasts that answered no request of this client.
    pub unrelated: Vec<Message>,
    shell: DealerSocket,
    control: DealerSocket,
    iopub: SubSocket,
    waiting: Vec<Message>,
    replies: Vec<Message>,
    last: Option<ZmqMessage>,
    sent: u32,
}

impl Client {
    pub async fn connect(kernel: &Kernel) -> Self {
        let mut client = Self {
            key: kernel.key.clone(),
            unrelated: Vec::new(),
            shell: DealerSocket::new(),
            control: DealerSocket::new(),
            iopub: SubSocket::new(),
            waiting: Vec::new(),
            replies: Vec::new(),
            last: None,
            sent: 0,
        };
        client.iopub.connect(&format!("ipc://{}", kernel.path(2))).await.unwrap();
        client.iopub.subscribe("").await.unwrap();
        client.shell.connect(&format!("ipc://{}", kernel.path(1))).await.unwrap();
        client.control.connect(&format!("ipc://{}", kernel.path(4))).await.unwrap();
        // The welcome says that the subscription holds.
        loop {
            let message = client.broadcast().await;
            let welcome = message.msg_type == "iopub_welcome";
            client.unrelated.push(message);
            if welcome {
                return client;
            }
        }
    }

    pub async fn execute(&mut self, code: &str) -> String {
        self.request("execute_request", json!({"code": code})).await
    }

    pub async fn request(&mut self, msg_type: &str, content: Value) -> String {
        let (id, message) = self.message(msg_type, &content);
        self.last = Some(message.clone());
        self.shell.send(message).await.unwrap();
        id
    }

    pub async fn control(&mut self, msg_type: &str, content: Value) -> String {
        let (id, message) = self.message(msg_type, &content);
        self.control.send(message).await.unwrap();
        id
    }

    pub async fn repeat_last(&mut self) {
        self.shell.send(self.last.clone().unwrap()).await.unwrap();
    }

    pub async fn reply(&mut self, id: &str) -> Message {
        loop {
            let ours = |message: &Message| message.parent["msg_id"] == id;
            if let Some(at) = self.replies.iter().position(ours) {
                return self.replies.swap_remove(at);
            }
            let received = tokio::time::timeout(PATIENCE, self.shell.recv());
            let received = received.await.expect("a reply in time").unwrap();
            self.replies.push(self.open(received));
        }
    }

    pub async fn control_reply(&mut self, id: &str) -> Message {
        loop {
            let received = tokio::time::timeout(PATIENCE, self.control.recv());
            let received = received.await.expect("a reply in time").unwrap();
            let message = self.open(received);
            if message.parent["msg_id"] == id {
                return message;
            }
        }
    }

    /// All broadcasts of a request up to its idle, in order.
    pub async fn broadcasts(&mut self, id: &str) -> Vec<Message> {
        loop {
            let ours = |message: &Message| message.parent["msg_id"] == id;
            let idle = |message: &Message| message.content["execution_state"] == "idle";
            if self.waiting.iter().any(|message| ours(message) && idle(message)) {
                let (ours, others) = self.waiting.drain(..).partition(ours);
                self.waiting = others;
                return ours;
            }
            let message = self.broadcast().await;
            match message.parent["msg_id"].is_string() {
                true => self.waiting.push(message),
                false => self.unrelated.push(message),
            }
        }
    }

    async fn broadcast(&mut self) -> Message {
        let received = tokio::time::timeout(PATIENCE, self.iopub.recv());
        let received = received.await.expect("a broadcast in time").unwrap();
        self.open(received)
    }

    fn message(&mut self, msg_type: &str, content: &Value) -> (String, ZmqMessage) {
        self.sent += 1;
        let id = format!("m{}", self.sent);
        let header = json!({
            "msg_id": id, "msg_type": msg_type, "session": "s", "username": "u",
            "date": "2026-01-01T00:00:00Z", "version": "5.5", "extra": {"unknown": [1.5, "ü"]},
        });
        let metadata = json!({"cellId": "cell-7"});
        let signed = [header, json!({}), metadata, content.clone()].map(|part| part.to_string());
        let mut frames = vec![Bytes::from("<IDS|MSG>"), Bytes::from(self.sign(&signed))];
        frames.extend(signed.map(Bytes::from));
        (id, ZmqMessage::try_from(frames).unwrap())
    }

    /// Takes a message apart and checks its signature.
    fn open(&self, message: ZmqMessage) -> Message {
        let frames = message.into_vec();
        let at = frames.iter().position(|frame| frame == "<IDS|MSG>".as_bytes());
        let [signature, signed @ ..] = &frames[at.unwrap() + 1..] else {
            panic!("too few frames");
        };
        assert_eq!(signed.len(), 4);
        let texts: Vec<&str> = signed.iter().map(|part| std::str::from_utf8(part).unwrap()).collect();
        assert_eq!(signature, self.sign(&texts).as_bytes());
        let parse = |at: usize| serde_json::from_str::<Value>(texts[at]).unwrap();
        Message { msg_type: parse(0)["msg_type"].as_str().unwrap().to_owned(), parent: parse(1), content: parse(3) }
    }

    fn sign(&self, parts: &[impl AsRef<str>]) -> String {
        if self.key.is_empty() {
            return String::new();
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes()).unwrap();
        for part in parts {
            mac.update(part.as_ref().as_bytes());
        }
        let digest = mac.finalize().into_bytes();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The text of all streams.
pub fn text(messages: &[Message]) -> String {
    let streams = messages.iter().filter(|message| message.msg_type == "stream");
    streams.map(|message| message.content["text"].as_str().unwrap()).collect()
}
