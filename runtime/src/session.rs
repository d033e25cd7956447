//! What outlives a cell: live maps, symbols, and knowledge of the system.

use std::io;
use std::os::fd::{AsFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use probebook_compiler::plan::{MapPlan, MapRole, Plan};

use crate::attach::groups::{self, Kernel};
use crate::attach::{self, AttachError, Mechanisms, Reaper};
use crate::events::{ActionError, Actions, ERROR_BYTES, LossCounters, PacketError, Packets, Ring, ring_size};
use crate::loader::child::HeldChild;
use crate::loader::control::ControlPage;
use crate::loader::limits;
use crate::loader::object::{self, Numbers};
use crate::loader::program::{self, LoadError, Loaded, Verification};
use crate::maps::{self, CData, LiveMap, MapError, MapInfo, MapTable, Prepared};
use crate::process::Leash;
use crate::symbols::{Formats, Show, Symbols};
use crate::system::System;
use crate::text::{TextOptions, reason};
use crate::trace::{Parts, Target, Trace, TraceHandle};
use crate::value::MapSnapshot;

/// How a session is set up.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// Many scripts will be run: what takes time is read before one of them needs it.
    pub many_scripts: bool,
    /// Bytes that all maps together may take; by default a quarter of the machine's memory.
    pub map_memory: Option<u64>,
}

/// How one trace is run.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    /// Only this process (`-p`). The compiler has put a filter into programs that need one.
    pub pid: Option<u32>,
    /// A command that is started before the probes are attached and goes on afterwards (`-c`).
    pub child: Option<String>,
    /// Hand the command's output to the sink; otherwise it goes where ours goes.
    pub capture_child_output: bool,
    /// `system()` may run commands.
    pub allow_unsafe: bool,
    /// Maps, without `@`, whose types this script may change. The session's are replaced once the
    /// probes are attached.
    pub retype: Vec<String>,
    /// How probes are attached.
    pub mechanisms: Mechanisms,
    /// What the verifier writes of programs that it lets pass is wanted ([`Trace::verifier_logs`]).
    pub keeps_verifier_logs: bool,
    /// By which it can be interrupted even before it has started.
    pub handle: TraceHandle,
}

/// A trace could not be started. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Maps(#[from] MapError),
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is nothing that a program could be loaded for.
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error(transparent)]
    Action(#[from] ActionError),
    #[error("the ring buffer could not be read: {0}")]
    Ring(#[from] aya::maps::MapError),
    #[error("the control map could not be mapped: {}", reason(.0))]
    Control(io::Error),
    #[error(transparent)]
    Packets(#[from] PacketError),
    #[error("`{command}` could not be started: {}", reason(.source))]
    Child { command: String, source: io::Error },
    #[error("this kernel has no function {0} for programs to call")]
    KernelFunction(String),
    #[error("no process has the number {0}")]
    NoSuchProcess(u32),
}

/// What outlives a cell. All methods may be called from any thread.
pub struct Session {
    shared: Arc<Shared>,
}

/// What traces keep hold of.
pub(crate) struct Shared {
    pub system: Arc<System>,
    pub maps: MapTable,
    pub symbols: Symbols,
    pub reaper: Reaper,
}

/// The maps of a plan, found or created, and not yet the session's.
pub struct PreparedMaps {
    prepared: Prepared,
    formats: Arc<Formats>,
    time: Duration,
}

impl Session {
    /// Returns at once; what takes time to read is read by a thread in the background.
    pub fn new(options: SessionOptions) -> io::Result<Session> {
        limits::raise_descriptors();
        let system = Arc::new(System::new());
        in_background(&system, move |system| system.read_ahead(options.many_scripts))?;
        let shared = Shared {
            maps: MapTable::new(system.possible_cpu_count(), options.map_memory),
            symbols: Symbols::new(Arc::clone(&system))?,
            system,
            reaper: Reaper::new()?,
        };
        Ok(Session { shared: Arc::new(shared) })
    }

    /// The running system, for the compiler too.
    pub fn system(&self) -> &Arc<System> {
        &self.shared.system
    }

    pub fn symbols(&self) -> &Symbols {
        &self.shared.symbols
    }

    /// Finds or creates a plan's maps; its programs need not be compiled yet. The maps become the
    /// session's once the trace's probes are attached; if it does not get there they vanish.
    /// `retype`: see [`StartOptions::retype`].
    pub fn prepare(&self, plan: &Plan, retype: &[String]) -> Result<PreparedMaps, StartError> {
        let begun = Instant::now();
        let formats = Arc::new(formats(plan));
        let prepared = self.shared.maps.prepare(&sized(plan), &formats, retype)?;
        Ok(PreparedMaps { prepared, formats, time: begun.elapsed() })
    }

    /// Creates a plan's maps and loads its programs. Nothing runs yet, not even `begin`.
    pub fn start(&self, plan: Plan, options: StartOptions) -> Result<Trace, StartError> {
        let maps = self.prepare(&plan, &options.retype)?;
        self.start_with(plan, maps, options)
    }

    /// As [`Session::start`], with maps that were prepared for this very plan.
    pub fn start_with(&self, plan: Plan, maps: PreparedMaps, options: StartOptions) -> Result<Trace, StartError> {
        let PreparedMaps { prepared, formats, time: map_time } = maps;
        if plan.names_kernel_code() {
            // What is not read now is read with the first name.
            let _ = in_background(&self.shared.system, |system| {
                system.kallsyms();
            });
        }
        let target = target(&options)?;
        let system = &self.shared.system;
        let kernel = Kernel { release: system.release(), has_kprobe_multi: &|| system.has_kprobe_multi() };
        let linking = groups::linking(&plan, options.mechanisms, target.pid().is_some(), kernel);
        let maps_created = Instant::now();
        let c_data = self.c_data(&plan)?;
        let loaded = if plan.programs.is_empty() {
            Loaded::default()
        } else {
            let fds: Vec<RawFd> = prepared.maps.iter().map(|map| map.raw_fd()).collect();
            let bindings = attach::bind::all(&plan, &self.shared.system)?;
            let functions = self.kernel_functions(&plan)?;
            let defined = c_data.descriptors();
            let numbers = Numbers { maps: &fds, functions: &functions, defined: &defined };
            let verification = Verification {
                log_size: plan.settings.log_size,
                keeps_logs: options.keeps_verifier_logs,
                is_interrupted: &|| options.handle.is_interrupted(),
            };
            program::load(&plan.objects, &plan.programs, &bindings, &linking, numbers, &verification)?
        };
        let load_time = maps_created.elapsed();
        let text_options = self.text_options(&plan);
        let parts = Parts {
            actions: Actions::new(&plan, &prepared.maps, text_options, options.allow_unsafe)?,
            losses: LossCounters::new(&plan, &prepared.maps, self.shared.symbols.forgotten_stacks()),
            packets: find(&prepared, &MapRole::Packets)
                .map(|map| Packets::new(&plan, map, &self.shared.system.online_cpus()))
                .transpose()?,
            ring: find(&prepared, &MapRole::Events)
                .map(|map| Ring::new(map, find(&prepared, &MapRole::Errors).map(Arc::as_ref)))
                .transpose()?,
            control: find(&prepared, &MapRole::Control)
                .map(|map| ControlPage::new(map.as_fd()))
                .transpose()
                .map_err(StartError::Control)?,
            programs: loaded.programs,
            verifier_logs: loaded.logs,
            c_data,
            linking,
            formats,
            target,
            mechanisms: options.mechanisms,
            handle: options.handle,
            map_time,
            load_time,
        };
        self.shared.maps.keep_stacks(&prepared.maps);
        Ok(Trace::new(Arc::clone(&self.shared), plan, prepared.maps, parts))
    }

    /// The maps that a plan's object defines itself.
    fn c_data(&self, plan: &Plan) -> Result<CData, StartError> {
        if !plan.has_c_data {
            return Ok(CData::default());
        }
        // What has such data is one object.
        let object = plan.objects.first().map(Vec::as_slice).unwrap_or_default();
        let definitions = object::definitions(object).map_err(LoadError::Object)?;
        Ok(CData::create(definitions, &self.shared.maps)?)
    }

    /// The kernel's numbers of the functions that a plan's programs call.
    fn kernel_functions(&self, plan: &Plan) -> Result<Vec<u32>, StartError> {
        let number = |name: &String| {
            let found = self.shared.system.btf().function_id(name);
            found.ok_or_else(|| StartError::KernelFunction(name.clone()))
        };
        plan.kernel_functions.iter().map(number).collect()
    }

    /// What printing a plan's values depends on.
    pub fn text_options(&self, plan: &Plan) -> TextOptions {
        TextOptions {
            truncation_trailer: plan.settings.str_trunc_trailer.clone(),
            time_zone: self.shared.symbols.time_zone().clone(),
        }
    }

    /// All maps, by name.
    pub fn maps(&self) -> Result<Vec<MapInfo>, MapError> {
        self.shared.maps.list()
    }

    /// A map's contents now; `name` is without `@`.
    pub fn snapshot(&self, name: &str) -> Result<MapSnapshot, MapError> {
        self.shared.snapshot(&*self.find_map(name)?)
    }

    /// Removes a map's entries.
    pub fn clear_map(&self, name: &str) -> Result<(), MapError> {
        maps::clear(&*self.find_map(name)?)
    }

    /// Sets a map's values to zero.
    pub fn zero_map(&self, name: &str) -> Result<(), MapError> {
        maps::zero(&*self.find_map(name)?)
    }

    /// Forgets a map and its types. Traces that use it go on with it, unseen.
    pub fn drop_map(&self, name: &str) -> Result<(), MapError> {
        self.shared.maps.drop_map(name)
    }

    /// The types of the session's maps, for the compiler.
    pub fn map_plans(&self) -> Vec<MapPlan> {
        self.shared.maps.all().iter().map(|map| map.plan().clone()).collect()
    }

    /// How many stacks the session has recorded; those that no map refers to any more go once the
    /// traces that may refer to them are over.
    pub fn recorded_stacks(&self) -> io::Result<usize> {
        self.shared.maps.recorded_stacks()
    }

    /// Bytes that maps take and may take.
    pub fn map_memory(&self) -> (u64, u64) {
        let budget = self.shared.maps.budget();
        (budget.used(), budget.limit())
    }

    pub fn set_map_memory(&self, bytes: u64) {
        self.shared.maps.budget().set_limit(bytes);
    }

    fn find_map(&self, name: &str) -> Result<Arc<LiveMap>, MapError> {
        self.shared.maps.get(name).ok_or_else(|| MapError::Unknown(name.to_owned()))
    }
}

impl Shared {
    /// Unwinds what an event of `dw_ustack` holds, and tells its programs where the process has its code.
    pub fn unwind(&self, event: &[u8], maps: &[Arc<LiveMap>]) {
        let Some((pid, code)) = self.symbols.unwind(event) else { return };
        let ranges = maps.iter().find(|map| map.plan().role == MapRole::CodeRanges);
        let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_ne_bytes()).collect();
        if let Some(ranges) = ranges {
            // Without it, more numbers than need be stand for the same stack.
            let _ = ranges.io().update(&u64::from(pid).to_ne_bytes(), &bytes);
        }
    }

    pub fn snapshot(&self, map: &LiveMap) -> Result<MapSnapshot, MapError> {
        let resolver = self.symbols.resolver(map.formats(), &self.maps);
        maps::snapshot(map, &resolver)
    }
}

fn find<'a>(prepared: &'a Prepared, role: &MapRole) -> Option<&'a Arc<LiveMap>> {
    prepared.maps.iter().find(|map| map.plan().role == *role)
}

fn formats(plan: &Plan) -> Formats {
    let settings = &plan.settings;
    Formats {
        times: plan.time_formats.clone(),
        cgroups: plan.cgroup_filters.clone(),
        show: Show { demangled: settings.cpp_demangle, debug_info: settings.show_debug_info },
    }
}

/// A plan's maps; the compiler leaves the sizes of ring buffers to us.
fn sized(plan: &Plan) -> Vec<MapPlan> {
    let mut maps = plan.maps.clone();
    for map in &mut maps {
        match map.role {
            MapRole::Events => map.max_entries = ring_size(plan.settings.ring_buffer_pages, plan.bursts),
            MapRole::Errors => map.max_entries = ERROR_BYTES,
            _ => {}
        }
    }
    maps
}

/// Has a thread of its own read something of the system.
fn in_background(system: &Arc<System>, read: impl FnOnce(&System) + Send + 'static) -> io::Result<()> {
    let system = Arc::clone(system);
    thread::Builder::new().name("system".into()).spawn(move || read(&system)).map(drop)
}

/// Which process is traced, started if need be but held back.
fn target(options: &StartOptions) -> Result<Target, StartError> {
    let Some(text) = &options.child else {
        return match options.pid {
            Some(pid) if !std::path::Path::new(&format!("/proc/{pid}")).exists() => Err(StartError::NoSuchProcess(pid)),
            Some(pid) => Ok(Target::Process(pid)),
            None => Ok(Target::Everything),
        };
    };
    let failed = |source| StartError::Child { command: text.clone(), source };
    let words = shlex::split(text).unwrap_or_default();
    let (program, arguments) = words.split_first().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let mut command = Command::new(program);
    command.args(arguments);
    limits::restore_descriptors(&mut command);
    let output = options.capture_child_output.then(|| capture(&mut command)).transpose().map_err(failed)?;
    let child = HeldChild::spawn(command).map_err(failed)?;
    // Before anything is attached: what holds it is a program that would be seen to be started.
    let hold = if output.is_some() { Leash::group } else { Leash::single };
    let leash = hold(child.pid()).map_err(failed)?;
    Ok(Target::Held { command: text.clone(), child, leash, output })
}

/// Joins the command's standard output and error into one pipe, and takes it away from the terminal,
/// so that it can have a process group of its own.
fn capture(command: &mut Command) -> io::Result<io::PipeReader> {
    let (reader, writer) = io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer).stdin(Stdio::null()).process_group(0);
    Ok(reader)
}
