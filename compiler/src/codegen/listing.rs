//! What LLVM makes of a module, as text.

use inkwell::context::Context;

use super::shares::Shares;
use super::{CodegenError, Options, backend, size, translate};
use crate::diagnostics::Sources;
use crate::ir::Module;

/// The forms of a module between the typed program and the object.
#[derive(Clone, Debug)]
pub struct Listing {
    /// LLVM IR, as it was translated.
    pub original: String,
    /// LLVM IR after its optimisation.
    pub optimised: String,
    /// BPF instructions.
    pub assembly: String,
}

/// Translates a module as [`super::generate`] does, all of it in one file.
///
/// # Errors
///
/// Those of [`super::generate`].
pub fn list(module: &Module, sources: &Sources, options: &Options) -> Result<Listing, CodegenError> {
    let shares = Shares::of(module, true);
    let members = shares.members.first().map(Vec::as_slice).unwrap_or_default();
    let context = Context::create();
    let errors = backend::ErrorLog::attach(&context);
    let target = backend::Target::get(options.cpu)?;
    let translated = translate(&context, &target, module, members, sources, options)?;
    let llvm = translated.llvm;
    let original = llvm.print_to_string().to_string();
    target.optimise(&llvm)?;
    let optimised = llvm.print_to_string().to_string();
    let cpu = if size::surely_in_reach(&llvm) { options.cpu } else { options.newest };
    let assembly = backend::Target::get(cpu)?.assembly(&llvm, &errors)?;
    Ok(Listing { original, optimised, assembly })
}
