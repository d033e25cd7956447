//! The probes that a pattern matches, as `probebook list` and `%probes` show them.

use probebook_compiler::kernel_info::KernelInfo;
use probebook_compiler::plan::Settings;
use probebook_compiler::semantics::environment::Environment;
use probebook_compiler::semantics::probes::{self, glob};
use probebook_compiler::syntax::ast::{AttachPart, AttachPoint, SourceId, Span};

/// Full names, sorted; `Err` says what the system could not tell.
pub fn matching(info: &dyn KernelInfo, pattern: &str) -> Result<Vec<String>, String> {
    let (provider, rest) = pattern.split_once(':').unwrap_or((pattern, "*"));
    let mut result = Vec::new();
    for ty in probes::TYPES {
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
        "begin" | "end" => Ok(vec![provider.to_string()]),
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
        .filter(|name| glob::matches(pattern, name) || name.rsplit(':').next().is_some_and(|last| glob::matches(pattern, last)))
        .map(|name| format!("{provider}:{name}"))
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
