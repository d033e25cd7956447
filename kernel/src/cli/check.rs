//! `probebook check`: what is wrong with scripts, without running them.

use std::process::ExitCode;

use clap::Args;
use probebook_compiler::diagnostics::{Diagnostic, Sources};
use probebook_compiler::syntax::ast::Span;
use probebook_runtime::{Session, SessionOptions};
use serde::Serialize;

use super::arguments::Format;
use crate::engine::{self, Flags, Script};

#[derive(Args, Debug)]
pub struct Arguments {
    /// Scripts (- for standard input)
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
    /// How findings are written: text or json
    #[arg(short = 'f', value_name = "FORMAT", default_value = "text", value_parser = Format::parse)]
    format: Format,
    /// Take probes and kernel symbols that this system does not have for granted
    #[arg(long)]
    no_probe_check: bool,
    /// Look for C headers in this folder too
    #[arg(short = 'I', value_name = "DIR")]
    include_dirs: Vec<std::path::PathBuf>,
    /// Include this C header before each script
    #[arg(long = "include", value_name = "FILE")]
    include_files: Vec<String>,
}

/// Something wrong, or suspicious, as editors read it. Lines and columns count from 1, columns in
/// characters; the end lies behind the last one.
#[derive(Serialize)]
struct Finding<'a> {
    file: &'a str,
    id: &'a str,
    severity: &'static str,
    message: &'a str,
    #[serde(flatten)]
    place: Place<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<Place<'a>>,
}

#[derive(Serialize)]
struct Place<'a> {
    /// What stands there: the script, an included file, a cell.
    source: &'a str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
}

/// Checks every file; the exit code is 1 if one has an error.
pub fn run(arguments: &Arguments) -> ExitCode {
    let session = match Session::new(SessionOptions::default()) {
        Ok(session) => session,
        Err(error) => return super::fail(&super::no_session(&error)),
    };
    let mut failed = false;
    let mut json = Vec::new();
    for file in &arguments.files {
        let (name, text) = match super::read_script(file) {
            Ok(script) => script,
            Err(message) => {
                super::fail(&message);
                failed = true;
                continue;
            }
        };
        let (sources, found) = check(&session, arguments, name, text);
        failed |= found.iter().any(Diagnostic::is_error);
        match arguments.format {
            Format::Text => super::show(&found, &sources),
            Format::Json => {
                json.extend(found.iter().map(|one| serde_json::to_value(finding(file, one, &sources))));
            }
        }
    }
    if arguments.format == Format::Json {
        let values: Vec<_> = json.into_iter().flatten().collect();
        super::say(&format!("{:#}\n", serde_json::Value::from(values)));
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Errors, or warnings if there are none.
fn check(session: &Session, arguments: &Arguments, name: String, text: String) -> (Sources, Vec<Diagnostic>) {
    let mut sources = Sources::default();
    let source = sources.add(name, text);
    let flags = Flags {
        include_dirs: arguments.include_dirs.clone(),
        include_files: arguments.include_files.clone(),
        assume_probes: arguments.no_probe_check,
        probe_filter: None,
        no_kprobe_sessions: true,
        ..Flags::default()
    };
    // Whether it may act is decided when it is run.
    let script = Script { allow_unsafe: true, flags: &flags, ..Script::new(&sources, source) };
    let found = match engine::compile(session, &script) {
        Ok(compiled) => compiled.warnings,
        Err(diagnostics) => diagnostics,
    };
    (sources, found)
}

fn finding<'a>(file: &'a str, diagnostic: &'a Diagnostic, sources: &'a Sources) -> Finding<'a> {
    Finding {
        file,
        id: diagnostic.id,
        severity: if diagnostic.is_error() { "error" } else { "warning" },
        message: &diagnostic.message,
        place: place(diagnostic.primary.span, &diagnostic.primary.text, sources),
        hint: diagnostic.hint.as_deref(),
        related: diagnostic.secondary.iter().map(|label| place(label.span, &label.text, sources)).collect(),
    }
}

fn place<'a>(span: Span, note: &'a str, sources: &'a Sources) -> Place<'a> {
    let (line, column) = sources.position(span);
    let (end_line, end_column) = sources.position(Span { start: span.end, ..span });
    let source = sources.get(span.source).map_or("", |source| source.name.as_str());
    Place { source, line, column, end_line, end_column, note }
}
