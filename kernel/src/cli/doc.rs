//! `probebook doc`: the standard library's documentation, from its registry.

use std::process::ExitCode;

use probebook_compiler::stdlib;

use crate::session::documentation;

pub fn run(name: Option<&str>) -> ExitCode {
    let Some(name) = name else {
        for entry in stdlib::entries() {
            super::say(&format!("{:<12} {}\n", entry.name, entry.documentation));
        }
        return ExitCode::SUCCESS;
    };
    match documentation::plain(name) {
        Some(text) => {
            super::say(&format!("{text}\n"));
            ExitCode::SUCCESS
        }
        None => super::fail(&format!("there is no builtin or function {name}")),
    }
}
