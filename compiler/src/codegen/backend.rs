//! LLVM's side: the target, the passes, the object's bytes, and errors that do not end the process.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, c_void};
use std::rc::Rc;
use std::sync::Once;

use inkwell::OptimizationLevel;
use inkwell::context::Context;
use inkwell::data_layout::DataLayout;
use inkwell::llvm_sys::LLVMDiagnosticSeverity;
use inkwell::llvm_sys::core::{
    LLVMContextSetDiagnosticHandler, LLVMDisposeMessage, LLVMGetDiagInfoDescription, LLVMGetDiagInfoSeverity,
};
use inkwell::llvm_sys::prelude::LLVMDiagnosticInfoRef;
use inkwell::llvm_sys::support::LLVMParseCommandLineOptions;
use inkwell::module::Module;
use inkwell::passes::PassBuilderOptions;
use inkwell::support::LLVMString;
use inkwell::targets::{self, CodeModel, FileType, InitializationConfig, RelocMode, TargetMachine, TargetTriple};
use inkwell::types::BasicTypeEnum;

use super::{CodegenError, Cpu, Result};

/// Little-endian BPF.
const TRIPLE: &str = "bpfel";
/// Enough to bring variables into registers and clean up after mechanical translation. None of
/// these makes library calls, lookup tables or loops that the verifier cannot follow.
const PASSES: &str = "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,\
                      gvn,dse,adce,instcombine<no-verify-fixpoint>,simplifycfg)";

impl Cpu {
    fn name(self) -> &'static str {
        match self {
            Cpu::V3 => "v3",
            Cpu::V4 => "v4",
        }
    }
}

/// The errors that LLVM reports about one context. Without such a handler it ends the process.
pub(super) struct ErrorLog<'ctx> {
    context: &'ctx Context,
    messages: Box<RefCell<Vec<String>>>,
}

impl<'ctx> ErrorLog<'ctx> {
    pub fn attach(context: &'ctx Context) -> Self {
        let messages = Box::new(RefCell::new(Vec::new()));
        let data = std::ptr::from_ref(messages.as_ref()).cast_mut().cast();
        // SAFETY: the handler gets `data` back; the box it points to stays in place until `drop`
        // detaches the handler.
        unsafe { LLVMContextSetDiagnosticHandler(context.raw(), Some(record), data) };
        Self { context, messages }
    }

    fn first(&self) -> Option<String> {
        self.messages.borrow().first().cloned()
    }
}

impl Drop for ErrorLog<'_> {
    fn drop(&mut self) {
        // SAFETY: the context outlives this value.
        unsafe { LLVMContextSetDiagnosticHandler(self.context.raw(), None, std::ptr::null_mut()) };
    }
}

extern "C" fn record(info: LLVMDiagnosticInfoRef, data: *mut c_void) {
    // SAFETY: LLVM passes a valid diagnostic, and the data given to `attach`; the description is a
    // string that the receiver frees.
    unsafe {
        if matches!(LLVMGetDiagInfoSeverity(info), LLVMDiagnosticSeverity::LLVMDSError) {
            let description = LLVMGetDiagInfoDescription(info);
            let text = CStr::from_ptr(description).to_string_lossy().into_owned();
            LLVMDisposeMessage(description);
            let messages = &*data.cast::<RefCell<Vec<String>>>();
            messages.borrow_mut().push(text);
        }
    }
}

/// Registers the BPF target, and keeps LLVM from merging equal ends of blocks. A helper call that two
/// paths reach with different maps is slower (the kernel no longer inlines a lookup), and for
/// `bpf_for_each_map_elem` it is refused.
fn initialize() {
    targets::Target::initialize_bpf(&InitializationConfig::default());
    let arguments = [c"probebook", c"-enable-tail-merge=false"].map(CStr::as_ptr);
    // SAFETY: the arguments are C strings that outlive the call; it happens once, before LLVM
    // generates code in this process.
    unsafe { LLVMParseCommandLineOptions(arguments.len() as i32, arguments.as_ptr(), std::ptr::null()) };
}

/// BPF of one version.
pub(super) struct Target {
    machine: TargetMachine,
    layout: DataLayout,
}

impl Target {
    /// Made once for each thread and version.
    pub fn get(cpu: Cpu) -> Result<Rc<Target>> {
        thread_local! {
            static TARGETS: RefCell<HashMap<Cpu, Rc<Target>>> = RefCell::default();
        }
        TARGETS.with_borrow_mut(|targets| match targets.get(&cpu) {
            Some(target) => Ok(target.clone()),
            None => {
                let target = Rc::new(Target::create(cpu)?);
                targets.insert(cpu, target.clone());
                Ok(target)
            }
        })
    }

    fn create(cpu: Cpu) -> Result<Self> {
        static INITIALIZED: Once = Once::new();
        INITIALIZED.call_once(initialize);
        let triple = TargetTriple::create(TRIPLE);
        let target = targets::Target::from_triple(&triple).map_err(|error| CodegenError::backend(error.to_string()))?;
        let level = OptimizationLevel::Less;
        let machine = target
            .create_target_machine(&triple, cpu.name(), "", level, RelocMode::Static, CodeModel::Small)
            .ok_or_else(|| CodegenError::backend("LLVM has no BPF target"))?;
        let layout = machine.get_target_data().get_data_layout();
        Ok(Self { machine, layout })
    }

    /// An empty module. It has the target's data layout from the start: that is where loads and
    /// stores get their alignment from.
    pub fn new_module<'ctx>(&self, context: &'ctx Context) -> Module<'ctx> {
        let module = context.create_module("probebook");
        module.set_triple(&self.machine.get_triple());
        module.set_data_layout(&self.layout);
        module
    }

    /// Bytes of a value in memory.
    pub fn size_of(&self, ty: &BasicTypeEnum<'_>) -> u64 {
        self.machine.get_target_data().get_abi_size(ty)
    }

    pub fn optimise(&self, module: &Module<'_>) -> Result<()> {
        if cfg!(debug_assertions) {
            module.verify().map_err(|message| CodegenError::malformed(message.to_string()))?;
        }
        module.run_passes(PASSES, &self.machine, PassBuilderOptions::create()).map_err(failed)?;
        // Functions that a program or an imported C source has, and nobody calls.
        module.run_passes("globaldce", &self.machine, PassBuilderOptions::create()).map_err(failed)
    }

    /// Makes an ELF object of an optimised module.
    pub fn emit(&self, module: &Module<'_>, errors: &ErrorLog<'_>) -> Result<Vec<u8>> {
        self.write(module, FileType::Object, errors)
    }

    /// The instructions of an optimised module.
    pub fn assembly(&self, module: &Module<'_>, errors: &ErrorLog<'_>) -> Result<String> {
        let text = self.write(module, FileType::Assembly, errors)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn write(&self, module: &Module<'_>, file_type: FileType, errors: &ErrorLog<'_>) -> Result<Vec<u8>> {
        let written = self.machine.write_to_memory_buffer(module, file_type).map_err(failed)?;
        match errors.first() {
            Some(message) => Err(CodegenError::backend(message)),
            None => Ok(written.as_slice().to_vec()),
        }
    }
}

fn failed(message: LLVMString) -> CodegenError {
    CodegenError::backend(message.to_string())
}
