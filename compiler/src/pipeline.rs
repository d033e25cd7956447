//! The whole way from text to plan, a line a pass.

use crate::codegen::{self, CodegenError};
use crate::diagnostics::{Diagnostic, Sources};
use crate::ir::Module;
use crate::kernel_info::KernelInfo;
use crate::plan::{Plan, Settings};
use crate::semantics::environment::{Declaration, Environment, LiveMap};
use crate::semantics::{self, Analysis};
use crate::syntax::ast::{SourceId, Span};
use crate::syntax;

/// A script to compile, and what surrounds it.
pub struct Request<'a> {
    pub sources: &'a Sources,
    /// Which of the sources is the script.
    pub source: SourceId,
    pub info: &'a dyn KernelInfo,
    /// The session's maps, whose types are fixed.
    pub live_maps: &'a [LiveMap],
    /// `let @name = …` of earlier cells.
    pub declarations: &'a [(String, Declaration)],
    /// Positional parameters, `$1` first.
    pub parameters: &'a [String],
    /// Settings from the environment and from earlier cells.
    pub settings: Settings,
    /// Trace this process only.
    pub pid: Option<u32>,
    pub allow_unsafe: bool,
    pub options: codegen::Options,
}

/// A compiled script.
pub struct Compiled {
    pub plan: Plan,
    pub warnings: Vec<Diagnostic>,
    /// `let @name = …` of this script and of earlier cells.
    pub declarations: Vec<(String, Declaration)>,
    /// The typed intermediate form, for `-d ir` and snapshots.
    pub module: Module,
}

/// Compiles a script. Errors of one pass are reported together.
pub fn compile(request: &Request) -> Result<Compiled, Vec<Diagnostic>> {
    let text = request.sources.get(request.source).map_or("", |source| source.text.as_str());
    let script = syntax::parse(text, request.source)?;
    let mut environment = environment(request);
    let analysis = semantics::analyse(&script, &mut environment, request.info, request.pid)?;
    let declarations = environment.declarations();
    let Analysis { mut module, mut builder, probes, warnings } = analysis;
    let scratch = codegen::place_slots(&mut module);
    if scratch > 0 {
        module.scratch = Some(builder.scratch(scratch, module.programs.len() as u32));
    }
    builder.finish();
    let object = codegen::generate(&module, request.sources, &request.options)
        .map_err(|error| vec![backend_error(error, request.source)])?;
    let plan = Plan {
        object: object.elf,
        programs: object.programs,
        probes,
        maps: builder.maps,
        events: builder.events,
        time_formats: builder.time_formats,
        cgroup_filters: builder.cgroup_filters,
        losses: builder.losses,
        settings: environment.settings,
    };
    Ok(Compiled { plan, warnings, declarations, module })
}

/// What the script's surroundings have settled before it is looked at.
fn environment(request: &Request) -> Environment {
    let mut environment = Environment::with_live_maps(request.live_maps);
    environment.declare(request.declarations);
    environment.parameters = request.parameters.to_vec();
    environment.allow_unsafe = request.allow_unsafe;
    environment.settings = request.settings.clone();
    environment
}

/// A fault of ours or a limit of BPF, shown where it arose.
fn backend_error(error: CodegenError, source: SourceId) -> Diagnostic {
    let span = error.span.unwrap_or(Span { source, start: 0, end: 0 });
    Diagnostic::error("code-generation", span, error.message)
        .hint("this is a limit of BPF, or a fault of probebook: a smaller action may help, and a report would")
}
