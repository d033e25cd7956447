//! The standard library's registry: every builtin and function, each declared once.
//!
//! The checker, the lowering, completion, inspection and the generated table all read it. An entry
//! is declared in the file of its group, with its type rule and lowering beside it.

mod aggregates;
mod cgroups;
mod clock;
mod control;
mod debug;
mod kernel_functions;
mod maps;
mod names;
mod network;
mod options;
mod output;
mod packets;
mod pointers;
mod probe;
mod process;
mod queries;
mod search;
mod seq_file;
mod settings;
mod signals;
mod strings;
mod symbols;
mod task;
mod type_operators;
mod unwinding;

pub use clock::now;
pub use process::current_id;
pub use settings::setting;
pub use strings::text_from;

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::semantics::lower::aggregates::Update;
use crate::semantics::lower::{Lowered, Lowerer, Operand};
use crate::syntax::ast::{Span, TypeOrExpr};

/// When the value or effect of a call comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the probe.
    Synchronous,
    /// In user space, some time after the probe has fired.
    Asynchronous,
    /// Before the program is loaded.
    CompileTime,
}

/// A builtin or function of the language.
pub struct Entry {
    pub name: &'static str,
    /// As the documentation writes them: `void printf(const string fmt, args...)`.
    pub signatures: &'static [&'static str],
    /// One or more sentences in Markdown.
    pub documentation: &'static str,
    pub example: &'static str,
    pub mode: Mode,
    /// Refused without `--unsafe`.
    pub is_unsafe: bool,
    /// The probe types it works in; empty for all.
    pub probes: &'static [&'static str],
    /// The kernel it needs, if that is newer than 5.8.
    pub kernel: Option<&'static str>,
    /// The least number of arguments, and the most (`None`: any number).
    pub arguments: (usize, Option<usize>),
    pub lower: Lower,
}

/// How a call is checked and lowered.
#[derive(Clone, Copy)]
pub enum Lower {
    Value(fn(&mut Lowerer, &CallSite) -> Lowered<Operand>),
    /// A map value function.
    Aggregate(fn(&mut Lowerer, &CallSite) -> Lowered<Update>),
    /// Never called: the grammar knows it by its name.
    Grammar,
}

impl Entry {
    /// What most entries have in common.
    const BASE: Entry = Entry {
        name: "",
        signatures: &[],
        documentation: "",
        example: "",
        mode: Mode::Synchronous,
        is_unsafe: false,
        probes: &[],
        kernel: None,
        arguments: (0, Some(0)),
        lower: Lower::Grammar,
    };

    /// Whether it is assigned to a map.
    pub fn is_aggregate(&self) -> bool {
        matches!(self.lower, Lower::Aggregate(_))
    }
}

/// A call as it stands in the script.
pub struct CallSite<'a> {
    pub name: &'a str,
    pub name_span: Span,
    pub span: Span,
    pub arguments: &'a [TypeOrExpr],
    /// The value is not used.
    pub statement: bool,
}

const GROUPS: &[&[Entry]] = &[
    process::ENTRIES,
    task::ENTRIES,
    cgroups::ENTRIES,
    clock::ENTRIES,
    probe::ENTRIES,
    output::ENTRIES,
    control::ENTRIES,
    debug::ENTRIES,
    settings::ENTRIES,
    options::ENTRIES,
    maps::ENTRIES,
    aggregates::ENTRIES,
    strings::ENTRIES,
    search::ENTRIES,
    names::ENTRIES,
    network::ENTRIES,
    queries::ENTRIES,
    type_operators::ENTRIES,
    kernel_functions::ENTRIES,
    signals::ENTRIES,
    symbols::ENTRIES,
    unwinding::ENTRIES,
    pointers::ENTRIES,
    packets::ENTRIES,
];

/// Every entry, grouped as the files are.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    GROUPS.iter().flat_map(|group| group.iter())
}

/// The entry of a name; `arg0`, `arg1` … are all `argN`. `__builtin_comm` is `comm` even where a
/// macro of that name hides it.
pub fn find(name: &str) -> Option<&'static Entry> {
    static INDEX: OnceLock<HashMap<&'static str, &'static Entry>> = OnceLock::new();
    let index = INDEX.get_or_init(|| entries().map(|entry| (entry.name, entry)).collect());
    let name = name.strip_prefix("__builtin_").filter(|name| !name.starts_with("arg")).unwrap_or(name);
    let name = match name.strip_prefix("arg") {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => "argN",
        _ => name,
    };
    index.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_declared_once_and_documented() {
        let mut seen = std::collections::HashSet::new();
        for entry in entries() {
            assert!(seen.insert(entry.name), "{} is declared twice", entry.name);
            assert!(!entry.signatures.is_empty(), "{} has no signature", entry.name);
            assert!(entry.documentation.ends_with('.'), "{} is not documented", entry.name);
        }
    }

    #[test]
    fn numbered_arguments_share_an_entry() {
        assert_eq!(find("arg12").map(|entry| entry.name), Some("argN"));
        assert!(find("args").is_some_and(|entry| entry.name == "args"));
        assert!(find("argx").is_none());
        assert_eq!(find("__builtin_comm").map(|entry| entry.name), Some("comm"));
    }
}
