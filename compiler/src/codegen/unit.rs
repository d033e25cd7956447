//! One LLVM module: what all functions of it share.

use inkwell::AddressSpace;
use inkwell::attributes::{Attribute, AttributeLoc};
use inkwell::context::Context;
use inkwell::module::{Linkage, Module};
use inkwell::types::{BasicTypeEnum, FunctionType, IntType, PointerType};
use inkwell::values::FunctionValue;

use super::debug::DebugInfo;
use super::function::Function;
use super::{CodegenError, Cpu, Result, capture, walk};
use crate::diagnostics::Sources;
use crate::ir::{self, Expr, Helper, Program, Scalar};
use crate::plan::{ProgramKind, ProgramPlan};

/// LLVM's types for the scalars.
pub(super) struct Types<'ctx> {
    pub bool: IntType<'ctx>,
    pub i8: IntType<'ctx>,
    pub i16: IntType<'ctx>,
    pub i32: IntType<'ctx>,
    pub i64: IntType<'ctx>,
    pub pointer: PointerType<'ctx>,
}

impl<'ctx> Types<'ctx> {
    fn new(context: &'ctx Context) -> Self {
        Self {
            bool: context.bool_type(),
            i8: context.i8_type(),
            i16: context.i16_type(),
            i32: context.i32_type(),
            i64: context.i64_type(),
            pointer: context.ptr_type(AddressSpace::default()),
        }
    }

    /// The integer type of a scalar in a register, or `None` for a pointer.
    pub fn integer(&self, scalar: Scalar) -> Option<IntType<'ctx>> {
        match scalar {
            Scalar::Bool => Some(self.bool),
            Scalar::I8 => Some(self.i8),
            Scalar::I16 => Some(self.i16),
            Scalar::I32 => Some(self.i32),
            Scalar::I64 => Some(self.i64),
            Scalar::Pointer => None,
        }
    }

    /// A scalar's type in a register.
    pub fn register(&self, scalar: Scalar) -> BasicTypeEnum<'ctx> {
        self.integer(scalar).map_or(self.pointer.into(), Into::into)
    }

    /// A scalar's type in memory: a truth value takes a byte.
    pub fn memory(&self, scalar: Scalar) -> BasicTypeEnum<'ctx> {
        match scalar {
            Scalar::Bool => self.i8.into(),
            other => self.register(other),
        }
    }
}

/// The module under construction.
pub(super) struct Unit<'ctx, 'a> {
    pub context: &'ctx Context,
    pub types: Types<'ctx>,
    /// Before the module, which must outlive it.
    pub debug: DebugInfo<'a>,
    pub module: Module<'ctx>,
    pub ir: &'a ir::Module,
    pub cpu: Cpu,
}

impl<'ctx, 'a> Unit<'ctx, 'a> {
    /// Starts with an empty `module` that already has the target's data layout.
    pub fn new(
        context: &'ctx Context,
        module: Module<'ctx>,
        ir: &'a ir::Module,
        sources: &'a Sources,
        cpu: Cpu,
    ) -> Self {
        let types = Types::new(context);
        let debug = DebugInfo::new(&module, types.i32, sources);
        Self { context, types, debug, module, ir, cpu }
    }

    /// Emits the license, what programs call, and the programs with these numbers.
    pub fn emit(&self, members: &[usize]) -> Result<Vec<ProgramPlan>> {
        self.license();
        self.functions()?;
        let numbered = members.iter().filter_map(|index| Some((*index, self.ir.programs.get(*index)?)));
        numbered.map(|(index, program)| self.program(index, program)).collect()
    }

    /// The finished LLVM module, and the types that were used in it.
    pub fn finish(self) -> (Module<'ctx>, Types<'ctx>) {
        self.debug.finish();
        (self.module, self.types)
    }

    fn program(&self, index: usize, program: &'a Program) -> Result<ProgramPlan> {
        let section = format!("{}/p{index}", section_prefix(program.kind));
        let signature = self.types.i32.fn_type(&[self.types.pointer.into()], false);
        let function = self.function(&program.symbol, signature, Linkage::External);
        function.set_section(Some(&section));
        let captures = capture::analyse(program);
        Function::program(self, program, index, &captures, function)?;
        let symbol = program.symbol.clone();
        let overrides =
            walk::any(&program.body, &|expr| matches!(expr, Expr::Helper { id: Helper::OVERRIDE_RETURN, .. }));
        Ok(ProgramPlan { code: symbol.clone(), symbol, object: 0, section, kind: program.kind, overrides })
    }

    /// The functions that programs call: all are declared first, for they may call each other.
    fn functions(&self) -> Result<()> {
        let types = &self.types;
        for function in &self.ir.functions {
            let parameter = |var: &ir::Var| match function.program.vars.get(var.0 as usize) {
                Some(Scalar::Pointer) => types.pointer.into(),
                _ => types.i64.into(),
            };
            let parameters: Vec<_> = function.parameters.iter().map(parameter).collect();
            self.function(&function.program.symbol, types.i64.fn_type(&parameters, false), Linkage::Internal);
        }
        for (number, function) in self.ir.functions.iter().enumerate() {
            let value = self.called(number)?;
            let captures = capture::analyse(&function.program);
            Function::subprogram(self, function, self.ir.programs.len() + number, &captures, value)?;
        }
        Ok(())
    }

    /// One of the functions that programs call.
    pub fn called(&self, number: usize) -> Result<FunctionValue<'ctx>> {
        let symbol = self.ir.functions.get(number).map(|function| function.program.symbol.as_str());
        let value = symbol.and_then(|symbol| self.module.get_function(symbol));
        value.ok_or_else(|| CodegenError::malformed(format!("there is no function {number}")))
    }

    /// Declares a function that LLVM neither inlines nor gives jump tables.
    pub fn function(&self, name: &str, signature: FunctionType<'ctx>, linkage: Linkage) -> FunctionValue<'ctx> {
        let function = self.module.add_function(name, signature, Some(linkage));
        for name in ["noinline", "nounwind"] {
            let kind = Attribute::get_named_enum_kind_id(name);
            function.add_attribute(AttributeLoc::Function, self.context.create_enum_attribute(kind, 0));
        }
        let no_jump_tables = self.context.create_string_attribute("no-jump-tables", "true");
        function.add_attribute(AttributeLoc::Function, no_jump_tables);
        function
    }

    fn license(&self) {
        let text = self.context.const_string(self.ir.license.as_bytes(), true);
        let global = self.module.add_global(text.get_type(), None, "_license");
        global.set_initializer(&text);
        global.set_constant(true);
        global.set_alignment(1);
        global.set_section(Some("license"));
    }
}

/// The section name by which loaders know a program's type
/// (<https://docs.kernel.org/bpf/libbpf/program_types.html>).
fn section_prefix(kind: ProgramKind) -> &'static str {
    match kind {
        ProgramKind::Run | ProgramKind::Measured | ProgramKind::RawTracepoint => "raw_tracepoint",
        ProgramKind::TypedTracepoint => "tp_btf",
        ProgramKind::Tracepoint => "tracepoint",
        ProgramKind::PerfEvent => "perf_event",
        ProgramKind::Probe | ProgramKind::Session => "kprobe",
        ProgramKind::Fentry => "fentry",
        ProgramKind::Fexit => "fexit",
        ProgramKind::Iter => "iter",
    }
}
