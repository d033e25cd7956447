//! One cell's script: compiled, started, and run to its end or handed to a background job.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use probebook_compiler::diagnostics::{Diagnostic, Sources};
use probebook_compiler::pipeline::Compiled;
use probebook_compiler::plan::{MapRole, Plan, UserMap};
use probebook_compiler::semantics::named_parameters::NamedParameter;
use probebook_compiler::syntax::ast::{SourceId, Span};
use probebook_runtime::text::reason;
use probebook_runtime::{PreparedMaps, StartOptions, Status, Trace, TraceError, TraceHandle};

use super::errors;
use super::magics::{self, RunOptions};
use super::notebook::{Notebook, at, label};
use super::notebook_sink::NotebookSink;
use super::tables::user_maps;
use crate::engine::{self, PlanPlaces, Script};
use crate::jupyter::{ErrorReport, ExecuteRequest, Output};

/// A trace between its start and its end, with everything that it needs.
pub struct Running {
    pub trace: Trace,
    pub sink: NotebookSink,
    pub deadline: Option<Instant>,
    pub print_maps: bool,
    places: PlanPlaces,
    sources: Arc<Sources>,
    source: SourceId,
}

/// A script that was understood, and what it needs to start.
struct Compilation {
    compiled: Compiled,
    maps: Option<PreparedMaps>,
    /// The cell's own maps, whose types it may change.
    retype: Vec<String>,
}

impl Notebook {
    /// Runs the script that follows the cell's first `head` bytes; returns when it is over, or when its probes are attached in the background.
    pub(super) fn run_script(
        &self,
        head: usize,
        run: &RunOptions,
        request: &ExecuteRequest,
        output: &Output,
    ) -> Result<(), ErrorReport> {
        if let Some(job) = &run.background {
            self.jobs.check_free(&job.text).map_err(|error| at(job, error).report(request))?;
        }
        let label = label(request);
        let mut sources = self.state().definitions.sources.clone();
        let source = sources.add_behind(head, label.clone(), request.code.clone());
        let sources = Arc::new(sources);
        let cell = request.cell_id.as_deref();
        let Compilation { mut compiled, maps, retype } = self.compile(&sources, source, run, cell)?;
        if !compiled.warnings.is_empty() {
            output.stderr(&errors::warnings(&compiled.warnings, &sources));
        }
        if compiled.plan.probes.is_empty() {
            Arc::make_mut(&mut self.state().definitions).update(&mut compiled, &sources, source);
            return Ok(());
        }
        let used = Plan { maps: compiled.plan.maps.clone(), ..Plan::default() };
        let retyped = self.retyped(&used, &retype);
        let settings = compiled.plan.settings.clone();
        let plan = std::mem::replace(&mut compiled.plan, Plan { settings, ..Plan::default() });
        let mut running = self.start((plan, maps, retype), run, (Arc::clone(&sources), source), output)?;
        let handle = running.trace.handle();
        let status = running.begin()?;
        let mut state = self.state();
        // A cell that cannot start defines nothing.
        Arc::make_mut(&mut state.definitions).update(&mut compiled, &sources, source);
        retyped.iter().for_each(|name| state.origins.forget(name));
        state.origins.note(&used, &label, cell);
        drop(state);
        match &run.background {
            Some(job) if status == Status::Running && running.trace.has_probes() => {
                let maps = user_maps(&used.maps).map(str::to_string).collect();
                let started = self.jobs.start(&job.text, &label, handle, running, maps);
                started.map_err(|error| at(job, error).report(request))
            }
            _ => {
                running.run_to_end(status)?;
                if handle.is_abandoned() {
                    return Err(errors::plain(
                        "interrupted",
                        "the cell was interrupted twice: end and printing were given up",
                    ));
                }
                Ok(())
            }
        }
    }

    /// Compiles against the session's maps. A cell that is run again may retype its own.
    fn compile(
        &self,
        sources: &Sources,
        source: SourceId,
        run: &RunOptions,
        cell: Option<&str>,
    ) -> Result<Compilation, ErrorReport> {
        let plans = self.session.map_plans();
        let state = self.state();
        let all = state.origins.live_maps(&plans);
        let busy = self.jobs.maps();
        let is_own = |name: &str| state.origins.belongs_to(name, cell) && !busy.contains(name);
        let (own, others): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|live| is_own(&live.map.name));
        let allow_unsafe = state.allow_unsafe;
        let definitions = Arc::clone(&state.definitions);
        drop(state);
        let named: Vec<NamedParameter> = run
            .named
            .iter()
            .map(|(one, place)| NamedParameter { place: Some(span(source, place)), ..one.clone() })
            .collect();
        let compile = |live_maps: &[_], retype: Vec<String>| -> Result<Compilation, Vec<Diagnostic>> {
            let (parameters, named) = (&run.parameters, &named);
            let script = Script {
                live_maps,
                definitions: &definitions,
                cache: Some(&self.objects),
                parameters,
                named,
                pid: run.pid.as_ref().map(|(pid, _)| *pid),
                allow_unsafe,
                ..Script::new(sources, source)
            };
            let (compiled, maps) = engine::compile_and_prepare(&self.session, &script, &retype)?;
            Ok(Compilation { compiled, maps, retype })
        };
        let result = match compile(&all, Vec::new()) {
            Err(diagnostics) if !own.is_empty() && diagnostics.iter().any(is_clash) => {
                compile(&others, own.into_iter().map(|live| live.map.name).collect())
            }
            other => other,
        };
        result.map_err(|diagnostics| match self.was_interrupted() {
            true => errors::plain("interrupted", "the cell was interrupted while it was compiled"),
            false => errors::report(&hinted_at_magics(diagnostics, sources, source), sources),
        })
    }

    /// Those of the session's maps that a plan wants with other types, and may.
    fn retyped(&self, plan: &Plan, retype: &[String]) -> Vec<String> {
        let existing = self.session.map_plans();
        let differs = |wanted: &UserMap| {
            existing.iter().any(|old| match &old.role {
                MapRole::User(has) => has.name == wanted.name && (has.key != wanted.key || has.value != wanted.value),
                _ => false,
            })
        };
        let wanted = plan.maps.iter().filter_map(|map| match &map.role {
            MapRole::User(user) if retype.contains(&user.name) && differs(user) => Some(user.name.clone()),
            _ => None,
        });
        wanted.collect()
    }

    fn start(
        &self,
        (plan, maps, retype): (Plan, Option<PreparedMaps>, Vec<String>),
        run: &RunOptions,
        (sources, source): (Arc<Sources>, SourceId),
        output: &Output,
    ) -> Result<Running, ErrorReport> {
        let places = PlanPlaces::of(&plan);
        let text_options = self.session.text_options(&plan);
        let print_maps = plan.settings.print_maps_on_exit;
        let state = self.state();
        let (allow_unsafe, print) = (state.allow_unsafe, state.print);
        drop(state);
        let options = StartOptions {
            pid: run.pid.as_ref().map(|(pid, _)| *pid),
            child: run.command.as_ref().map(|command| command.text.clone()),
            capture_child_output: true,
            allow_unsafe,
            retype,
            handle: TraceHandle::default(),
            ..StartOptions::default()
        };
        self.enter(options.handle.clone());
        let started = match maps {
            Some(maps) => self.session.start_with(plan, maps, options),
            None => self.session.start(plan, options),
        };
        let target = run.command.as_ref().map(|command| &command.place).or(run.pid.as_ref().map(|(_, place)| place));
        let target = target.map(|place| span(source, place));
        let places = places.with_target(target);
        let mut trace = started
            .map_err(|error| errors::report(&[engine::start_failure(&error, &places, &sources, source)], &sources))?;
        crate::signals::forward(trace.plan(), &trace.handle())
            .map_err(|error| errors::plain("signals", &format!("signals cannot be received: {}", reason(&error))))?;
        let sink = NotebookSink::new(output.clone(), text_options, Arc::clone(&sources), print);
        let deadline = run.duration.map(|duration| Instant::now() + duration);
        deadline.inspect(|deadline| trace.end_commands_at(*deadline));
        Ok(Running { trace, sink, deadline, print_maps, places, sources, source })
    }
}

fn span(source: SourceId, place: &Range<usize>) -> Span {
    Span { source, start: place.start as u32, end: place.end as u32 }
}

/// With the cause, if it is a magic that came too late.
fn hinted_at_magics(mut diagnostics: Vec<Diagnostic>, sources: &Sources, source: SourceId) -> Vec<Diagnostic> {
    let text = sources.get(source).map_or("", |source| source.text.get(source.head..).unwrap_or_default());
    if let (Some(magic), Some(first)) = (magics::misplaced(text), diagnostics.first_mut()) {
        *first = first.clone().hint(format!("magics such as {magic} stand before the script"));
    }
    diagnostics
}

fn is_clash(diagnostic: &Diagnostic) -> bool {
    diagnostic.id.starts_with("map-")
}

impl Running {
    /// Runs `begin` and attaches the rest.
    pub fn begin(&mut self) -> Result<Status, ErrorReport> {
        let result = self.trace.run_begin(&mut self.sink);
        let status = result.map_err(|error| self.failure(&error))?;
        self.sink.begin_is_over();
        if status == Status::Running {
            let attached = self.trace.attach(&mut self.sink);
            attached.map_err(|error| self.failure(&error))?;
        }
        Ok(status)
    }

    /// Polls until the trace is over; then detaches, runs `end` and shows the maps.
    pub fn run_to_end(mut self, mut status: Status) -> Result<(), ErrorReport> {
        while status == Status::Running && self.trace.has_probes() {
            let now = Instant::now();
            if self.deadline.is_some_and(|deadline| now >= deadline) {
                break;
            }
            let left = self.deadline.map_or(Duration::MAX, |deadline| deadline - now);
            status = self.trace.poll(&mut self.sink, left.min(Duration::from_millis(100)));
            self.sink.show_due();
        }
        self.trace.stop(&mut self.sink);
        let ended = self.trace.run_end(&mut self.sink);
        ended.map_err(|error| self.failure(&error))?;
        if self.print_maps
            && let Err(error) = self.trace.print_maps(&mut self.sink)
        {
            return Err(errors::plain("map-failed", &error.to_string()));
        }
        self.sink.show_all();
        let summary = self.trace.finish(&mut self.sink);
        match summary.exit {
            Some(exit) if exit.failed => Err(errors::plain("assert-failed", "an assertion of the script has failed")),
            Some(exit) if exit.code != 0 => {
                Err(errors::plain("exit-code", &format!("the script has ended itself with exit({})", exit.code)))
            }
            _ => Ok(()),
        }
    }

    fn failure(&self, error: &TraceError) -> ErrorReport {
        errors::report(&[engine::trace_failure(error, &self.places, self.source)], &self.sources)
    }
}
