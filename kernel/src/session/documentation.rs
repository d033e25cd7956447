//! What is known about a name: for inspection and `probebook doc`.

use probebook_compiler::semantics::probes::{self, ProbeType};
use probebook_compiler::stdlib::{self, Entry, Mode};

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
    if !entry.is_available() {
        notes.push("Not supported yet.".to_string());
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
    if ty.expand.is_none() {
        text.push_str("\nNot supported yet.");
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
