//! Where a trace's output goes: the terminal implements this once, Jupyter another time.

use std::fmt;

use probebook_compiler::plan::Origin;
use probebook_compiler::syntax::ast::Span;

use crate::value::{MapSnapshot, Value};

/// What made the text; bpftrace's JSON tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextSource {
    Printf,
    Time,
    Join,
    Cat,
    /// Output of a `system()` command.
    System,
    /// Output of the `-c` command, if it was asked for.
    Child,
}

/// How bad a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// `warnf`, a helper call that failed, something that was lost.
    Warning,
    /// `errorf`, an action that failed.
    Error,
}

/// A map that is to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct MapPrint {
    pub snapshot: MapSnapshot,
    /// Only so many of the largest; 0 is all.
    pub top: u32,
    /// Divide the values by this; 0 and 1 mean the same.
    pub div: u32,
    /// Which `print` it is; none for maps that are shown at the end.
    pub site: Option<usize>,
}

/// Something did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossReport {
    pub kind: LossKind,
    /// Since the last report.
    pub new: u64,
    /// Since the trace was started.
    pub total: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LossKind {
    /// The ring buffer was full: printed output is incomplete.
    Events,
    /// New keys found the map (without `@`) full.
    MapFull { map: String },
    /// The kernel had no memory ready for new keys of the map (without `@`), which grows on demand; with
    /// up to `ready` keys it would not have to.
    NoMemory { map: String, ready: u64 },
    /// Stacks could not be stored.
    Stacks { user: bool },
    /// Stacks of `dw_ustack` had to make room for others: keys that stand for them have no frames any more.
    ForgottenStacks,
    /// Packets for `skboutput` found their buffer full: a file is incomplete.
    Packets,
    /// The kernel skipped the probe because a program ran already on that CPU.
    Missed { probe: String },
}

/// What went wrong in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeError<'a> {
    /// Empty if the helper's error number says all.
    pub message: &'a str,
    /// The kernel's helper function that failed, and what it returned.
    pub helper: Option<(&'a str, i64)>,
}

impl RuntimeError<'_> {
    /// The helper's error number in words.
    pub fn cause(&self) -> String {
        let code = self.helper.map_or(0, |(_, code)| i32::try_from(code).unwrap_or(0).saturating_neg());
        crate::text::reason(&std::io::Error::from_raw_os_error(code))
    }
}

/// As bpftrace words it.
impl fmt::Display for RuntimeError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message {
            "" => f.write_str(&self.cause())?,
            message => f.write_str(message)?,
        }
        match self.helper {
            Some((helper, code)) => write!(f, "\nAdditional Info - helper: {helper}, retcode: {code}"),
            None => Ok(()),
        }
    }
}

/// Receives what a trace says, in the order in which it was said.
///
/// Text from the traced system is data: no implementation may take it for markup or for terminal
/// control. Text is given as bytes because `printf` can be told to print what is not UTF-8.
pub trait Sink {
    /// Text that goes to standard output as it is (a newline is in it if there is to be one).
    fn text(&mut self, source: TextSource, text: &[u8]);

    /// A message for standard error; `place` is where in the script it came from.
    fn message(&mut self, severity: Severity, text: &str, place: Option<Span>);

    /// `print(value)`
    fn value(&mut self, value: Value);

    /// `print(@map[key])`; `map` is without `@`.
    fn map_value(&mut self, map: &str, key: Value, value: Value);

    /// `print(@map)`, and the maps shown at the end.
    fn map(&mut self, print: MapPrint);

    /// Something was lost since the last call; said when it is noticed and at the end.
    fn loss(&mut self, report: LossReport);

    /// Something went wrong in a program while it ran.
    fn runtime_error(&mut self, error: &RuntimeError<'_>, origin: &Origin) {
        self.message(Severity::Warning, &error.to_string(), Some(origin.span));
        self.expanded_from(Severity::Warning, &origin.calls);
    }

    /// The calls of macros that the last message comes from, the innermost first.
    fn expanded_from(&mut self, severity: Severity, calls: &[Span]) {
        for call in calls {
            self.message(severity, "expanded from", Some(*call));
        }
    }
}
