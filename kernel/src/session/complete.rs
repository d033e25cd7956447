//! Completion: probe types and tracepoints outside of actions, functions and maps inside.

use probebook_compiler::kernel_info::KernelInfo;
use probebook_compiler::plan::MapPlan;
use probebook_compiler::semantics::probes;
use probebook_compiler::stdlib;

use super::magics::MAGICS;
use super::{probe_list, tables, words};

/// What fits at a place, and what it replaces (code points).
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// Text and kind.
    pub matches: Vec<(String, &'static str)>,
    pub start: usize,
    pub end: usize,
}

const KEYWORDS: &[&str] =
    &["break", "continue", "else", "for", "if", "let", "return", "sizeof", "offsetof", "unroll", "while"];

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
    if inside_action(code, cursor) {
        let entries = stdlib::entries().filter(|entry| entry.is_available() && entry.name != "argN");
        let names = entries
            .map(|entry| (entry.name.to_string(), if entry.arguments.1 == Some(0) { "builtin" } else { "function" }))
            .chain(KEYWORDS.iter().map(|word| (word.to_string(), "keyword")));
        return starting(names, &word, start, cursor);
    }
    probe(code, cursor, info)
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
        let types = probes::TYPES.iter().filter(|ty| ty.expand.is_some()).map(|ty| (ty.name.to_string(), "probe type"));
        return starting(types, &text, start, cursor);
    }
    let (provider, rest) = text.split_once(':').unwrap_or((&text, ""));
    let Some(ty) = probes::find_type(provider) else { return Found { start, end: cursor, ..Found::default() } };
    let found = probe_list::matching(info, &format!("{}:{rest}*", ty.name)).unwrap_or_default();
    let matches = found
        .into_iter()
        .filter_map(|name| Some(format!("{provider}{}", name.strip_prefix(ty.name)?)))
        .filter(|name| name.starts_with(&text))
        .take(MOST_PROBES)
        .map(|name| (name, "probe"));
    Found { matches: matches.collect(), start, end: cursor }
}

/// Whether a place lies between the braces of an action, or in a predicate.
fn inside_action(code: &[char], cursor: usize) -> bool {
    let mut depth = 0usize;
    let mut quoted = false;
    let mut escaped = false;
    for c in code.iter().take(cursor) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    depth > 0
}

#[cfg(test)]
mod tests {
    use super::inside_action;

    fn inside(text: &str) -> bool {
        let code: Vec<char> = text.chars().collect();
        inside_action(&code, code.len())
    }

    #[test]
    fn actions_lie_between_braces() {
        assert!(inside("begin { pri"));
        assert!(!inside("begin { } trac"));
        assert!(inside("begin { printf(\"}\"); pri"));
    }
}
