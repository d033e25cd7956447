//! The messaging layer under a toy language, with the `zeromq` crate as an independent peer.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, clippy::expect_used)] // a test may fail

mod client;
mod language;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use client::{Client, Kernel};
use serde_json::{Value, json};

fn states(messages: &[client::Message]) -> Vec<&str> {
    let state = |message: &client::Message| -> &'static str {
        match message.content["execution_state"].as_str() {
            Some("busy") => "busy",
            Some("idle") => "idle",
            _ => "",
        }
    };
    let name = |message: &client::Message| match message.msg_type.as_str() {
        "status" => state(message),
        "stream" => "stream",
        "execute_input" => "execute_input",
        "display_data" => "display_data",
        "error" => "error",
        _ => "other",
    };
    messages.iter().map(name).collect()
}

#[tokio::test]
async fn a_cell_is_bracketed_and_its_output_comes_before_idle() {
    let kernel = Kernel::start("key");
    let mut client = Client::connect(&kernel).await;
    let id = client.execute("print a;error b;print c;show d").await;
    let messages = client.broadcasts(&id).await;
    let expected = ["busy", "execute_input", "stream", "stream", "stream", "display_data", "idle"];
    assert_eq!(states(&messages), expected);
    assert_eq!(messages[3].content, json!({"name": "stderr", "text": "b\n"}));
    let reply = client.reply(&id).await;
    assert_eq!(reply.msg_type, "execute_reply");
    assert_eq!(reply.content["status"], "ok");
    assert_eq!(reply.content["execution_count"], 1);
}

#[tokio::test]
async fn the_header_comes_back_unchanged_even_where_we_do_not_know_it() {
    let kernel = Kernel::start("");
    let mut client = Client::connect(&kernel).await;
    let id = client.execute("cell").await;
    let reply = client.reply(&id).await;
    assert_eq!(reply.parent["extra"], json!({"unknown": [1.5, "ü"]}));
    let messages = client.broadcasts(&id).await;
    assert_eq!(messages[2].content["text"], "cell-7\n");
}

#[tokio::test]
async fn short_requests_are_answered_while_a_cell_runs() {
    let kernel = Kernel::start("key");
    let mut client = Client::connect(&kernel).await;
    let cell = client.execute("wait").await;
    for (msg_type, content) in [
        ("kernel_info_request", json!({})),
        ("complete_request", json!({"code": "é", "cursor_pos": 9})),
        ("history_request", json!({"hist_access_type": "tail", "n": 1})),
    ] {
        let id = client.request(msg_type, content).await;
        let reply = client.reply(&id).await;
        assert_eq!(reply.content["status"], "ok", "{msg_type}");
        if msg_type == "complete_request" {
            assert_eq!(reply.content["cursor_end"], 1, "cursor past the end");
        }
    }
    let interrupt = client.control("interrupt_request", json!({})).await;
    assert_eq!(client.control_reply(&interrupt).await.content["status"], "ok");
    assert_eq!(client.reply(&cell).await.content["status"], "ok");
}

#[tokio::test]
async fn a_failing_cell_aborts_those_queued_behind_it() {
    let kernel = Kernel::start("key");
    let mut client = Client::connect(&kernel).await;
    let mut ids = Vec::new();
    for code in ["wait", "fail", "print x", "print y"] {
        ids.push(client.execute(code).await);
    }
    let last = client.control("kernel_info_request", json!({})).await;
    client.control_reply(&last).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.control("interrupt_request", json!({})).await;
    let mut outcomes = Vec::new();
    for id in &ids {
        outcomes.push(client.reply(id).await.content["status"].clone());
    }
    assert_eq!(outcomes, ["ok", "error", "aborted", "aborted"]);
    assert_eq!(states(&client.broadcasts(&ids[2]).await), ["busy", "idle"]);
    let id = client.execute("print z").await;
    assert_eq!(client.reply(&id).await.content["execution_count"], 3);
}

/// The abort concerns what was queued when the cell failed, not what is sent once that is known.
#[tokio::test]
async fn a_cell_sent_after_the_error_was_seen_runs() {
    let kernel = Kernel::start("key");
    let mut client = Client::connect(&kernel).await;
    for _ in 0..200 {
        let failing = client.execute("fail").await;
        assert_eq!(client.reply(&failing).await.content["status"], "error");
        let next = client.execute("print x").await;
        assert_eq!(client.reply(&next).await.content["status"], "ok");
    }
}

#[tokio::test]
async fn a_panic_is_an_error_and_malformed_requests_are_told_so() {
    let kernel = Kernel::start("key");
    let mut client = Client::connect(&kernel).await;
    let id = client.execute("panic").await;
    assert_eq!(client.reply(&id).await.content["ename"], "InternalError");
    for (msg_type, content) in [
        ("complete_request", json!({})),
        ("inspect_request", json!([])),
        ("execute_request", json!({"code": 1})),
        ("history_request", Value::Null),
    ] {
        let id = client.request(msg_type, content).await;
        let reply = client.reply(&id).await;
        assert_eq!(reply.content["ename"], "BadRequest", "{msg_type}");
    }
}

#[tokio::test]
async fn forged_and_replayed_messages_are_ignored() {
    let kernel = Kernel::start("key");
    let mut client = Client::connect(&kernel).await;
    let genuine = client.key.clone();
    client.key = "other".to_owned();
    client.execute("print forged").await;
    client.key = genuine;
    let id = client.execute("print genuine").await;
    assert_eq!(client.reply(&id).await.content["execution_count"], 1);
    client.repeat_last().await;
    let id = client.execute("print genuine").await;
    assert_eq!(client.reply(&id).await.content["execution_count"], 2);
}

#[tokio::test]
async fn a_burst_arrives_complete() {
    let kernel = Kernel::start("key");
    let mut client = Client::connect(&kernel).await;
    let id = client.execute("burst 200000").await;
    let text = client::text(&client.broadcasts(&id).await);
    assert_eq!(text.lines().count(), 200_000);
    assert!(text.lines().enumerate().all(|(n, line)| line == format!("line {n}")));
}

/// A subscriber that never reads must not cost anybody else anything but a few seconds, and is
/// told what it missed.
#[tokio::test]
async fn a_stuck_subscriber_loses_output_and_no_status_and_nobody_else_loses_anything() {
    let kernel = Kernel::start("");
    let mut stuck = subscribe(&kernel.path(2));
    let mut client = Client::connect(&kernel).await;
    let started = Instant::now();
    let id = client.execute("burst 3000000").await;
    let text = client::text(&client.broadcasts(&id).await);
    assert_eq!(text.lines().count(), 3_000_000);
    assert!(!text.contains("dropped"));
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(client.reply(&id).await.content["status"], "ok");
    // Now it reads after all.
    stuck.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut all = Vec::new();
    let _ = stuck.read_to_end(&mut all);
    let all = String::from_utf8_lossy(&all);
    assert!(all.contains("bytes of output were dropped"));
    assert!(all.matches(r#"{"execution_state":"idle"}"#).count() >= 1);
    assert!(all.len() < text.len());
}

#[tokio::test]
async fn announced_lengths_and_garbage_leave_the_kernel_alive() {
    let kernel = Kernel::start("key");
    let mut seed: u64 = 1;
    for socket in 1..=5 {
        for attempt in 0..40 {
            let mut stream = UnixStream::connect(kernel.path(socket)).unwrap();
            let mut bytes = Vec::new();
            if attempt % 4 > 0 {
                bytes.extend_from_slice(&greeting());
            }
            if attempt % 4 > 1 {
                let kind = if socket == 2 { "SUB" } else { "DEALER" };
                bytes.extend_from_slice(&ready(kind));
            }
            if attempt % 4 > 2 {
                bytes.extend_from_slice(&[2, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, attempt]);
            }
            for _ in 0..200 {
                // Knuth's multiplier: any bytes will do, the same ones each time.
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                bytes.push((seed >> 33) as u8);
            }
            let _ = stream.write_all(&bytes);
        }
    }
    let mut client = Client::connect(&kernel).await;
    let id = client.execute("print alive").await;
    assert_eq!(client.reply(&id).await.content["status"], "ok");
}

#[tokio::test]
async fn shutdown_is_answered_and_ends_the_kernel() {
    let mut kernel = Kernel::start("key");
    let mut client = Client::connect(&kernel).await;
    client.execute("wait").await;
    let id = client.control("shutdown_request", json!({"restart": true})).await;
    let reply = client.control_reply(&id).await;
    assert_eq!(reply.content, json!({"status": "ok", "restart": true}));
    let messages = client.broadcasts(&id).await;
    assert_eq!(states(&messages), ["busy", "other", "idle"]);
    assert_eq!(messages[1].msg_type, "shutdown_reply");
    kernel.join();
    assert!(!std::path::Path::new(&kernel.path(1)).exists());
}

#[tokio::test]
async fn a_new_subscriber_is_welcomed_and_starting_is_said_once() {
    let kernel = Kernel::start("");
    let mut client = Client::connect(&kernel).await;
    let id = client.execute("print a").await;
    client.broadcasts(&id).await;
    let unrelated = &client.unrelated;
    let starting = |message: &&client::Message| message.content["execution_state"] == "starting";
    assert_eq!(unrelated.iter().filter(starting).count(), 1);
    let welcome = unrelated.iter().find(|message| message.msg_type == "iopub_welcome");
    assert_eq!(welcome.unwrap().content, json!({"subscription": ""}));
}

fn greeting() -> Vec<u8> {
    let mut greeting = vec![0; 64];
    greeting[0] = 0xff;
    greeting[9..12].copy_from_slice(&[0x7f, 3, 1]);
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

fn ready(kind: &str) -> Vec<u8> {
    let mut body = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
    body.push(kind.len() as u8);
    body.extend_from_slice(kind.as_bytes());
    [&[4, body.len() as u8], body.as_slice()].concat()
}

/// A subscriber that has subscribed to everything and then does nothing.
fn subscribe(path: &str) -> UnixStream {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(&greeting()).unwrap();
    stream.write_all(&ready("SUB")).unwrap();
    stream.write_all(&[0, 1, 1]).unwrap();
    stream
}
