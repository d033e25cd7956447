//! `probebook list`: the probes that a pattern matches.

use std::process::ExitCode;

use probebook_runtime::{Session, SessionOptions};

use crate::session::probe_list;

pub fn run(pattern: Option<&str>) -> ExitCode {
    let session = match Session::new(SessionOptions::default()) {
        Ok(session) => session,
        Err(error) => return super::fail(&error.to_string()),
    };
    match probe_list::matching(session.system().as_ref(), pattern.unwrap_or("*:*")) {
        Ok(probes) => {
            let mut text = probes.join("\n");
            if !text.is_empty() {
                text.push('\n');
            }
            super::say(&text);
            ExitCode::SUCCESS
        }
        Err(message) => super::fail(&message),
    }
}
