//! The inner forms of a script: what `-d` and `--emit-llvm` show.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use probebook_compiler::codegen::Listing;
use probebook_compiler::diagnostics::{Diagnostic, Sources};
use probebook_compiler::pipeline::Compiled;
use probebook_compiler::syntax;
use probebook_compiler::syntax::ast::SourceId;
use probebook_runtime::Trace;

/// A form that can be shown. `All` is each of them but the verifier's, which bpftrace counts among them too, and
/// which is long: it must be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Ast,
    Types,
    Codegen,
    Optimised,
    Assembly,
    Verifier,
    All,
}

/// bpftrace's names of the forms, and ours.
const NAMES: [(&str, Stage); 9] = [
    ("ast", Stage::Ast),
    ("types", Stage::Types),
    ("ir", Stage::Types),
    ("codegen", Stage::Codegen),
    ("codegen-opt", Stage::Optimised),
    ("dis", Stage::Assembly),
    ("verifier", Stage::Verifier),
    ("all", Stage::All),
    ("parse", Stage::Ast),
];

impl Stage {
    pub fn parse(text: &str) -> Result<Stage, String> {
        let found = NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, stage)| *stage).ok_or_else(|| {
            format!(
                "USAGE: invalid option for -d: {text}; it shows ast, types (or ir), codegen, codegen-opt, dis, verifier, all"
            )
        })
    }
}

/// The syntax tree.
pub fn tree(sources: &Sources, source: SourceId) -> Result<String, Vec<Diagnostic>> {
    let text = sources.get(source).map_or("", |source| source.text.as_str());
    syntax::parse(text, source).map(|tree| format!("{tree:#?}\n"))
}

/// The typed programs.
pub fn types(compiled: &Compiled) -> String {
    compiled.module.programs.iter().map(|program| format!("{program}\n")).collect()
}

/// What the verifier wrote of each program.
pub fn verifier(trace: &Trace) -> String {
    let programs = trace.plan().programs.iter().zip(trace.verifier_logs());
    programs.map(|(program, log)| format!("The verifier on {}:\n{log}\n", program.symbol)).collect()
}

/// Writes LLVM's form beside `path`, as it is at first and as it is compiled.
///
/// # Errors
///
/// With the file that could not be written.
pub fn write(path: &Path, listing: &Listing) -> Result<(), (PathBuf, io::Error)> {
    for (ending, text) in [(".original.ll", &listing.original), (".optimized.ll", &listing.optimised)] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        fs::write(&name, text).map_err(|error| (name.into(), error))?;
    }
    Ok(())
}
