//! What a language has to provide to be a Jupyter kernel.

use serde_json::{Map, Value};

use super::output::Output;

pub use jupyter_protocol::{HelpLink, LanguageInfo};

/// A language behind the protocol. Methods are called from the protocol's own threads: `execute`,
/// `evaluate` from one thread in the order of the requests; the others from other threads, also
/// while `execute` runs. A panic in any of them becomes an error reply.
pub trait Interpreter: Send + Sync + 'static {
    /// What the kernel says about itself. Asked often: answer at once.
    fn kernel_info(&self) -> KernelInfo;

    /// Runs a cell; may take minutes. What it prints goes through `output`.
    fn execute(&self, request: &ExecuteRequest, output: &Output) -> ExecuteOutcome;

    /// The stop button. Returns at once; the running `execute` then comes to its end. Also called
    /// when nothing runs.
    fn interrupt(&self);

    /// Whether a console should run this text or ask for more lines.
    fn is_complete(&self, code: &str) -> Completeness;

    /// Completions at `cursor`, counted in Unicode code points from the start of `code`, never
    /// past its end.
    fn complete(&self, code: &str, cursor: usize) -> Completion;

    /// What is known about the name at `cursor` (code points). `detail` is 0, or 1 for more.
    fn inspect(&self, code: &str, cursor: usize, detail: u8) -> Option<MimeBundle>;

    /// One of a request's `user_expressions`, evaluated after its cell succeeded.
    ///
    /// # Errors
    /// The report goes into the reply in the place of the value.
    fn evaluate(&self, expression: &str) -> Result<MimeBundle, ErrorReport>;

    /// The kernel is about to end. A running `execute` must end too. There is little time: after
    /// two seconds the process ends anyway.
    fn shutdown(&self, restart: bool);
}

/// The answer to "who are you": see `kernel_info_reply`.
#[derive(Debug, Clone)]
pub struct KernelInfo {
    /// The implementation's name.
    pub implementation: String,
    /// Its version.
    pub implementation_version: String,
    /// Shown by consoles when they start.
    pub banner: String,
    /// The language, its file extension, lexers and so on.
    pub language_info: LanguageInfo,
    /// Entries for the Help menu.
    pub help_links: Vec<HelpLink>,
}

/// A cell to run.
#[derive(Debug, Clone)]
pub struct ExecuteRequest {
    /// Its text.
    pub code: String,
    /// Nothing is to be shown; `output` discards what it gets.
    pub silent: bool,
    /// The cell counts and goes into the history. Never with `silent`.
    pub store_history: bool,
    /// Whether the client could answer questions. This kernel asks none.
    pub allow_stdin: bool,
    /// The n of `In [n]`. A cell that does not count carries the last cell's number.
    pub execution_count: u32,
    /// The notebook cell's id, the same each time this cell is run; consoles send none.
    pub cell_id: Option<String>,
    /// The request's metadata, unchanged.
    pub metadata: Map<String, Value>,
}

/// How a cell ended.
#[derive(Debug, Clone)]
pub enum ExecuteOutcome {
    /// It succeeded.
    Ok {
        /// Payloads for consoles (`page`, `set_next_input`); usually empty.
        payload: Vec<Value>,
    },
    /// It failed. The report is also broadcast, and queued cells are aborted.
    Error(ErrorReport),
    /// It was not run.
    Aborted,
}

impl ExecuteOutcome {
    /// Success without payload.
    pub fn ok() -> Self {
        Self::Ok { payload: Vec::new() }
    }
}

/// An error as Jupyter shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ErrorReport {
    /// The kind of error, one word.
    pub ename: String,
    /// The message.
    pub evalue: String,
    /// The lines shown; may hold ANSI colours.
    pub traceback: Vec<String>,
}

/// One thing in several representations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MimeBundle {
    /// MIME type to content: a string (base64 for binary types), or JSON for JSON types.
    pub data: Map<String, Value>,
    /// MIME type to metadata.
    pub metadata: Map<String, Value>,
}

impl MimeBundle {
    /// A bundle with plain text only.
    pub fn text(text: impl Into<String>) -> Self {
        Self::default().with("text/plain", Value::String(text.into()))
    }

    /// Adds a representation.
    #[must_use]
    pub fn with(mut self, mime_type: &str, content: impl Into<Value>) -> Self {
        self.data.insert(mime_type.to_owned(), content.into());
        self
    }
}

/// Whether a text is a whole script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completeness {
    /// Can be run.
    Complete,
    /// More lines are needed; the next could start with `indent`.
    Incomplete {
        /// White space.
        indent: String,
    },
    /// Will fail however it goes on.
    Invalid,
    /// Cannot be told.
    Unknown,
}

/// Candidates for the text from `cursor_start` to `cursor_end` (code points).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completion {
    /// The candidates, best first.
    pub matches: Vec<CompletionMatch>,
    /// Where the replaced text starts.
    pub cursor_start: usize,
    /// Where it ends.
    pub cursor_end: usize,
}

/// One candidate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompletionMatch {
    /// What replaces the text.
    pub text: String,
    /// What it is, for the icon: `function`, `keyword`, `instance` and the like.
    pub kind: Option<String>,
    /// For functions: `(a, b)`.
    pub signature: Option<String>,
}
