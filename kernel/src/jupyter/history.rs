//! What has been executed, for the arrow keys and searches of consoles.
//!
//! <https://jupyter-client.readthedocs.io/en/stable/messaging.html#history>. It lives as long as
//! the kernel; the running session is number 1, or 0 and less in requests, counted from it.

use serde::Deserialize;
use serde_json::{Value, json};

const SESSION: i64 = 1;

/// The executed cells, oldest first.
#[derive(Debug, Default)]
pub struct History {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    line: u32,
    input: String,
}

/// A `history_request`'s content. What is missing or null has its default.
#[derive(Debug, Deserialize)]
pub struct HistoryRequest {
    #[serde(default)]
    output: bool,
    #[serde(flatten)]
    access: Access,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "hist_access_type", rename_all = "lowercase")]
enum Access {
    Range {
        #[serde(default)]
        session: Option<i64>,
        #[serde(default)]
        start: Option<i64>,
        #[serde(default)]
        stop: Option<i64>,
    },
    Tail {
        #[serde(default)]
        n: Option<i64>,
    },
    Search {
        #[serde(default)]
        pattern: Option<String>,
        #[serde(default)]
        unique: Option<bool>,
        #[serde(default)]
        n: Option<i64>,
    },
}

impl History {
    /// Adds a cell.
    pub fn push(&mut self, line: u32, input: &str) {
        self.entries.push(Entry { line, input: input.to_owned() });
    }

    /// The `history` of the reply: `[session, line, input]`, or `[session, line, [input, null]]`
    /// if output is asked for. There are no results to give: cells print.
    pub fn find(&self, request: &HistoryRequest) -> Vec<Value> {
        let found = match &request.access {
            Access::Range { session, start, stop } => self.range(session.unwrap_or(0), start.unwrap_or(0), *stop),
            Access::Tail { n } => last(self.entries.iter().collect(), *n),
            Access::Search { pattern, unique, n } => {
                self.search(pattern.as_deref().unwrap_or("*"), unique.unwrap_or(false), *n)
            }
        };
        let shown = |entry: &Entry| match request.output {
            true => json!([SESSION, entry.line, [entry.input, null]]),
            false => json!([SESSION, entry.line, entry.input]),
        };
        found.into_iter().map(shown).collect()
    }

    fn range(&self, session: i64, start: i64, stop: Option<i64>) -> Vec<&Entry> {
        if session != 0 && session != SESSION {
            return Vec::new();
        }
        let wanted = |entry: &&Entry| {
            let line = i64::from(entry.line);
            line >= start && stop.is_none_or(|stop| line < stop)
        };
        self.entries.iter().filter(wanted).collect()
    }

    fn search(&self, pattern: &str, unique: bool, n: Option<i64>) -> Vec<&Entry> {
        let pattern: Vec<char> = pattern.chars().collect();
        let mut found: Vec<&Entry> = Vec::new();
        for entry in &self.entries {
            if matches_glob(&pattern, &entry.input) {
                if unique {
                    // The latest of equal cells stands for them.
                    found.retain(|earlier| earlier.input != entry.input);
                }
                found.push(entry);
            }
        }
        last(found, n)
    }
}

fn last(mut entries: Vec<&Entry>, n: Option<i64>) -> Vec<&Entry> {
    if let Some(n) = n.and_then(|n| usize::try_from(n).ok()) {
        entries.drain(..entries.len().saturating_sub(n));
    }
    entries
}

/// Whether all of `text` fits a pattern of `*`, `?` and characters. Linear but for one step back
/// per star, so that no pattern takes long.
fn matches_glob(pattern: &[char], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || text.get(from) == Some(wanted) => {
                at += 1;
                from += 1;
            }
            _ => match star {
                Some((star_at, star_from)) => {
                    star = Some((star_at, star_from + 1));
                    (at, from) = (star_at + 1, star_from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> History {
        let mut history = History::default();
        for (line, input) in ["a1", "b", "a2", "a1"].into_iter().enumerate() {
            history.push(line as u32 + 1, input);
        }
        history
    }

    fn find(request: Value) -> Value {
        let request = serde_json::from_value(request).unwrap();
        Value::Array(history().find(&request))
    }

    #[test]
    fn tail_gives_the_last_in_order() {
        let request = json!({"hist_access_type": "tail", "n": 2, "raw": true, "output": false});
        assert_eq!(find(request), json!([[1, 3, "a2"], [1, 4, "a1"]]));
        let request = json!({"hist_access_type": "tail", "n": 1, "output": true});
        assert_eq!(find(request), json!([[1, 4, ["a1", null]]]));
    }

    #[test]
    fn range_ends_before_stop_and_knows_one_session() {
        let range = |session: i64, start: i64, stop: Value| {
            find(json!({"hist_access_type": "range", "session": session, "start": start,
                "stop": stop, "raw": true, "output": false}))
        };
        assert_eq!(range(1, 2, json!(3)), json!([[1, 2, "b"]]));
        assert_eq!(range(0, 3, Value::Null), json!([[1, 3, "a2"], [1, 4, "a1"]]));
        assert_eq!(range(-1, 0, Value::Null), json!([]));
    }

    #[test]
    fn search_takes_globs_and_keeps_the_latest_of_equals() {
        let search = |unique: bool, n: Value| {
            find(json!({"hist_access_type": "search", "pattern": "a*", "unique": unique, "n": n,
                "raw": true, "output": false}))
        };
        let all = json!([[1, 1, "a1"], [1, 3, "a2"], [1, 4, "a1"]]);
        assert_eq!(search(false, Value::Null), all);
        assert_eq!(search(true, Value::Null), json!([[1, 3, "a2"], [1, 4, "a1"]]));
        assert_eq!(search(false, json!(1)), json!([[1, 4, "a1"]]));
    }

    #[test]
    fn unknown_access_types_are_errors() {
        let request = json!({"hist_access_type": "all"});
        assert!(serde_json::from_value::<HistoryRequest>(request).is_err());
    }

    #[test]
    fn globs() {
        let matches = |pattern: &str, text: &str| matches_glob(&pattern.chars().collect::<Vec<_>>(), text);
        assert!(matches("*", "") && matches("", "") && matches("a?c*", "abcd"));
        assert!(matches("*b*d", "abcbd") && !matches("*b*d", "abc"));
        assert!(!matches("a", "ab") && !matches("?", ""));
        assert!(!matches(&"*a".repeat(50), &"b".repeat(2000)));
    }
}
