//! The handle through which a cell's output reaches the clients.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::interpreter::{ErrorReport, MimeBundle};
use super::iopub::{Item, Queue, Stream};
use super::wire::Parent;

/// Where a cell writes. Clones may be used from any thread but the runtime's, and after the cell
/// has ended: what they write still appears under it. Calls block while the clients cannot keep
/// up; order is kept.
#[derive(Clone)]
pub struct Output {
    queue: Arc<Queue>,
    parent: Arc<Parent>,
    silent: bool,
}

impl Output {
    /// The output of the request that `parent` stands for.
    pub(super) fn new(queue: Arc<Queue>, parent: Arc<Parent>, silent: bool) -> Self {
        Self { queue, parent, silent }
    }

    /// Prints text. Small pieces are joined into one message.
    pub fn stdout(&self, text: &str) {
        self.text(Stream::Stdout, text);
    }

    /// Prints a warning or the like.
    pub fn stderr(&self, text: &str) {
        self.text(Stream::Stderr, text);
    }

    /// Shows a bundle. With a display id it can be replaced later.
    pub fn display(&self, bundle: MimeBundle, display_id: Option<&str>) {
        let transient = match display_id {
            Some(id) => json!({ "display_id": id }),
            None => json!({}),
        };
        self.output("display_data", bundle_content(bundle, transient));
    }

    /// Replaces what [`Output::display`] showed under this display id, wherever it is.
    pub fn update_display(&self, bundle: MimeBundle, display_id: &str) {
        let transient = json!({ "display_id": display_id });
        self.output("update_display_data", bundle_content(bundle, transient));
    }

    /// Clears the cell's output: at once, or (`wait`) when the next output comes.
    pub fn clear_output(&self, wait: bool) {
        self.output("clear_output", json!({ "wait": wait }));
    }

    /// Shows an error. Not for the one that ends the cell: that one is the outcome of `execute`.
    /// Never dropped.
    pub fn error(&self, report: &ErrorReport) {
        if !self.silent {
            let content = json!({
                "ename": report.ename,
                "evalue": report.evalue,
                "traceback": report.traceback,
            });
            self.queue.push_now(message(&self.parent, "error", &content, false));
        }
    }

    /// Bytes of this cell's output that some client will never get, so far.
    pub fn lost(&self) -> u64 {
        self.parent.lost()
    }

    fn text(&self, stream: Stream, text: &str) {
        if !self.silent {
            self.queue.push_text(&self.parent, stream, text);
        }
    }

    fn output(&self, msg_type: &'static str, content: Value) {
        if !self.silent {
            self.queue.push_output(message(&self.parent, msg_type, &content, true));
        }
    }
}

fn message(parent: &Arc<Parent>, msg_type: &'static str, content: &Value, droppable: bool) -> Item {
    Item::Message {
        parent: Arc::clone(parent),
        msg_type,
        content: Bytes::from(content.to_string()),
        droppable,
        is_last: false,
    }
}

fn bundle_content(bundle: MimeBundle, transient: Value) -> Value {
    json!({ "data": bundle.data, "metadata": bundle.metadata, "transient": transient })
}
