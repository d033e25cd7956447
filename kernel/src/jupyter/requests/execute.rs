//! `execute_request`: cells, one after the other on a thread of their own.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::parse;
use crate::jupyter::interpreter::{ErrorReport, ExecuteOutcome, ExecuteRequest};
use crate::jupyter::kernel::{Kernel, error_content, guarded};
use crate::jupyter::output::Output;
use crate::jupyter::wire::{Request, timestamp};

/// The executor: takes cells in the order they came.
pub struct Executor {
    kernel: Arc<Kernel>,
    requests: mpsc::Receiver<Request>,
}

/// The content of an `execute_request`, with the protocol's defaults for what is missing.
#[derive(Deserialize)]
struct Content {
    code: String,
    #[serde(default)]
    silent: bool,
    #[serde(default = "yes")]
    store_history: bool,
    #[serde(default)]
    user_expressions: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    allow_stdin: bool,
    #[serde(default = "yes")]
    stop_on_error: bool,
}

fn yes() -> bool {
    true
}

impl Executor {
    /// An executor and the way to it.
    pub fn new(kernel: Arc<Kernel>) -> (mpsc::Sender<Request>, Self) {
        let (sender, requests) = mpsc::channel();
        (sender, Self { kernel, requests })
    }

    /// Executes until nobody can send requests any more.
    pub fn run(self) {
        while let Ok(request) = self.requests.recv() {
            let kernel = &self.kernel;
            let aborted = kernel.bracket(&request, || self.attend(&request));
            for queued in aborted {
                kernel.bracket(&queued, || abort(kernel, &queued));
            }
        }
    }

    /// Executes and answers. Gives back the cells that must not run, for this one has failed.
    fn attend(&self, request: &Request) -> Vec<Request> {
        let kernel = &*self.kernel;
        let (started, begun) = (timestamp(), Instant::now());
        let content = match parse::<Content>(&request.content) {
            Ok(content) => content,
            Err(report) => {
                kernel.reply(request, "execute_reply", &error_content(&report));
                return Vec::new();
            }
        };
        let count = announce(kernel, request, &content);
        let outcome = execute(kernel, request, &content, count);
        let stop = content.stop_on_error && matches!(outcome, ExecuteOutcome::Error(_));
        let reply = reply_content(kernel, &content, count, outcome);
        // Those that are queued by now were sent in the belief that this cell would succeed. Once
        // the reply is out, the client may send others, knowing that it did not.
        let aborted = if stop { self.queued_until(begun + GRACE) } else { Vec::new() };
        // JupyterLab shows how long a cell took from this.
        let metadata = json!({ "started": started, "status": reply.get("status") });
        kernel.reply_with(request, "execute_reply", &reply, &metadata);
        aborted
    }

    /// What is queued, and what comes until then.
    fn queued_until(&self, deadline: Instant) -> Vec<Request> {
        let next = || self.requests.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok();
        std::iter::from_fn(next).chain(self.requests.try_iter()).collect()
    }
}

/// For so long after a cell has begun, those that come are taken to have been sent together with it: frontends send
/// all cells of a notebook one after another, by way of a server, and a mistake is found faster than that.
const GRACE: Duration = Duration::from_millis(30);

/// Counts and records the cell and shows it to all clients, unless told not to.
fn announce(kernel: &Kernel, request: &Request, content: &Content) -> u32 {
    let stores = content.store_history && !content.silent;
    let count = match stores {
        true => kernel.count_execution(),
        false => kernel.execution_count(),
    };
    if !content.silent {
        let input = json!({ "code": content.code, "execution_count": count });
        kernel.broadcast(&request.parent, "execute_input", &input);
    }
    if stores {
        kernel.history().push(count, &content.code);
    }
    count
}

fn execute(kernel: &Kernel, request: &Request, content: &Content, count: u32) -> ExecuteOutcome {
    let cell_id = request.metadata.get("cellId").and_then(Value::as_str);
    let execute = ExecuteRequest {
        code: content.code.clone(),
        silent: content.silent,
        store_history: content.store_history && !content.silent,
        allow_stdin: content.allow_stdin,
        execution_count: count,
        cell_id: cell_id.map(str::to_owned),
        metadata: request.metadata.clone(),
    };
    let parent = Arc::clone(&request.parent);
    let output = Output::new(Arc::clone(&kernel.queue), parent, content.silent);
    let outcome = guarded(|| kernel.interpreter.execute(&execute, &output));
    let outcome = outcome.unwrap_or_else(ExecuteOutcome::Error);
    if let ExecuteOutcome::Error(report) = &outcome {
        output.error(report);
    }
    outcome
}

fn reply_content(kernel: &Kernel, content: &Content, count: u32, outcome: ExecuteOutcome) -> Value {
    match outcome {
        ExecuteOutcome::Ok { payload } => json!({
            "status": "ok",
            "execution_count": count,
            "payload": payload,
            "user_expressions": evaluate(kernel, content),
        }),
        ExecuteOutcome::Error(report) => {
            let mut reply = error_content(&report);
            if let Some(fields) = reply.as_object_mut() {
                fields.insert("execution_count".to_owned(), json!(count));
                fields.insert("payload".to_owned(), json!([]));
                fields.insert("user_expressions".to_owned(), json!({}));
            }
            reply
        }
        ExecuteOutcome::Aborted => json!({ "status": "aborted", "execution_count": count }),
    }
}

fn evaluate(kernel: &Kernel, content: &Content) -> Value {
    let mut results = Map::new();
    for (name, expression) in content.user_expressions.iter().flatten() {
        let expression = match expression {
            Value::String(expression) => expression.clone(),
            other => other.to_string(),
        };
        let result = guarded(|| kernel.interpreter.evaluate(&expression));
        let result: Result<_, ErrorReport> = result.and_then(|result| result);
        let result = match result {
            Ok(bundle) => json!({
                "status": "ok",
                "data": bundle.data,
                "metadata": bundle.metadata,
            }),
            Err(report) => error_content(&report),
        };
        results.insert(name.clone(), result);
    }
    Value::Object(results)
}

fn abort(kernel: &Kernel, request: &Request) {
    let content = json!({
        "status": "aborted",
        "execution_count": kernel.execution_count(),
    });
    let metadata = json!({ "started": timestamp(), "status": "aborted" });
    kernel.reply_with(request, "execute_reply", &content, &metadata);
}
