//! A script on its way from text to a running trace, as cells and the command line share it.

use std::mem;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use probebook_compiler::codegen::{Cache, Cpu, Listing, Options};
use probebook_compiler::diagnostics::{Diagnostic, Sources};
use probebook_compiler::pipeline::{self, Compiled, Request};
use probebook_compiler::plan::{MapRole, Plan, Settings};
use probebook_compiler::semantics::c_sources::CCode;
use probebook_compiler::semantics::c_types::CTypes;
use probebook_compiler::semantics::environment::{Declaration, LiveMap};
use probebook_compiler::semantics::named_parameters::NamedParameter;
use probebook_compiler::semantics::probe_filter::ProbeFilter;
use probebook_compiler::syntax::ast::{Macro, SourceId, Span, Subprogram};
use probebook_runtime::attach::{AttachError, Reason};
use probebook_runtime::events::{LossKind, LossReport};
use probebook_runtime::loader::privilege::Refusal;
use probebook_runtime::loader::program::LoadError;
use probebook_runtime::{PreparedMaps, Session, StartError, TraceError};

use crate::doctor::remedies;

/// A script, and what it may refer to.
pub struct Script<'a> {
    pub sources: &'a Sources,
    pub source: SourceId,
    pub live_maps: &'a [LiveMap],
    /// What earlier cells have defined.
    pub definitions: &'a Definitions,
    /// Objects of cells that were run before.
    pub cache: Option<&'a Cache>,
    pub parameters: &'a [String],
    /// `--name=value`
    pub named: &'a [NamedParameter],
    pub pid: Option<u32>,
    pub allow_unsafe: bool,
    pub flags: &'a Flags,
}

impl<'a> Script<'a> {
    /// A script by itself: after no other cells, with no parameters, compiled as usual.
    pub fn new(sources: &'a Sources, source: SourceId) -> Script<'a> {
        static NOTHING: LazyLock<(Definitions, Flags)> = LazyLock::new(Default::default);
        Script {
            sources,
            source,
            live_maps: &[],
            definitions: &NOTHING.0,
            cache: None,
            parameters: &[],
            named: &[],
            pid: None,
            allow_unsafe: false,
            flags: &NOTHING.1,
        }
    }
}

/// What the command line says of how scripts are compiled.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `-I`
    pub include_dirs: Vec<PathBuf>,
    /// `--include`
    pub include_files: Vec<String>,
    /// `-k`
    pub read_warnings: bool,
    /// `--no-probe-check`
    pub assume_probes: bool,
    /// `--probe-filter`
    pub probe_filter: Option<ProbeFilter>,
    /// `--no-feature kprobe_session`
    pub no_kprobe_sessions: bool,
    /// `--emit-elf`: all programs are wanted in one file.
    pub one_file: bool,
}

/// What cells define for those after them.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    pub settings: Settings,
    pub maps: Vec<(String, Declaration)>,
    pub c_types: CTypes,
    pub macros: Vec<Macro>,
    pub functions: Vec<Subprogram>,
    pub c_code: Vec<CCode>,
    /// The texts that the macros, the C ones too, and the functions stand in; later cells' texts are added behind them.
    pub sources: Sources,
}

impl Definitions {
    /// Takes over what a cell has defined; it has that no more.
    pub fn update(&mut self, compiled: &mut Compiled, sources: &Sources, source: SourceId) {
        // Imported texts come behind the cell's own.
        let defines = compiled.macros.iter().any(|one| one.span.source >= source)
            || compiled.functions.iter().any(|one| one.span.source >= source)
            || compiled.c_code.iter().any(|code| code.defines_from(source));
        if defines || compiled.c_types.has_macros_from(source) {
            self.macros = mem::take(&mut compiled.macros);
            self.functions = mem::take(&mut compiled.functions);
            self.sources.clone_from(sources);
        }
        self.settings.clone_from(&compiled.plan.settings);
        self.maps = mem::take(&mut compiled.declarations);
        self.c_types = mem::take(&mut compiled.c_types);
        self.c_code = mem::take(&mut compiled.c_code);
    }
}

/// Compiles a script against the running system.
pub fn compile(session: &Session, script: &Script) -> Result<Compiled, Vec<Diagnostic>> {
    with_request(session, script, pipeline::compile)
}

/// What LLVM makes of a script that was compiled, as text.
pub fn list(session: &Session, script: &Script, compiled: &Compiled) -> Result<Listing, Vec<Diagnostic>> {
    with_request(session, script, |request| pipeline::list(request, compiled))
}

/// Compiles a script, and prepares its maps meanwhile: both take milliseconds. Maps that cannot be
/// prepared are `None`; starting the plan without them tells why. `retype` as in `StartOptions`.
pub fn compile_and_prepare(
    session: &Session,
    script: &Script,
    retype: &[String],
) -> Result<(Compiled, Option<PreparedMaps>), Vec<Diagnostic>> {
    with_request(session, script, |request| {
        let analysed = pipeline::analyse(request)?;
        let plan = analysed.plan.clone();
        std::thread::scope(|scope| {
            let maps = (!plan.probes.is_empty()).then(|| scope.spawn(|| session.prepare(&plan, retype).ok()));
            let compiled = analysed.generate(request)?;
            let maps = maps.and_then(|thread| thread.join().ok().flatten());
            Ok((compiled, maps))
        })
    })
}

/// How long the steps of a compilation took.
#[derive(Clone, Copy, Debug)]
pub struct CompileTimes {
    /// From text to typed programs.
    pub front_end: Duration,
    pub whole: Duration,
}

/// Compiles a script as if it were the first time, and takes the time.
pub fn time_compilation(session: &Session, script: &Script) -> Result<CompileTimes, Vec<Diagnostic>> {
    let script = Script { cache: None, ..*script };
    with_request(session, &script, |request| {
        let begun = Instant::now();
        let analysed = pipeline::analyse(request)?;
        let front_end = begun.elapsed();
        analysed.generate(request)?;
        Ok(CompileTimes { front_end, whole: begun.elapsed() })
    })
}

fn with_request<R>(session: &Session, script: &Script, then: impl FnOnce(&Request) -> R) -> R {
    let variables: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with("BPFTRACE_")).collect();
    let request = Request {
        live_maps: script.live_maps,
        parameters: script.parameters,
        named: script.named,
        c_types: &script.definitions.c_types,
        macros: &script.definitions.macros,
        functions: &script.definitions.functions,
        declarations: &script.definitions.maps,
        c_code: &script.definitions.c_code,
        settings: script.definitions.settings.clone(),
        variables: &variables,
        pid: script.pid,
        allow_unsafe: script.allow_unsafe,
        include_dirs: &script.flags.include_dirs,
        include_files: &script.flags.include_files,
        read_warnings: script.flags.read_warnings,
        assume_probes: script.flags.assume_probes,
        probe_filter: script.flags.probe_filter.clone(),
        kprobe_sessions: !script.flags.no_kprobe_sessions,
        options: Options { cpu: Cpu::V3, newest: newest_cpu(session), one_file: script.flags.one_file },
        cache: script.cache,
        ..Request::new(script.sources, script.source, session.system().as_ref())
    };
    then(&request)
}

/// The newest version of the BPF instruction set that this kernel has.
fn newest_cpu(session: &Session) -> Cpu {
    if session.system().release() >= (6, 6) { Cpu::V4 } else { Cpu::V3 }
}

/// A trace that could not be started, shown in the script: each failure has a position.
pub fn start_failure(error: &StartError, plan: &PlanPlaces, sources: &Sources, source: SourceId) -> Diagnostic {
    let whole = Span { source, start: 0, end: 0 };
    let diagnostic = match error {
        StartError::Load(LoadError::Rejected { program, message, place, .. }) => {
            let span = place
                .as_ref()
                .and_then(|place| line_span(sources, source, place.line as usize, place.column as usize))
                .or_else(|| plan.program(*program))
                .unwrap_or(whole);
            let helper = remedies::refused_helper(message);
            let text = match helper {
                Some(_) => message.clone(),
                None => format!("the kernel's verifier rejected the program: {message}"),
            };
            hinted(Diagnostic::error("verifier-rejection", span, text), helper.and_then(remedies::for_helper))
        }
        StartError::Load(LoadError::Kernel { program, .. }) => {
            Diagnostic::error("load-failed", plan.program(*program).unwrap_or(whole), error.to_string())
        }
        StartError::Load(LoadError::Refused { program, refusal }) => {
            let diagnostic =
                Diagnostic::error("missing-privilege", plan.program(*program).unwrap_or(whole), error.to_string());
            with_remedy(diagnostic, matches!(refusal, Refusal::ByKernel { .. }), plan.provider(*program))
        }
        StartError::Attach(error) => attach_failure(error),
        StartError::Load(LoadError::Interrupted) => Diagnostic::error("interrupted", whole, error.to_string()),
        StartError::Maps(_) => Diagnostic::error("map-failed", plan.map().unwrap_or(whole), error.to_string()),
        StartError::Child { .. } | StartError::NoSuchProcess(_) => {
            let id = if matches!(error, StartError::Child { .. }) { "command-failed" } else { "no-such-process" };
            Diagnostic::error(id, plan.target.unwrap_or(Span::NOWHERE), error.to_string())
        }
        _ => Diagnostic::error("start-failed", plan.program(0).unwrap_or(whole), error.to_string()),
    };
    hinted(diagnostic, remedies::for_start(error))
}

fn hinted(diagnostic: Diagnostic, remedy: Option<&str>) -> Diagnostic {
    match remedy {
        Some(remedy) => diagnostic.hint(remedy),
        None => diagnostic,
    }
}

/// A trace that failed while it was attached or run.
pub fn trace_failure(error: &TraceError, plan: &PlanPlaces, source: SourceId) -> Diagnostic {
    match error {
        TraceError::Attach(error) => attach_failure(error),
        TraceError::Child { .. } => {
            let place = plan.target.unwrap_or(Span::NOWHERE);
            hinted(Diagnostic::error("command-failed", place, error.to_string()), remedies::for_trace(error))
        }
        _ => {
            let span = plan.program(0).unwrap_or(Span { source, start: 0, end: 0 });
            hinted(Diagnostic::error("attach-failed", span, error.to_string()), remedies::for_trace(error))
        }
    }
}

fn attach_failure(error: &AttachError) -> Diagnostic {
    let diagnostic = Diagnostic::error("attach-failed", error.span, error.to_string());
    let is_kernels = matches!(
        error.reason,
        Reason::Refused(Refusal::ByKernel { .. }) | Reason::NoKernelSupport { .. } | Reason::System { .. }
    );
    with_remedy(diagnostic, is_kernels, error.probe.split(':').next().unwrap_or_default())
}

/// What `doctor` would advise, if it is the kernel that does not let this type of probe be.
fn with_remedy(diagnostic: Diagnostic, is_kernels: bool, provider: &str) -> Diagnostic {
    hinted(diagnostic, remedies::for_probe(provider).filter(|_| is_kernels))
}

/// Where a plan's parts stand in the script; outlives the plan.
#[derive(Clone, Debug, Default)]
pub struct PlanPlaces {
    /// A program's probe type and place.
    programs: Vec<Option<(String, Span)>>,
    map: Option<Span>,
    /// What is traced, if a cell's magic names it.
    target: Option<Span>,
}

impl PlanPlaces {
    pub fn of(plan: &Plan) -> PlanPlaces {
        let place = |index| {
            let probe = plan.probes.iter().find(|probe| probe.program == index)?;
            Some((probe.name.split(':').next().unwrap_or_default().to_string(), probe.span))
        };
        let map = plan.maps.iter().find_map(|map| match &map.role {
            MapRole::User(user) => Some(user.span),
            _ => None,
        });
        PlanPlaces { programs: (0..plan.programs.len()).map(place).collect(), map, target: None }
    }

    /// As it is, with the place of what is traced.
    pub fn with_target(self, target: Option<Span>) -> PlanPlaces {
        PlanPlaces { target, ..self }
    }

    fn program(&self, index: usize) -> Option<Span> {
        self.programs.get(index)?.as_ref().map(|(_, span)| *span)
    }

    fn provider(&self, index: usize) -> &str {
        self.programs.get(index).and_then(Option::as_ref).map_or("", |(provider, _)| provider)
    }

    fn map(&self) -> Option<Span> {
        self.map
    }
}

/// One line about something that was lost.
pub fn loss_text(report: &LossReport) -> String {
    let count = report.new;
    match &report.kind {
        LossKind::Events => format!("Lost {count} events"),
        LossKind::MapFull { map } => {
            format!(
                "WARNING: Map full; can't update element: @{map} is full, {count} new keys were not stored. Try increasing max_map_keys or declaring the map larger: let @{map} = hash(…)"
            )
        }
        LossKind::NoMemory { map, ready } => {
            format!(
                "WARNING: {count} new keys of @{map} were not stored: the map is so large that its memory is allocated as it grows, and the kernel had none ready in the probe. Up to max_map_keys={ready} all of it is there from the start"
            )
        }
        LossKind::Stacks { user } => {
            let which = if *user { "user" } else { "kernel" };
            format!("WARNING: {count} {which} stacks could not be stored")
        }
        LossKind::ForgottenStacks => format!(
            "WARNING: {count} stacks of dw_ustack were forgotten, because there were too many different ones: their keys are printed without frames. Narrow the probe to fewer of them"
        ),
        LossKind::Packets => format!("WARNING: {count} packets could not be written: their buffer was full"),
        LossKind::Missed { probe } => {
            format!("WARNING: {probe} was skipped {count} times, because a program was already running on that CPU")
        }
    }
}

/// The rest of a line from a column on, both from 1.
fn line_span(sources: &Sources, source: SourceId, line: usize, column: usize) -> Option<Span> {
    let text = &sources.get(source)?.text;
    let start_of_line: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let rest = text.get(start_of_line..)?.lines().next()?;
    let skip: usize = rest.chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
    let start = start_of_line + skip;
    let end = start_of_line + rest.trim_end().len();
    Some(Span { source, start: start as u32, end: end.max(start) as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_verifiers_log_becomes_a_span() {
        let mut sources = Sources::default();
        let source = sources.add("cell", "begin {\n  $x = 1;\n}\n");
        let span = line_span(&sources, source, 2, 3).unwrap();
        assert_eq!((span.start, span.end), (10, 17));
        assert_eq!(line_span(&sources, source, 9, 1), None);
    }
}
