//! What imported C sources need besides their functions: data and maps, which whoever loads the object
//! makes, and functions of the kernel.

use inkwell::llvm_sys::core::{LLVMGetNumOperands, LLVMGetOperand, LLVMIsAConstant, LLVMIsAGlobalValue};
use inkwell::llvm_sys::prelude::LLVMValueRef;
use inkwell::module::{Linkage, Module};
use inkwell::values::{AsValueRef, FunctionValue, GlobalValue};

use super::unit::Types;
use super::{CodegenError, Result, backend};
use crate::ir::Helper;

/// Where libbpf's headers put maps and what is the kernel's (`bpf_helpers.h`: `SEC(".maps")`, `__ksym`).
const MAPS: &str = ".maps";
const KERNEL: &str = ".ksyms";
/// Sections of data by the beginnings of their names; C sources may have several of each.
const DATA: [&str; 3] = [".data", ".rodata", ".bss"];
/// All data of a script together.
const MOST_BYTES: u64 = 16 << 20;

/// What an object needs from whoever loads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// There are sections of data or maps.
    pub data: bool,
    /// Functions of the kernel, which are called by numbers that follow those of the script's own.
    pub kernel_functions: Vec<String>,
}

/// Data becomes the module's own, so that what nobody uses is left out, and no program has its name. Maps
/// are looked up by theirs.
pub(super) fn make_own(module: &Module<'_>) {
    let is_data = |global: &GlobalValue<'_>| global.get_initializer().is_some() && section(global) != MAPS;
    for global in module.get_globals().filter(is_data) {
        global.set_linkage(Linkage::Internal);
        global.set_name(&format!("c.{}", global.get_name().to_string_lossy()));
    }
}

/// Finds out what an optimised module needs, and gives the kernel's functions their numbers.
///
/// # Errors
///
/// The C sources need something that is not to be had.
pub(super) fn settle(module: &Module<'_>, types: &Types<'_>, first: u32, target: &backend::Target) -> Result<Needs> {
    let data = data(module, target)?;
    let mut kernel_functions = Vec::new();
    let is_foreign = |function: &FunctionValue<'_>| {
        function.count_basic_blocks() == 0 && !function.get_name().to_bytes().starts_with(b"llvm.")
    };
    for function in module.get_functions().filter(is_foreign).collect::<Vec<_>>() {
        let name = function.get_name().to_string_lossy().into_owned();
        if function.get_section().is_none_or(|section| section.to_bytes() != KERNEL.as_bytes()) {
            let message = format!(
                "an imported C source calls {name}(), which it does not define; a function of the kernel is declared with __ksym"
            );
            return Err(CodegenError::c_source(message));
        }
        let number = u64::from(Helper::KERNEL_FUNCTIONS + first) + kernel_functions.len() as u64;
        let address = types.i64.const_int(number, false).const_to_pointer(types.pointer);
        function.as_global_value().as_pointer_value().replace_all_uses_with(address);
        // SAFETY: nothing refers to it any more, and this handle is the only one.
        unsafe { function.delete() };
        kernel_functions.push(name);
    }
    Ok(Needs { data, kernel_functions })
}

/// Whether there is data, all of which can be had.
fn data(module: &Module<'_>, target: &backend::Target) -> Result<bool> {
    let mut bytes = 0u64;
    for global in module.get_globals() {
        let name = global.get_name().to_string_lossy().into_owned();
        if name == "_license" || name.starts_with("llvm.") {
            continue;
        }
        if let Some(reason) = obstacle(&global) {
            let name = name.strip_prefix("c.").unwrap_or(&name);
            return Err(CodegenError::c_source(format!("the variable {name} of an imported C source {reason}")));
        }
        bytes = bytes.saturating_add(global.get_initializer().map_or(0, |value| target.size_of(&value.get_type())));
        if bytes > MOST_BYTES {
            let (limit, name) = (MOST_BYTES >> 20, name.strip_prefix("c.").unwrap_or(&name));
            let message = format!("the variables of imported C sources take more than {limit} MiB, {name} among them");
            return Err(CodegenError::c_source(message));
        }
    }
    Ok(bytes > 0)
}

/// What keeps a variable from being had.
fn obstacle(global: &GlobalValue<'_>) -> Option<String> {
    let Some(initial) = global.get_initializer() else {
        return Some(match section(global).as_str() {
            KERNEL => "is the kernel's: only its functions can be used".to_owned(),
            _ => "is declared, but not defined".to_owned(),
        });
    };
    let section = section(global);
    if !section.is_empty() && section != MAPS && !DATA.iter().any(|known| section.starts_with(known)) {
        return Some(format!("is in a section that is not known here ({section})"));
    }
    if global.is_thread_local() {
        return Some("is one a thread, which BPF does not have".to_owned());
    }
    refers(initial.as_value_ref()).then(|| "holds an address from the start, which is not known so early".to_owned())
}

fn section(global: &GlobalValue<'_>) -> String {
    global.get_section().map(|section| section.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether the address of a variable or function is a part of a constant.
fn refers(constant: LLVMValueRef) -> bool {
    // SAFETY: the constant is alive as long as its module; operands are asked for by numbers below their count.
    unsafe {
        if LLVMIsAConstant(constant).is_null() {
            return false;
        }
        if !LLVMIsAGlobalValue(constant).is_null() {
            return true;
        }
        let count = LLVMGetNumOperands(constant).max(0).unsigned_abs();
        (0..count).any(|number| refers(LLVMGetOperand(constant, number)))
    }
}
