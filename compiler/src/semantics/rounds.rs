//! The driver: expands probes, lowers every action until the types have settled, and once more.

use std::collections::HashSet;

use crate::diagnostics::Diagnostic;
use crate::ir::{Function, Module, Program};
use crate::kernel_info::KernelInfo;
use crate::plan::{MapKind, MapRole, ProbePlan};
use crate::semantics::actions::{Action, Walk};
use crate::semantics::config;
use crate::semantics::direct_tracepoints;
use crate::semantics::environment::{Declaration, Environment};
use crate::semantics::functions;
use crate::semantics::missing_probes;
use crate::semantics::plan_builder::PlanBuilder;
use crate::semantics::probes;
use crate::semantics::sessions;
use crate::syntax::ast::{Item, MapDeclaration, Script, Span};
use crate::types::Type;

/// More rounds than any script needs: each must widen a type, and types widen a few times only.
const MOST_ROUNDS: usize = 40;

/// A script that was understood.
pub struct Analysis {
    pub module: Module,
    pub builder: PlanBuilder,
    pub probes: Vec<ProbePlan>,
    pub warnings: Vec<Diagnostic>,
}

/// Checks a script and lowers it. Several independent errors are reported together.
pub fn analyse(
    script: &Script,
    environment: &mut Environment,
    info: &dyn KernelInfo,
    pid: Option<u32>,
) -> Result<Analysis, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    if let Some(config) = &script.config {
        config::apply(&mut environment.settings, config, &mut diagnostics);
    }
    for (name, value) in environment.setting_variables.clone() {
        if let Err(detail) = config::apply_environment(&mut environment.settings, &name, &value) {
            let message = format!("Invalid value for the environment variable {name}: {detail}");
            diagnostics.push(Diagnostic::error("invalid-config", Span::NOWHERE, message));
        }
    }
    functions::declare(script, environment, info, &mut diagnostics);
    declare_maps(script, environment, &mut diagnostics);
    let actions = expand(script, environment, info, pid, &mut diagnostics);
    limit_probes(&actions, environment.settings.max_probes, &mut diagnostics);
    for one in actions.iter().flat_map(|action| &action.expanded) {
        if let Some((path, _)) = one.context.binary() {
            environment.c_types.add_binary(path);
        }
    }
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(diagnostics);
    }
    let mut warnings = std::mem::take(&mut diagnostics);
    let Some(round) = settle(script, &actions, environment, info) else {
        let message = "a type grows without end: something is stored in what it is made of";
        let diagnostic = Diagnostic::error("endless-type", script_start(script), message);
        return Err(vec![diagnostic.hint("give it a size: `let $x: string[64]`, or cast what is stored")]);
    };
    let Round { functions, mut programs, mut probes, mut builder, mut diagnostics } = round;
    limit_programs(&probes, programs.len(), environment.settings.max_bpf_progs, &mut diagnostics);
    functions::refuse_recursion(environment, &mut diagnostics);
    check_declared_kinds(script, environment, &mut diagnostics);
    warn_unused_maps(script, &builder, &mut diagnostics);
    tell_once(&mut diagnostics);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(diagnostics);
    }
    direct_tracepoints::choose(&mut programs, &mut probes, info);
    if environment.kprobe_sessions {
        sessions::join(&mut programs, &mut probes, &mut builder, info);
    }
    warnings.extend(diagnostics);
    let license = environment.settings.license.clone();
    let module = Module { programs, functions, license, ..Module::default() };
    Ok(Analysis { module, builder, probes, warnings })
}

/// An action that stands for several programs is checked for each: the same is said once.
fn tell_once(diagnostics: &mut Vec<Diagnostic>) {
    let mut told = HashSet::new();
    diagnostics.retain(|one| told.insert((one.id, one.primary.span, one.message.clone())));
}

/// What is aggregated is kept per CPU, and nothing else is.
fn check_declared_kinds(script: &Script, environment: &Environment, diagnostics: &mut Vec<Diagnostic>) {
    for item in &script.items {
        let Item::MapDeclaration(declaration) = item else { continue };
        let Some(map) = environment.maps.get(&declaration.map.name) else { continue };
        let (Some(declared), Some(value)) = (map.declared, &map.value) else { continue };
        let aggregated = matches!(value, Type::Aggregate(_));
        if aggregated == declared.kind.is_per_cpu() {
            continue;
        }
        let message = format!(
            "Incompatible map types. Type from declaration: {}. Type from value/key type: {}",
            declaration.kind.name,
            if aggregated { "percpuhash" } else { "hash" }
        );
        let diagnostic = Diagnostic::error("incompatible-map-kind", declaration.span, message);
        diagnostics.push(diagnostic.also(map.first, "used here"));
    }
}

/// Maps that are declared for nothing. In a cell without probes a declaration is for later ones.
fn warn_unused_maps(script: &Script, builder: &PlanBuilder, diagnostics: &mut Vec<Diagnostic>) {
    let is_used =
        |name: &str| builder.maps.iter().any(|map| matches!(&map.role, MapRole::User(map) if map.name == name));
    if !script.items.iter().any(|item| matches!(item, Item::Probe(_))) {
        return;
    }
    for item in &script.items {
        if let Item::MapDeclaration(declaration) = item
            && !is_used(&declaration.map.name)
        {
            let message = format!("Unused map: @{}", declaration.map.name);
            diagnostics.push(Diagnostic::warning("unused-map", declaration.span, message));
        }
    }
}

/// The first probe, for what has no place in the script.
fn script_start(script: &Script) -> Span {
    let probe = script.items.iter().find_map(|item| match item {
        Item::Probe(probe) => probe.attach_points.first().map(|point| point.span),
        _ => None,
    });
    probe.unwrap_or_default()
}

/// Lowers again and again until every type was known from the beginning: for most scripts that is once.
/// `None` if it does not come to an end.
fn settle(script: &Script, actions: &[Action], environment: &mut Environment, info: &dyn KernelInfo) -> Option<Round> {
    for _ in 0..MOST_ROUNDS {
        environment.begin_round();
        let round = Round::run(script, actions, environment, info);
        if environment.last_round || !environment.changed && !environment.met_unknown {
            return Some(round);
        }
        if environment.changed || environment.learned {
            continue;
        }
        // No other round will tell the type of what is still unknown.
        if environment.reads_untyped && !environment.untyped_are_integers {
            environment.untyped_are_integers = true;
        } else {
            environment.last_round = true;
        }
    }
    None
}

/// What one walk over the script has given.
struct Round {
    functions: Vec<Function>,
    programs: Vec<Program>,
    probes: Vec<ProbePlan>,
    builder: PlanBuilder,
    diagnostics: Vec<Diagnostic>,
}

impl Round {
    fn run(script: &Script, actions: &[Action], environment: &mut Environment, info: &dyn KernelInfo) -> Round {
        let mut builder = PlanBuilder::default();
        let mut diagnostics = Vec::new();
        let functions = functions::lower(script, environment, info, &mut builder, &mut diagnostics);
        let mut walk = Walk::new(environment, info, &mut builder, &mut diagnostics);
        actions.iter().for_each(|action| walk.action(action));
        let Walk { programs, probes, .. } = walk;
        Round { functions, programs, probes, builder, diagnostics }
    }
}

fn declare_maps(script: &Script, environment: &mut Environment, diagnostics: &mut Vec<Diagnostic>) {
    for item in &script.items {
        if let Item::MapDeclaration(declaration) = item
            && let Err(diagnostic) = declare_map(declaration, environment)
        {
            diagnostics.push(*diagnostic);
        }
    }
}

fn declare_map(declaration: &MapDeclaration, environment: &mut Environment) -> Result<(), Box<Diagnostic>> {
    let kind = match declaration.kind.name.as_str() {
        "hash" => MapKind::Hash,
        "lruhash" => MapKind::LruHash,
        "percpuhash" => MapKind::PerCpuHash,
        "percpulruhash" => MapKind::LruPerCpuHash,
        other => {
            let diagnostic =
                Diagnostic::error("unknown-map-kind", declaration.kind.span, format!("invalid bpf map type: {other}"));
            return Err(Box::new(diagnostic.hint("the kinds are hash, lruhash, percpuhash and percpulruhash")));
        }
    };
    use crate::syntax::ast::ExprKind;
    let max_entries = match &declaration.max_entries {
        Some(expr) => match expr.kind {
            ExprKind::Integer(n @ 1..=0xffff_ffff) => n as u32,
            _ => {
                return Err(Box::new(Diagnostic::error(
                    "invalid-map-size",
                    expr.span,
                    "a map needs a constant number of entries",
                )));
            }
        },
        None => {
            return Err(Box::new(Diagnostic::error(
                "invalid-map-size",
                declaration.span,
                "a map needs a number of entries",
            )));
        }
    };
    let declared = Declaration { kind, max_entries };
    let map = environment.map(&declaration.map.name, declaration.map.span);
    match (&map.fixed_by, map.declared) {
        (Some(cell), Some(has)) if has != declared => {
            let message = format!("@{} was created otherwise in {cell}", declaration.map.name);
            let diagnostic = Diagnostic::error("map-redeclared", declaration.span, message);
            Err(Box::new(diagnostic.hint(format!("%drop @{} forgets it", declaration.map.name))))
        }
        _ => {
            map.declared = Some(declared);
            Ok(())
        }
    }
}

fn expand<'a>(
    script: &'a Script,
    environment: &Environment,
    info: &dyn KernelInfo,
    pid: Option<u32>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Action<'a>> {
    let mut actions = Vec::new();
    let how = environment.settings.missing_probes;
    for item in &script.items {
        let Item::Probe(probe) = item else { continue };
        let mut expanded = Vec::new();
        let mut found = Vec::new();
        for point in &probe.attach_points {
            match probes::expand(point, environment, info, pid) {
                Ok(probes) if probes.is_empty() => {
                    let message = format!("no probes match {}", point.text);
                    found.push(Diagnostic::warning("no-match", point.span, message));
                }
                Ok(probes) => {
                    if !environment.assume_probes {
                        found.extend(missing_probes::doubtful(point, &probes, info));
                    }
                    expanded.extend(probes);
                }
                Err(diagnostic) => found.extend(missing_probes::of_point(point, *diagnostic, how)),
            }
        }
        if expanded.is_empty() && !found.iter().any(Diagnostic::is_error) {
            found.extend(missing_probes::of_action(probe, how));
        }
        diagnostics.extend(found);
        if let Some(filter) = &environment.probe_filter {
            expanded.retain(|probe| filter.wants(probe));
        }
        actions.push(Action { probe, expanded });
    }
    actions
}

/// Refuses more probes than `max_probes`, where the first is that is too much.
fn limit_probes(actions: &[Action], limit: u64, diagnostics: &mut Vec<Diagnostic>) {
    let mut all = actions.iter().flat_map(|action| &action.expanded);
    let count = all.clone().count();
    let Some(first) = usize::try_from(limit).ok().and_then(|limit| all.nth(limit)) else { return };
    let message = format!("Can't attach to {count} probes because it exceeds the current limit of {limit} probes");
    let diagnostic = Diagnostic::error("too-many-probes", first.span, message);
    diagnostics.push(diagnostic.hint("narrow the wildcards, or raise the limit: config = { max_probes=… }"));
}

/// Refuses more programs than `max_bpf_progs`, where the first is that is too much.
fn limit_programs(probes: &[ProbePlan], count: usize, limit: u64, diagnostics: &mut Vec<Diagnostic>) {
    let beyond = |probe: &&ProbePlan| probe.program as u64 >= limit;
    let Some(first) = probes.iter().find(beyond) else { return };
    let message = format!("the script needs {count} BPF programs, which exceeds the current limit of {limit}");
    let diagnostic = Diagnostic::error("too-many-programs", first.span, message);
    diagnostics.push(diagnostic.hint("raise the limit: config = { max_bpf_progs=… }"));
}
