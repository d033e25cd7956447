//! The `config` block and its environment variables, read into settings.

use crate::diagnostics::Diagnostic;
use crate::plan::{MissingProbes, Settings};
use crate::semantics::nearest::nearest;
use crate::syntax::ast::{Config, ConfigEntry, ConfigValue};
use crate::types::StackMode;

/// What a variable is set to, and whether that is allowed.
type Setter = fn(&mut Settings, &ConfigValue) -> Option<()>;

/// Licenses that the kernel takes for compatible with its own.
const LICENSES: &[&str] =
    &["Dual MIT/GPL", "Dual BSD/GPL", "Dual MPL/GPL", "GPL and additional rights", "GPL v2", "GPL"];

/// Every variable of the language: lower-case name and how it is set.
const VARIABLES: &[(&str, Setter)] = &[
    ("print_maps_on_exit", |s, v| boolean(v).map(|b| s.print_maps_on_exit = b)),
    ("max_map_keys", |s, v| number(v).map(|n| s.max_map_keys = n)),
    ("max_strlen", |s, v| number(v).filter(|n| (1..=1 << 16).contains(n)).map(|n| s.max_strlen = n)),
    ("max_cat_bytes", |s, v| integer(v).map(|n| s.max_cat_bytes = n)),
    ("max_probes", |s, v| integer(v).map(|n| s.max_probes = n)),
    ("max_bpf_progs", |s, v| integer(v).map(|n| s.max_bpf_progs = n)),
    ("perf_rb_pages", |s, v| number(v).map(|n| s.ring_buffer_pages = Some(n))),
    ("str_trunc_trailer", |s, v| text(v).map(|t| s.str_trunc_trailer = t.to_string())),
    ("cpp_demangle", |s, v| boolean(v).map(|b| s.cpp_demangle = b)),
    ("show_debug_info", |s, v| boolean(v).map(|b| s.show_debug_info = b)),
    ("license", |s, v| text(v).filter(|t| LICENSES.contains(t)).map(|t| s.license = t.to_string())),
    ("on_stack_limit", |s, v| number(v).map(|n| s.on_stack_limit = n)),
    ("log_size", |s, v| number(v).map(|n| s.log_size = n)),
    ("missing_probes", |s, v| missing_probes(v).map(|m| s.missing_probes = m)),
    ("stack_mode", |s, v| stack_mode(v).map(|m| s.stack_mode = m)),
    ("cache_user_symbols", |_, v| one_of(v, &["PER_PROGRAM", "PER_PID", "NONE"])),
    ("lazy_symbolication", |_, v| boolean(v).map(|_| ())),
    ("unstable_map_decl", |_, v| one_of(v, &["error", "warn", "enable"])),
    ("unstable_tseries", |_, v| one_of(v, &["error", "warn", "enable"])),
    ("unstable_dw_ustack", |_, v| one_of(v, &["error", "warn", "enable"])),
    ("unstable_import", |_, v| one_of(v, &["error", "warn", "enable"])),
    ("unstable_macro", |_, v| one_of(v, &["error", "warn", "enable"])),
    ("unstable_typeinfo", |_, v| one_of(v, &["error", "warn", "enable"])),
    ("unstable_map_each", |_, v| one_of(v, &["error", "warn", "enable"])),
];

/// Reads the block.
pub fn apply(settings: &mut Settings, config: &Config, diagnostics: &mut Vec<Diagnostic>) {
    for entry in &config.entries {
        if let Err(diagnostic) = apply_entry(settings, entry) {
            diagnostics.push(*diagnostic);
        }
    }
}

/// Sets a variable from the environment: `BPFTRACE_MAX_STRLEN`. Gives whether its value is valid;
/// what is not a setting is left alone.
pub fn apply_environment(settings: &mut Settings, name: &str, value: &str) -> bool {
    let Some(set) = find(name) else { return true };
    let value = match value.parse() {
        Ok(number) => ConfigValue::Integer(number),
        Err(_) => ConfigValue::String(value.to_string()),
    };
    set(settings, &value).is_some()
}

fn find(name: &str) -> Option<Setter> {
    let lower = name.to_ascii_lowercase();
    let key = lower.strip_prefix("bpftrace_").unwrap_or(&lower);
    VARIABLES.iter().find(|(known, _)| *known == key).map(|(_, set)| *set)
}

fn apply_entry(settings: &mut Settings, entry: &ConfigEntry) -> Result<(), Box<Diagnostic>> {
    let name = &entry.name;
    let Some(set) = find(&name.name) else {
        let message = format!("{}: not a known configuration option", name.name);
        let diagnostic = Diagnostic::error("unknown-config", name.span.to(entry.value_span), message);
        let near = nearest(&name.name, VARIABLES.iter().map(|(known, _)| *known));
        return Err(Box::new(match near {
            Some(near) => diagnostic.hint(format!("did you mean {near}?")),
            None => diagnostic,
        }));
    };
    set(settings, &entry.value).ok_or_else(|| {
        let message = format!("Invalid value for {}{}", name.name, valid_values(&name.name, &entry.value));
        Box::new(Diagnostic::error("invalid-config", entry.value_span, message))
    })
}

/// `. Found: x. Valid values: a, b`, where there is a list.
fn valid_values(name: &str, value: &ConfigValue) -> String {
    match (name.to_ascii_lowercase().trim_start_matches("bpftrace_"), text(value)) {
        ("license", Some(found)) => format!(". Found: {found}. Valid values: {}", LICENSES.join(", ")),
        ("missing_probes", Some(found)) => format!(". Found: {found}. Valid values: error, warn, ignore"),
        ("stack_mode", Some(found)) => format!(". Found: {found}. Valid values: bpftrace, perf, raw, build_id"),
        _ => String::new(),
    }
}

fn boolean(value: &ConfigValue) -> Option<bool> {
    match value {
        ConfigValue::Bool(value) => Some(*value),
        ConfigValue::Integer(0) => Some(false),
        ConfigValue::Integer(1) => Some(true),
        ConfigValue::Word(text) | ConfigValue::String(text) => match text.as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        ConfigValue::Integer(_) => None,
    }
}

fn integer(value: &ConfigValue) -> Option<u64> {
    match value {
        ConfigValue::Integer(number) => Some(*number),
        _ => None,
    }
}

fn number(value: &ConfigValue) -> Option<u32> {
    integer(value).and_then(|number| u32::try_from(number).ok())
}

fn text(value: &ConfigValue) -> Option<&str> {
    match value {
        ConfigValue::Word(text) | ConfigValue::String(text) => Some(text),
        _ => None,
    }
}

fn one_of(value: &ConfigValue, allowed: &[&str]) -> Option<()> {
    text(value).filter(|text| allowed.contains(text)).map(|_| ())
}

fn missing_probes(value: &ConfigValue) -> Option<MissingProbes> {
    match text(value)? {
        "error" => Some(MissingProbes::Error),
        "warn" => Some(MissingProbes::Warn),
        "ignore" => Some(MissingProbes::Ignore),
        _ => None,
    }
}

fn stack_mode(value: &ConfigValue) -> Option<StackMode> {
    match text(value)? {
        "bpftrace" => Some(StackMode::Bpftrace),
        "perf" => Some(StackMode::Perf),
        "raw" => Some(StackMode::Raw),
        "build_id" => Some(StackMode::BuildId),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_three_spellings() {
        let mut settings = Settings::default();
        for (name, value) in [("max_strlen", "64"), ("MAX_STRLEN", "65"), ("BPFTRACE_MAX_STRLEN", "66")] {
            assert!(apply_environment(&mut settings, name, value));
            assert_eq!(settings.max_strlen.to_string(), value);
        }
        assert!(apply_environment(&mut settings, "no_such", "1"));
        assert!(!apply_environment(&mut settings, "missing_probes", "maybe"));
    }
}
