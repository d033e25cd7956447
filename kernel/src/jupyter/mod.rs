//! The Jupyter messaging protocol, version 5.5, for any [`Interpreter`].
//!
//! Nothing in here knows the language. Threads: one tokio thread moves bytes between sockets and
//! queues ([`zmtp`], [`iopub`]); `shell` and `control` answer short requests; `executor` runs
//! cells. So everything but the next cell is answered at once while a cell runs.
//!
//! <https://jupyter-client.readthedocs.io/en/stable/messaging.html>

mod connection;
mod history;
mod interpreter;
mod iopub;
mod kernel;
mod output;
mod requests;
mod serve;
mod wire;
mod zmtp;

pub use connection::Channel;
pub use interpreter::{
    Completeness, Completion, CompletionMatch, ErrorReport, ExecuteOutcome, ExecuteRequest, HelpLink, Interpreter,
    KernelInfo, LanguageInfo, MimeBundle,
};
pub use output::Output;
pub use serve::{ServeError, serve};
