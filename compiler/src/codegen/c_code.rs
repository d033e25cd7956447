//! Imported C sources: their bitcode linked to the programs, and calls of their functions.

use inkwell::attributes::{Attribute, AttributeLoc};
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::module::{Linkage, Module};
use inkwell::types::BasicMetadataTypeEnum;
use inkwell::values::{BasicMetadataValueEnum, BasicValueEnum};

use super::function::Function;
use super::{CodegenError, Result, c_data};
use crate::ir::{Bitcode, CParameter, Expr};

/// Brings the functions of C sources into a module that holds nothing else yet. They are the module's
/// own: the verifier looks at them where they are called, and those that nobody calls are left out. No
/// program of ours has a name like theirs.
pub(super) fn link(code: &[Bitcode], module: &Module<'_>) -> Result<()> {
    for bitcode in code {
        let buffer = MemoryBuffer::create_from_memory_range_copy(&bitcode.0, "c");
        let linked = Module::parse_bitcode_from_buffer(&buffer, module.get_context()).map_err(refused)?;
        linked.set_triple(&module.get_triple());
        linked.set_data_layout(&module.get_data_layout());
        module.link_in_module(linked).map_err(refused)?;
    }
    drop_licenses(module);
    c_data::make_own(module);
    for function in module.get_functions().filter(|function| function.count_basic_blocks() > 0) {
        function.set_linkage(Linkage::Internal);
        function.as_global_value().set_name(&symbol_of(&function.get_name().to_string_lossy()));
        // LLVM takes no function that asks for both.
        function.remove_enum_attribute(AttributeLoc::Function, Attribute::get_named_enum_kind_id("alwaysinline"));
        let kind = Attribute::get_named_enum_kind_id("noinline");
        function.add_attribute(AttributeLoc::Function, module.get_context().create_enum_attribute(kind, 0));
    }
    Ok(())
}

/// What a C function is called in the module.
fn symbol_of(name: &str) -> String {
    format!("c.{name}")
}

/// Programs have one license, ours; what a C source says of its own is for loaders that ask it. Nobody
/// refers to it once the lists of what is to be kept are gone.
fn drop_licenses(module: &Module<'_>) {
    for list in ["llvm.used", "llvm.compiler.used"] {
        if let Some(list) = module.get_global(list) {
            // SAFETY: nothing can refer to these lists, and this handle is the only one.
            unsafe { list.delete() };
        }
    }
    for global in module.get_globals() {
        if global.get_section().is_some_and(|section| section.to_bytes() == b"license") {
            global.set_linkage(Linkage::Internal);
            global.set_name("license_of_c_source");
        }
    }
}

fn refused(message: inkwell::support::LLVMString) -> CodegenError {
    CodegenError::c_source(format!("an imported C source cannot be linked: {message}"))
}

impl<'ctx> Function<'_, 'ctx, '_> {
    /// Calls a C function. Arguments and results are 64 bits wide here.
    pub(super) fn call_c(
        &mut self,
        symbol: &str,
        arguments: &[(Expr, CParameter)],
        returns: Option<CParameter>,
    ) -> Result<BasicValueEnum<'ctx>> {
        let unit = self.shared.unit;
        let callee = unit.module.get_function(&symbol_of(symbol));
        let callee = callee.ok_or_else(|| CodegenError::malformed(format!("there is no C function {symbol}")))?;
        let types = callee.get_type().get_param_types();
        if types.len() != arguments.len() {
            return Err(CodegenError::malformed(format!("{symbol} takes {} arguments", types.len())));
        }
        let mut values: Vec<BasicMetadataValueEnum> = Vec::with_capacity(arguments.len());
        for ((argument, _), ty) in arguments.iter().zip(types) {
            let value = self.value(argument)?;
            values.push(self.as_c_takes_it(value, ty)?);
        }
        let call = self.builder.build_call(callee, &values, "")?;
        for (number, (_, parameter)) in arguments.iter().enumerate().filter(|(_, (_, one))| !one.is_pointer) {
            let name = if parameter.is_signed { "signext" } else { "zeroext" };
            let attribute = unit.context.create_enum_attribute(Attribute::get_named_enum_kind_id(name), 0);
            call.add_attribute(AttributeLoc::Param(number as u32), attribute);
        }
        let word = unit.types.i64;
        match (call.try_as_basic_value().basic(), returns) {
            (Some(BasicValueEnum::IntValue(value)), Some(returns)) => {
                Ok(self.builder.build_int_cast_sign_flag(value, word, returns.is_signed, "")?.into())
            }
            (Some(BasicValueEnum::PointerValue(value)), _) => {
                Ok(self.builder.build_ptr_to_int(value, word, "")?.into())
            }
            _ => Ok(word.const_zero().into()),
        }
    }

    fn as_c_takes_it(
        &self,
        value: BasicValueEnum<'ctx>,
        ty: BasicMetadataTypeEnum<'ctx>,
    ) -> Result<BasicMetadataValueEnum<'ctx>> {
        match (value, ty) {
            (BasicValueEnum::IntValue(value), BasicMetadataTypeEnum::IntType(ty)) => {
                Ok(self.builder.build_int_cast_sign_flag(value, ty, false, "")?.into())
            }
            (BasicValueEnum::IntValue(value), BasicMetadataTypeEnum::PointerType(ty)) => {
                Ok(self.builder.build_int_to_ptr(value, ty, "")?.into())
            }
            _ => Err(CodegenError::malformed("an argument is not what the C function takes")),
        }
    }
}
