//! What is known about a name: for inspection and `probebook doc`.

use probebook_compiler::semantics::probes::{self, ProbeType};
use probebook_compiler::stdlib::{self, Entry, Mode};
use probebook_compiler::syntax::{self, Place};
use probebook_runtime::system::System;

use super::probe_list::{self, Listing};
use super::{magics, words};

/// Probes of a wildcard that are shown; whoever wants all lists them.
const MOST_PROBES: usize = 5;

/// Plain text about what stands at a cursor: a probe, an argument, a name, or the function whose arguments
/// are being written.
pub fn at(code: &[char], cursor: usize, system: &System) -> Option<String> {
    let (start, end) = words::around(code, cursor);
    let word: String = code.get(start..end)?.iter().collect();
    let script = magics::script_before(code, cursor.min(code.len()));
    match syntax::place(&script, script.len()) {
        Place::Outside => of_attach_point(code, cursor, system).or_else(|| plain(&word)),
        Place::Code { header, .. } if words::owner(code, start).is_some_and(|owner| owner == "args") => {
            let arguments = probes::arguments(header, system)?;
            let field = arguments.fields.iter().find(|field| field.name == word)?;
            Some(format!("args.{}: {}\n\nAn argument of {}.", field.name, field.ty, arguments.name))
        }
        Place::Code { call, .. } => plain(&word).or_else(|| plain(call?)),
        Place::Text => None,
    }
}

/// The probes that an attach point stands for, with their arguments.
fn of_attach_point(code: &[char], cursor: usize, system: &System) -> Option<String> {
    let (start, end) = words::attach_point(code, cursor);
    let point: String = code.get(start..end)?.iter().collect();
    let (provider, pattern) = point.split_once(':')?;
    let ty = probes::find_type(provider)?;
    let found = probe_list::matching(system, &format!("{}:{pattern}", ty.name)).unwrap_or_default();
    let listing = Listing { system, pid: None, verbose: true };
    let shown = found.iter().take(MOST_PROBES).filter_map(|probe| listing.search(probe).ok()).flatten();
    let mut lines: Vec<String> = shown.collect();
    if found.len() > MOST_PROBES {
        lines.push(format!("… and {} more", found.len() - MOST_PROBES));
    }
    Some([lines.join("\n"), of_probe(ty)].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n"))
}

/// Plain text about a builtin, function or probe type.
pub fn plain(name: &str) -> Option<String> {
    match (stdlib::find(name), probes::find_type(name)) {
        (Some(entry), _) => Some(of_entry(entry)),
        (None, Some(ty)) => Some(of_probe(ty)),
        (None, None) => None,
    }
}

fn of_entry(entry: &Entry) -> String {
    let mut text = format!("{}\n\n{}\n", entry.signatures.join("\n"), entry.documentation);
    let mode = match entry.mode {
        Mode::Synchronous => None,
        Mode::Asynchronous => Some("Asynchronous: it takes effect when the event is processed."),
        Mode::CompileTime => Some("Evaluated when the script is compiled."),
    };
    let mut notes: Vec<String> = mode.map(str::to_string).into_iter().collect();
    if entry.is_unsafe {
        notes.push("Unsafe: needs %unsafe on, or --unsafe.".to_string());
    }
    if !entry.probes.is_empty() {
        notes.push(format!("Works in: {}.", entry.probes.join(", ")));
    }
    if let Some(kernel) = entry.kernel {
        notes.push(format!("Needs Linux {kernel}."));
    }
    for note in notes {
        text.push_str(&format!("\n{note}"));
    }
    let text = text.trim_end();
    if entry.example.is_empty() { text.to_string() } else { format!("{text}\n\nExample:\n    {}", entry.example) }
}

fn of_probe(ty: &ProbeType) -> String {
    let mut text = format!("{}\n\n{}", ty.variants.join("\n"), ty.documentation);
    if !ty.aliases.is_empty() {
        text.push_str(&format!("\n\nAlso written: {}.", ty.aliases.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn entries_and_probe_types_are_documented() {
        assert!(super::plain("printf").is_some_and(|text| text.contains("void printf")));
        assert!(super::plain("tracepoint").is_some_and(|text| text.contains("args")));
        assert_eq!(super::plain("nonsense"), None);
    }
}
