//! Completion: probe types and probes outside of actions; functions, maps and arguments inside.

use probebook_compiler::kernel_info::{KERNEL, KernelInfo};
use probebook_compiler::plan::MapPlan;
use probebook_compiler::semantics::probes;
use probebook_compiler::stdlib;
use probebook_compiler::syntax::{self, Place};

use super::magics::MAGICS;
use super::{magics, probe_list, tables, words};

/// What fits at a place, and what it replaces (code points).
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// Text and kind.
    pub matches: Vec<(String, &'static str)>,
    pub start: usize,
    pub end: usize,
}

const KEYWORDS: &[&str] = &["break", "continue", "else", "for", "if", "let", "return", "unroll", "while"];

/// More probes than anybody reads.
const MOST_PROBES: usize = 200;

/// Completions at `cursor`.
pub fn at(code: &[char], cursor: usize, maps: &[MapPlan], info: &dyn KernelInfo) -> Found {
    let cursor = cursor.min(code.len());
    let (start, _) = words::around(code, cursor);
    let word: String = code.get(start..cursor).unwrap_or_default().iter().collect();
    if word.starts_with('%') {
        return starting(MAGICS.iter().map(|(magic, ..)| (magic.to_string(), "magic")), &word, start, cursor);
    }
    if word.starts_with('@') {
        let names = tables::user_maps(maps).map(|name| (format!("@{name}"), "map"));
        return starting(names, &word, start, cursor);
    }
    let script = magics::script_before(code, cursor);
    match (syntax::place(&script, script.len()), words::owner(code, start)) {
        (Place::Outside, _) => probe(code, cursor, info),
        (Place::Code { header, .. }, Some(owner)) if owner == "args" => {
            let arguments = probes::arguments(header, info);
            let fields = arguments.iter().flat_map(|arguments| &arguments.fields);
            starting(fields.map(|field| (field.name.clone(), "field")), &word, start, cursor)
        }
        // Fields of what only the type checker knows.
        (Place::Code { .. }, Some(_)) | (Place::Text, _) => Found { start, end: cursor, ..Found::default() },
        (Place::Code { .. }, None) => starting(names(), &word, start, cursor),
    }
}

/// What expressions and statements begin with.
fn names() -> impl Iterator<Item = (String, &'static str)> {
    stdlib::entries()
        .filter(|entry| entry.name != "argN")
        .map(|entry| (entry.name.to_string(), if entry.arguments.1 == Some(0) { "builtin" } else { "function" }))
        .chain(KEYWORDS.iter().map(|word| (word.to_string(), "keyword")))
}

fn starting(names: impl Iterator<Item = (String, &'static str)>, word: &str, start: usize, end: usize) -> Found {
    let mut matches: Vec<_> = names.filter(|(name, _)| name.starts_with(word)).collect();
    matches.sort();
    Found { matches, start, end }
}

fn probe(code: &[char], cursor: usize, info: &dyn KernelInfo) -> Found {
    let start = words::attach_point_start(code, cursor);
    let text: String = code.get(start..cursor).unwrap_or_default().iter().collect();
    if !text.contains(':') {
        let types = probes::TYPES.iter().map(|ty| (ty.name.to_string(), "probe type"));
        return starting(types, &text, start, cursor);
    }
    let (provider, rest) = text.split_once(':').unwrap_or((&text, ""));
    let Some(ty) = probes::find_type(provider) else { return Found { start, end: cursor, ..Found::default() } };
    let found = probe_list::matching(info, &format!("{}:{rest}*", ty.name)).unwrap_or_default();
    let matches = found
        .into_iter()
        .filter_map(|name| Some(format!("{provider}{}", name.strip_prefix(ty.name)?)))
        // What belongs to the kernel proper may be written without that.
        .map(|name| match name.starts_with(&text) {
            true => name,
            false => name.replacen(&format!(":{KERNEL}:"), ":", 1),
        })
        .filter(|name| name.starts_with(&text))
        .take(MOST_PROBES)
        .map(|name| (name, "probe"));
    Found { matches: matches.collect(), start, end: cursor }
}
