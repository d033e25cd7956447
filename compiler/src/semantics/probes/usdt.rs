//! `usdt`: static tracepoints of user programs and libraries.

use std::path::Path;
use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::plan::{Attach, ProgramKind, UsdtPlace};
use crate::types::AddressSpace;
use crate::user_info::UsdtProbe;

use super::{Arguments, Expanded, ProbeContext, ProbeType, Request, UsdtSite, glob, uprobe};

pub const USDT: ProbeType = ProbeType {
    name: "usdt",
    aliases: &["U"],
    variants: &["usdt:binary:probe", "usdt:binary:namespace:probe"],
    documentation: "Fires at a static tracepoint of a program; its arguments are in `arg0` ….",
    expand,
};

fn expand(request: &Request) -> Result<Vec<Expanded>, Box<Diagnostic>> {
    let parts: Vec<&str> = request.parts.iter().map(String::as_str).collect();
    let (binary, provider, name) = match parts.as_slice() {
        [name] if request.pid.is_some() => ("*", "", *name),
        [binary, name] => (*binary, "", *name),
        [binary, provider, name] => (*binary, *provider, *name),
        _ => return Err(request.wrong_form(&USDT)),
    };
    if name.is_empty() {
        return Err(request.error("invalid-probe", "usdt probe must have a target function or wildcard"));
    }
    // Without a file, all that the process has mapped.
    let binary = if binary.is_empty() && request.pid.is_some() { "*" } else { binary };
    if binary.is_empty() {
        let message = "usdt probe must specify at least path or pid to probe. To target all paths/pids set the path to \
                       '*'.";
        return Err(request.error("invalid-probe", message));
    }
    let paths = uprobe::binaries(request, &USDT, binary)?;
    let any = glob::is_pattern(binary) || glob::is_pattern(name);
    let mut known = Vec::new();
    let mut result = Vec::new();
    for path in &paths {
        let probes = match request.info.usdt_probes(path) {
            Ok(probes) => probes,
            Err(_) if any => continue,
            Err(error) => return Err(request.unavailable(error)),
        };
        let wanted = |probe: &&UsdtProbe| {
            glob::matches(name, &probe.name) && (provider.is_empty() || glob::matches(provider, &probe.provider))
        };
        result.extend(probes.iter().filter(wanted).map(|probe| at(request, path, probe)));
        known.extend(probes.iter().map(|probe| probe.name.clone()));
        request.check_limit(result.len())?;
    }
    if result.is_empty() && !glob::is_pattern(name) {
        let shown = request.parts.join(":");
        return Err(request.no_match(&USDT, &shown, name, known.iter().map(String::as_str)));
    }
    Ok(result)
}

fn at(request: &Request, path: &Path, probe: &UsdtProbe) -> Expanded {
    let name = format!("usdt:{}:{}:{}", path.display(), probe.provider, probe.name);
    let mut context = ProbeContext::new(ProgramKind::Probe, USDT.name, name);
    context.address_space = AddressSpace::User;
    context.arguments =
        Arguments::Usdt(Arc::new(UsdtSite { path: path.to_owned(), locations: probe.locations.clone() }));
    let places = probe.locations.iter();
    let places = places.map(|place| UsdtPlace { offset: place.file_offset, semaphore: place.semaphore }).collect();
    let attach = Attach::Usdt { path: path.display().to_string(), places };
    Expanded { attach, context, span: request.point.span }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::environment::Environment;
    use crate::semantics::fake::FakeKernel;
    use crate::syntax::ast::Item;

    fn expanded(text: &str, pid: Option<u32>) -> Result<Vec<String>, String> {
        let probe = |provider: &str, name: &str| UsdtProbe {
            provider: provider.into(),
            name: name.into(),
            locations: Vec::new(),
        };
        let usdt = vec![probe("one", "start"), probe("one", "stop"), probe("two", "start")];
        let kernel = FakeKernel { usdt, ..FakeKernel::default() };
        let script = crate::syntax::parse(&format!("{text} {{}}"), crate::syntax::ast::SourceId(0)).unwrap();
        let Item::Probe(probe) = &script.items[0] else { panic!("no probe") };
        let found = super::super::expand(&probe.attach_points[0], &Environment::default(), &kernel, pid);
        found.map(|all| all.into_iter().map(|one| one.context.name).collect()).map_err(|diagnostic| diagnostic.message)
    }

    #[test]
    fn providers_may_be_left_out_or_be_patterns() {
        let names = |text| expanded(text, None).unwrap();
        assert_eq!(names("usdt:/b:one:start"), ["usdt:/b:one:start"]);
        assert_eq!(names("U:/b:start"), ["usdt:/b:one:start", "usdt:/b:two:start"]);
        assert_eq!(names("usdt:/b::st*p"), ["usdt:/b:one:stop"]);
        assert_eq!(names("usdt:/b:t*:*"), ["usdt:/b:two:start"]);
        assert_eq!(names("usdt:*:stop"), ["usdt:/bin/mapped:one:stop"]);
    }

    #[test]
    fn a_process_stands_for_its_files() {
        assert_eq!(expanded("usdt:stop", Some(7)).unwrap(), ["usdt:/bin/mapped:one:stop"]);
        assert_eq!(expanded("usdt::one:stop", Some(7)).unwrap(), ["usdt:/bin/mapped:one:stop"]);
        assert!(expanded("usdt::one:stop", None).unwrap_err().contains("at least path or pid"));
        assert_eq!(expanded("usdt:/b:one:stat", None).unwrap_err(), "No matches for usdt /b:one:stat.");
    }
}
