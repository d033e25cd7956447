//! What works on this machine, found out by trying, and the remedy for what does not.

mod helpers;
mod machine;
mod probes;
pub mod remedies;

use probebook_runtime::Session;
use serde::Serialize;

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Works,
    /// It is not there, and there is another way.
    Missing,
    /// Scripts that need it fail.
    Fails,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// `privileges`, `kernel`, `probes`, `helpers`
    pub area: &'static str,
    pub name: String,
    pub state: State,
    /// What was found.
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Line {
    fn works(area: &'static str, name: impl Into<String>, detail: impl Into<String>) -> Line {
        Line { area, name: name.into(), state: State::Works, detail: detail.into(), remedy: None }
    }

    /// The remedy may be empty: not everything has one.
    fn not(state: State, area: &'static str, name: impl Into<String>, detail: impl Into<String>, remedy: &str) -> Line {
        let remedy = (!remedy.is_empty()).then(|| remedy.to_string());
        Line { area, name: name.into(), state, detail: detail.into(), remedy }
    }
}

/// Looks at everything. Attaches to real probes for a moment, so it takes about a second.
pub fn examine(session: &Session) -> Vec<Line> {
    let mut lines = machine::privileges();
    lines.extend(machine::kernel(session));
    lines.push(machine::functions(session));
    lines.extend(probes::lines(session));
    lines.extend(probes::mechanisms());
    lines.extend(helpers::lines(session));
    lines
}

/// What can be told without attaching to anything but a function that is hardly ever called.
pub fn features(session: &Session) -> Vec<Line> {
    let mut lines = machine::privileges();
    lines.extend(machine::kernel(session));
    lines.extend(probes::mechanisms());
    lines.extend(helpers::lines(session));
    lines
}
