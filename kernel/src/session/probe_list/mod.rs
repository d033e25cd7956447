//! The probes that a pattern matches, as `probebook list`, `run -l` and `%probes` show them.

mod arguments;
mod names;
mod types;

use std::collections::BTreeSet;

use probebook_compiler::diagnostics::Diagnostic;
use probebook_compiler::syntax::{self, ast};
use probebook_runtime::system::System;

pub use names::matching;
use names::{Listed, Place};

/// What is listed, and how.
#[derive(Clone, Copy)]
pub struct Listing<'a> {
    pub system: &'a System,
    /// User probes are those of this process.
    pub pid: Option<u32>,
    /// Arguments of probes and definitions of types are shown.
    pub verbose: bool,
}

impl Listing<'_> {
    /// Lines for patterns that are separated by commas; each is a probe (`kprobe:vfs_*`), a part of a
    /// name (`*sleep*`) or a type (`struct file`). `Err` says what the system could not tell.
    pub fn search(&self, patterns: &str) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        for pattern in patterns.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()) {
            match types::pattern(pattern) {
                Some(pattern) => lines.extend(types::matching(self.system, &pattern, self.verbose)),
                None => {
                    let place = Place { info: self.system, pid: self.pid };
                    let found = names::search(&place, pattern)?;
                    self.show(found, &mut lines);
                }
            }
        }
        Ok(lines)
    }

    /// Lines for the probes of a script, in its order; `begin` and `end` are none.
    pub fn script(
        &self,
        text: &str,
        source: ast::SourceId,
        parameters: &[String],
    ) -> Result<Vec<String>, Vec<Diagnostic>> {
        let script = syntax::parse(text, source)?;
        let parameter = |index: u32| parameters.get((index as usize).wrapping_sub(1)).cloned().unwrap_or_default();
        let place = Place { info: self.system, pid: self.pid };
        let mut lines = Vec::new();
        for item in &script.items {
            let ast::Item::Probe(probe) = item else { continue };
            for point in &probe.attach_points {
                let point = syntax::with_parameters(point, parameter).map_err(|error| vec![*error])?;
                let found = names::of_attach_point(&place, &point)
                    .map_err(|message| vec![Diagnostic::error("system-information", point.span, message)])?;
                self.show(found, &mut lines);
            }
        }
        Ok(lines)
    }

    fn show(&self, found: BTreeSet<Listed>, lines: &mut Vec<String>) {
        for probe in found {
            lines.push(printable(&probe.to_string()));
            if self.verbose {
                let arguments = arguments::of(self.system, &probe);
                lines.extend(arguments.iter().map(|line| format!("    {}", printable(line))));
            }
        }
    }
}

/// Names come from the files that are looked at, which may be anybody's.
fn printable(line: &str) -> String {
    let mut printable = String::with_capacity(line.len());
    probebook_runtime::text::push_escaped(&mut printable, line.as_bytes());
    printable
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_from_files_do_not_act_on_a_terminal() {
        assert_eq!(super::printable("int a\x1b[31m_evil"), "int a\\x1b[31m_evil");
        assert_eq!(super::printable("struct file * file"), "struct file * file");
    }
}
