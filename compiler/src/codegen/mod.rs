//! The typed program to LLVM IR, and that to a BPF object.
//!
//! Code generation is a mechanical translation: it makes no call to a helper that the intermediate
//! form does not show, other than those that loops and scratch memory stand for. Maps appear as
//! `ld_imm64` instructions that carry the map's index in the plan, so the object holds no map
//! definitions and no relocations but those of callbacks, and its bytes are the same wherever they
//! are loaded. Only imported C sources may bring data and maps of their own, with relocations.

mod arithmetic;
mod backend;
mod c_code;
mod c_data;
mod cache;
mod capture;
mod debug;
mod division;
mod expression;
mod function;
mod listing;
mod loops;
mod memory;
mod shares;
mod size;
mod slots;
mod statement;
mod unit;
pub(crate) mod walk;

use std::collections::HashMap;
use std::thread;

use inkwell::builder::BuilderError;
use inkwell::context::Context;

use crate::diagnostics::Sources;
use crate::ir::{Module, Program};
use crate::plan::{ProgramKind, ProgramPlan};
use crate::syntax::ast::Span;

pub use c_data::Needs;
pub use cache::Cache;
pub use division::divide;
pub use listing::{Listing, list};
pub use slots::place_slots;

use shares::Shares;

/// Stack of a second thread: walks go as deep as expressions do.
const STACK_BYTES: usize = 16 << 20;

/// The version of the BPF instruction set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cpu {
    /// Linux 5.1 and later. Signed division is built from unsigned division.
    #[default]
    V3,
    /// Linux 6.6 and later.
    V4,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub cpu: Cpu,
    /// What programs may be compiled for that are too long for `cpu`.
    pub newest: Cpu,
    /// All programs are wanted in one file.
    pub one_file: bool,
}

/// What code generation gives.
#[derive(Clone, Debug)]
pub struct Object {
    /// Relocatable ELF files with one section for each program and BTF: one, or two if there was much to do.
    pub files: Vec<Vec<u8>>,
    /// In the order of the module's programs.
    pub programs: Vec<ProgramPlan>,
    /// Of imported C sources.
    pub needs: Needs,
}

/// Why there is no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CodegenError {
    pub kind: CodegenErrorKind,
    pub message: String,
    /// The statement that was being translated, if it is known.
    pub span: Option<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodegenErrorKind {
    /// The intermediate form contradicts itself: a fault of an earlier pass.
    Malformed,
    /// LLVM cannot express the program in BPF: it needs too much stack, for instance.
    Backend,
    /// Imported C sources have or need what they cannot have.
    CSource,
}

impl CodegenError {
    fn malformed(message: impl Into<String>) -> Self {
        Self { kind: CodegenErrorKind::Malformed, message: message.into(), span: None }
    }

    fn c_source(message: impl Into<String>) -> Self {
        Self { kind: CodegenErrorKind::CSource, message: message.into(), span: None }
    }

    fn backend(message: impl Into<String>) -> Self {
        Self { kind: CodegenErrorKind::Backend, message: message.into(), span: None }
    }
}

impl From<BuilderError> for CodegenError {
    fn from(error: BuilderError) -> Self {
        Self::malformed(error.to_string())
    }
}

/// Whether a program that is run rather than attached sends events from a loop.
pub fn bursts(module: &Module) -> bool {
    let mut run = module.programs.iter().filter(|program| program.kind == ProgramKind::Run);
    run.any(|program| walk::sends_in_loops(&program.body))
}

type Result<T, E = CodegenError> = std::result::Result<T, E>;

/// Translates a module whose slots have been placed ([`place_slots`]) and whose scratch map, if
/// one is needed, is in the plan.
///
/// # Errors
///
/// [`CodegenErrorKind::Malformed`] if types or jumps do not fit together;
/// [`CodegenErrorKind::Backend`] if LLVM rejects the program, or a function is too long for it;
/// [`CodegenErrorKind::CSource`] if imported C sources cannot be linked to it.
pub fn generate(module: &Module, sources: &Sources, options: &Options) -> Result<Object> {
    let shares = Shares::of(module, options.one_file);
    let compile = |members: &[usize]| compile(module, members, sources, options);
    let compiled = match shares.members.as_slice() {
        [first, second] => on_two_threads(|| compile(first), || compile(second)).map(Vec::from),
        [first, ..] => compile(first).map(|only| vec![only]),
        [] => Ok(Vec::new()),
    }?;
    let (mut files, mut needs) = (Vec::new(), Needs::default());
    let mut by_index = HashMap::new();
    for (object, (members, compiled)) in shares.members.iter().zip(compiled).enumerate() {
        files.push(compiled.file);
        // Only what is not divided needs anything.
        needs = compiled.needs;
        let plans = compiled.programs;
        by_index.extend(members.iter().copied().zip(plans.into_iter().map(|plan| ProgramPlan { object, ..plan })));
    }
    let plan = |(program, code): (&Program, &usize)| {
        Some(ProgramPlan { symbol: program.symbol.clone(), ..by_index.get(code)?.clone() })
    };
    let programs = module.programs.iter().zip(&shares.code_of).filter_map(plan).collect();
    Ok(Object { files, programs, needs })
}

/// Runs the second on another thread, if there is one to be had.
fn on_two_threads<T: Send>(first: impl FnOnce() -> Result<T>, second: impl Fn() -> Result<T> + Sync) -> Result<[T; 2]> {
    thread::scope(|scope| {
        let other = thread::Builder::new().name("compile".into()).stack_size(STACK_BYTES).spawn_scoped(scope, &second);
        let own = first();
        let others = match other {
            Ok(other) => other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => second(),
        };
        Ok([own?, others?])
    })
}

/// An ELF file, and where in it the programs are.
struct Compiled {
    file: Vec<u8>,
    programs: Vec<ProgramPlan>,
    needs: Needs,
}

/// Some of a module's programs as LLVM IR.
struct Translated<'ctx> {
    llvm: inkwell::module::Module<'ctx>,
    types: unit::Types<'ctx>,
    programs: Vec<ProgramPlan>,
}

fn translate<'ctx>(
    context: &'ctx Context,
    target: &backend::Target,
    module: &Module,
    members: &[usize],
    sources: &Sources,
    options: &Options,
) -> Result<Translated<'ctx>> {
    let llvm = target.new_module(context);
    c_code::link(&module.c_code, &llvm)?;
    let unit = unit::Unit::new(context, llvm, module, sources, options.cpu);
    let programs = unit.emit(members)?;
    let (llvm, types) = unit.finish();
    Ok(Translated { llvm, types, programs })
}

/// Makes an ELF file of some of a module's programs.
fn compile(module: &Module, members: &[usize], sources: &Sources, options: &Options) -> Result<Compiled> {
    let context = Context::create();
    let errors = backend::ErrorLog::attach(&context);
    let target = backend::Target::get(options.cpu)?;
    let Translated { llvm: translated, types, programs } =
        translate(&context, &target, module, members, sources, options)?;
    target.optimise(&translated)?;
    let needs = match module.c_code.is_empty() {
        true => Needs::default(),
        false => c_data::settle(&translated, &types, module.kernel_functions, &target)?,
    };
    let emit = |target: &backend::Target, optimised: &_| {
        target.emit(optimised, &errors).map_err(|error| locate(error, module))
    };
    if options.cpu == Cpu::V4 || size::surely_in_reach(&translated) {
        return Ok(Compiled { file: emit(&target, &translated)?, programs, needs });
    }
    // Jumps of version 4 reach anywhere. Emitting changes a module.
    let spare = (options.newest != Cpu::V4).then(|| translated.clone());
    let file = emit(&*backend::Target::get(Cpu::V4)?, &translated)?;
    match spare {
        None => Ok(Compiled { file, programs, needs }),
        Some(spare) if size::fits_version_3(&file)? => Ok(Compiled { file: emit(&target, &spare)?, programs, needs }),
        Some(_) => Err(too_long(module)),
    }
}

fn too_long(module: &Module) -> CodegenError {
    let span = module.programs.iter().max_by_key(|program| program.body.len());
    let span = span.and_then(|program| walk::first_span(&program.body));
    let message = "this action is too long for the instructions of a kernel before Linux 6.6";
    CodegenError { span, ..CodegenError::backend(message) }
}

/// LLVM names the function that it could not translate; that gives the place.
fn locate(error: CodegenError, module: &Module) -> CodegenError {
    let culprit = module.programs.iter().find(|program| error.message.contains(&program.symbol));
    let span = culprit.and_then(|program| walk::first_span(&program.body));
    CodegenError { span: error.span.or(span), ..error }
}
