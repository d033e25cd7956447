//! The `config` block and its environment variables, read into settings.

use crate::diagnostics::Diagnostic;
use crate::plan::{MissingProbes, Settings, SymbolCache, Unstable};
use crate::semantics::nearest::nearest;
use crate::syntax::ast::{Config, ConfigEntry, ConfigValue};
use crate::types::StackMode;

/// Sets a variable, or says what is wrong with the value.
type Setter = fn(&mut Settings, &ConfigValue) -> Result<(), String>;

/// Licenses that the kernel takes for compatible with its own.
const LICENSES: &[&str] =
    &["Dual MIT/GPL", "Dual BSD/GPL", "Dual MPL/GPL", "GPL and additional rights", "GPL v2", "GPL"];

/// Every variable of the language: lower-case name and how it is set.
const VARIABLES: &[(&str, Setter)] = &[
    ("print_maps_on_exit", |s, v| boolean(v).map(|b| s.print_maps_on_exit = b)),
    ("max_map_keys", |s, v| number(v).map(|n| s.max_map_keys = n)),
    ("max_strlen", |s, v| within(v, 1, 1 << 16).map(|n| s.max_strlen = n)),
    ("max_cat_bytes", |s, v| integer(v).map(|n| s.max_cat_bytes = n)),
    ("max_probes", |s, v| integer(v).map(|n| s.max_probes = n)),
    ("max_bpf_progs", |s, v| integer(v).map(|n| s.max_bpf_progs = n)),
    ("perf_rb_pages", |s, v| number(v).map(|n| s.ring_buffer_pages = Some(n))),
    ("str_trunc_trailer", |s, v| {
        s.str_trunc_trailer = shown(v);
        Ok(())
    }),
    ("cpp_demangle", |s, v| boolean(v).map(|b| s.cpp_demangle = b)),
    ("show_debug_info", |s, v| boolean(v).map(|b| s.show_debug_info = b)),
    ("license", |s, v| one_of(v, "license", LICENSES).map(|text| s.license = text.to_string())),
    ("on_stack_limit", |s, v| number(v).map(|n| s.on_stack_limit = n)),
    ("log_size", |s, v| number(v).map(|n| s.log_size = n)),
    ("missing_probes", |s, v| missing_probes(v).map(|m| s.missing_probes = m)),
    ("stack_mode", |s, v| stack_mode(v).map(|m| s.stack_mode = m)),
    ("cache_user_symbols", |s, v| symbol_cache(v).map(|cache| s.cache_user_symbols = cache)),
    ("dummy_ts_map", |s, v| map_name(v).map(|name| s.clock_map = Some(name))),
    ("lazy_symbolication", |s, v| boolean(v).map(|b| s.lazy_symbolication = b)),
    // Symbols come from one library here, which is always there.
    ("use_blazesym", |_, v| boolean(v).map(|_| ())),
    ("unstable_import_statement", |s, v| unstable(v).map(|u| s.unstable.import_statement = u)),
    ("unstable_tseries", |s, v| unstable(v).map(|u| s.unstable.tseries = u)),
    ("unstable_typeinfo", |s, v| unstable(v).map(|u| s.unstable.typeinfo = u)),
    ("unstable_dw_ustack", |s, v| unstable(v).map(|u| s.unstable.dw_ustack = u)),
];

/// What variables were called once.
const RENAMED: &[(&str, &str)] = &[
    ("strlen", "max_strlen"),
    ("no_cpp_demangle", "cpp_demangle"),
    ("cat_bytes_max", "max_cat_bytes"),
    ("map_keys_max", "max_map_keys"),
];

/// Variables that had a meaning once.
const DEPRECATED: &[&str] = &[
    "symbol_source",
    "max_type_res_iterations",
    "unstable_addr",
    "unstable_import",
    "unstable_macro",
    "unstable_map_decl",
];

/// Variables of the process that are no settings of a script.
const ENVIRONMENT_ONLY: &[&str] = &["btf", "kernel_build", "kernel_source", "vmlinux"];

/// Reads the block.
pub fn apply(settings: &mut Settings, config: &Config, diagnostics: &mut Vec<Diagnostic>) {
    for entry in &config.entries {
        apply_entry(settings, entry, diagnostics);
    }
}

/// Sets a variable from the environment: `BPFTRACE_MAX_STRLEN`. `Err` says what is wrong with its
/// value; what is not a setting is left alone.
pub fn apply_environment(settings: &mut Settings, name: &str, value: &str) -> Result<(), String> {
    let Some(set) = find(&key(name)) else { return Ok(()) };
    let value = match value.parse() {
        Ok(number) => ConfigValue::Integer(number),
        Err(_) => ConfigValue::String(value.to_string()),
    };
    set(settings, &value)
}

/// `BPFTRACE_MAX_STRLEN`, `MAX_STRLEN` and `max_strlen` are the same.
fn key(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    lower.strip_prefix("bpftrace_").map_or(lower.clone(), str::to_owned)
}

fn find(key: &str) -> Option<Setter> {
    VARIABLES.iter().find(|(known, _)| *known == key).map(|(_, set)| *set)
}

fn apply_entry(settings: &mut Settings, entry: &ConfigEntry, diagnostics: &mut Vec<Diagnostic>) {
    let name = &entry.name.name;
    let mut key = key(name);
    if DEPRECATED.contains(&key.as_str()) {
        let message = format!("{name} is deprecated and has no effect");
        return diagnostics.push(Diagnostic::warning("deprecated-config", entry.span, message));
    }
    if let Some((_, now)) = RENAMED.iter().find(|(old, _)| *old == key) {
        let message = format!("{name} has been renamed, please use {now}");
        diagnostics.push(Diagnostic::warning("renamed-config", entry.span, message));
        key = (*now).to_string();
    }
    let error = |id, detail: &str| {
        // bpftrace says it so for licenses only.
        let named = detail.starts_with("Invalid value for license");
        let message = if named { detail.to_string() } else { format!("{name}: {detail}") };
        Diagnostic::error(id, entry.span, message)
    };
    match find(&key) {
        Some(set) => {
            if let Err(detail) = set(settings, &entry.value) {
                diagnostics.push(error("invalid-config", &detail));
            }
        }
        None if ENVIRONMENT_ONLY.contains(&key.as_str()) => {
            diagnostics.push(error("unknown-config", "can only be set as an environment variable"));
        }
        None => {
            let diagnostic = error("unknown-config", "not a known configuration option");
            let near = nearest(&key, VARIABLES.iter().map(|(known, _)| *known));
            diagnostics.push(match near {
                Some(near) => diagnostic.hint(format!("did you mean {near}?")),
                None => diagnostic,
            });
        }
    }
}

/// The value as it is written.
fn shown(value: &ConfigValue) -> String {
    match value {
        ConfigValue::Integer(number) => number.to_string(),
        ConfigValue::Bool(value) => value.to_string(),
        ConfigValue::Word(text) | ConfigValue::String(text) => text.clone(),
    }
}

fn boolean(value: &ConfigValue) -> Result<bool, String> {
    match (value, shown(value).as_str()) {
        (ConfigValue::Integer(number), _) => Ok(*number != 0),
        (_, "true" | "1") => Ok(true),
        (_, "false" | "0") => Ok(false),
        _ => Err("Invalid bool value: valid values are true, false, 1 or 0.".to_string()),
    }
}

fn integer(value: &ConfigValue) -> Result<u64, String> {
    match value {
        ConfigValue::Integer(number) => Ok(*number),
        ConfigValue::Word(text) | ConfigValue::String(text) if text.parse::<u64>().is_ok() => {
            text.parse().map_err(|_| String::new())
        }
        other => Err(format!("expecting a number, got {}", shown(other))),
    }
}

fn number(value: &ConfigValue) -> Result<u32, String> {
    within(value, 0, u32::MAX)
}

fn within(value: &ConfigValue, least: u32, most: u32) -> Result<u32, String> {
    let number = integer(value)?;
    let fits = u32::try_from(number).ok().filter(|number| (least..=most).contains(number));
    fits.ok_or_else(|| format!("{number} is not between {least} and {most}"))
}

/// One of a list of words, letters of either case.
fn one_of<'t>(value: &ConfigValue, what: &str, words: &[&'t str]) -> Result<&'t str, String> {
    let text = shown(value);
    words
        .iter()
        .copied()
        .find(|word| word.eq_ignore_ascii_case(&text))
        .ok_or_else(|| format!("Invalid value for {what}. Found: {text}. Valid values: {}.", words.join(", ")))
}

fn missing_probes(value: &ConfigValue) -> Result<MissingProbes, String> {
    Ok(match one_of(value, "missing_probes", &["ignore", "warn", "error"])? {
        "error" => MissingProbes::Error,
        "warn" => MissingProbes::Warn,
        _ => MissingProbes::Ignore,
    })
}

fn stack_mode(value: &ConfigValue) -> Result<StackMode, String> {
    Ok(match one_of(value, "stack_mode", &["bpftrace", "perf", "raw", "build_id"])? {
        "perf" => StackMode::Perf,
        "raw" => StackMode::Raw,
        "build_id" => StackMode::BuildId,
        _ => StackMode::Bpftrace,
    })
}

fn symbol_cache(value: &ConfigValue) -> Result<SymbolCache, String> {
    Ok(match one_of(value, "cache_user_symbols", &["PER_PID", "PER_PROGRAM", "NONE", "0", "1"])? {
        "PER_PID" => SymbolCache::PerPid,
        "PER_PROGRAM" => SymbolCache::PerProgram,
        "1" => SymbolCache::Automatic,
        _ => SymbolCache::None,
    })
}

/// `@name`, without the `@`.
fn map_name(value: &ConfigValue) -> Result<String, String> {
    let text = shown(value);
    match text.strip_prefix('@') {
        Some(name) => Ok(name.to_string()),
        None => Err(format!("expecting a map, such as @ts, got {text}")),
    }
}

fn unstable(value: &ConfigValue) -> Result<Unstable, String> {
    if let Ok(value) = boolean(value) {
        return Ok(if value { Unstable::Enable } else { Unstable::Error });
    }
    Ok(match one_of(value, "unstable config", &["enable", "warn", "error"])? {
        "enable" => Unstable::Enable,
        "warn" => Unstable::Warn,
        _ => Unstable::Error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_three_spellings() {
        let mut settings = Settings::default();
        for (name, value) in [("max_strlen", "64"), ("MAX_STRLEN", "65"), ("BPFTRACE_MAX_STRLEN", "66")] {
            assert_eq!(apply_environment(&mut settings, name, value), Ok(()));
            assert_eq!(settings.max_strlen.to_string(), value);
        }
        assert_eq!(apply_environment(&mut settings, "no_such", "1"), Ok(()));
        assert!(apply_environment(&mut settings, "missing_probes", "maybe").is_err());
    }
}
