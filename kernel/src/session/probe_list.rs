//! The probes that a pattern matches, as `probebook list` and `%probes` show them.

use probebook_compiler::kernel_info::KernelInfo;
use probebook_compiler::plan::Settings;
use probebook_compiler::semantics::environment::Environment;
use probebook_compiler::semantics::probes::{self, glob};
use probebook_compiler::syntax::ast::{AttachPart, AttachPoint, SourceId, Span};

/// Full names, sorted; `Err` says what the system could not tell.
pub fn matching(info: &dyn KernelInfo, pattern: &str) -> Result<Vec<String>, String> {
    let (provider, rest) = match pattern.split_once(':') {
        Some(pair) => pair,
        None if probes::find_type(pattern).is_some() => (pattern, "*"),
        // A word that is no probe type is looked for in all of them.
        None => ("*", pattern),
    };
    let mut result = Vec::new();
    for ty in probes::TYPES {
        // Whoever asks for all types does not want each function twice.
        let is_return = ty.name.contains("ret");
        if is_return && glob::is_pattern(provider) && !provider.contains("ret") {
            continue;
        }
        let wanted = glob::matches(provider, ty.name) || ty.aliases.contains(&provider);
        if !wanted || ty.expand.is_none() {
            continue;
        }
        let listed = of_type(info, ty.name, rest);
        match listed {
            Ok(names) => result.extend(names),
            // A wildcard over all types shows what can be shown.
            Err(_) if glob::is_pattern(provider) => {}
            Err(message) => return Err(message),
        }
    }
    result.sort();
    result.dedup();
    Ok(result)
}

fn of_type(info: &dyn KernelInfo, provider: &str, pattern: &str) -> Result<Vec<String>, String> {
    match provider {
        "begin" | "end" => Ok(filter(std::iter::once(String::new()), provider, pattern)),
        "interval" | "profile" => {
            Ok(filter(["hz", "ms", "s", "us"].map(|unit| format!("{unit}:")).into_iter(), provider, pattern))
        }
        "software" | "hardware" => {
            let names = probes::timer::event_names(provider);
            Ok(filter(names.map(|name| format!("{name}:")), provider, pattern))
        }
        "tracepoint" => {
            let all = info.tracepoints().map_err(|error| error.to_string())?;
            let names = all.iter().map(|(category, name)| format!("{category}:{name}"));
            Ok(filter(names, provider, pattern))
        }
        "rawtracepoint" => {
            let all = info.raw_tracepoints().map_err(|error| error.to_string())?;
            Ok(filter(all.iter().map(|name| format!("vmlinux:{name}")), provider, pattern))
        }
        "kprobe" | "kretprobe" => {
            let all = info.kernel_functions().map_err(|error| error.to_string())?;
            Ok(filter(all.iter().map(|(_, name)| name.clone()), provider, pattern))
        }
        "uprobe" | "uretprobe" => user(info, provider, pattern),
        _ => Ok(Vec::new()),
    }
}

fn filter(names: impl Iterator<Item = String>, provider: &str, pattern: &str) -> Vec<String> {
    names
        .filter(|name| name.split(':').chain([name.as_str()]).any(|part| glob::matches(pattern, part)))
        .map(|name| if name.is_empty() { provider.to_string() } else { format!("{provider}:{name}") })
        .collect()
}

/// Functions of a binary; a pattern without one names nothing.
fn user(info: &dyn KernelInfo, provider: &str, pattern: &str) -> Result<Vec<String>, String> {
    let (binary, function) = pattern.rsplit_once(':').unwrap_or((pattern, "*"));
    if binary == "*" {
        return Ok(Vec::new());
    }
    let nowhere = Span { source: SourceId(0), start: 0, end: 0 };
    let parts = [provider, binary, function].map(|text| AttachPart { span: nowhere, text: text.to_string() });
    let point = AttachPoint { span: nowhere, label: None, parts: parts.into(), text: format!("{provider}:{pattern}") };
    let settings = Settings { max_probes: u64::MAX, ..Settings::default() };
    let mut environment = Environment::default();
    environment.settings = settings;
    let expanded = probes::expand(&point, &environment, info, None).map_err(|diagnostic| diagnostic.message)?;
    Ok(expanded.into_iter().map(|probe| probe.context.name).collect())
}
