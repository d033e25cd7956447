//! One BPF function: a program or a loop's callback. Its memory, and how control leaves it.

use std::collections::HashMap;

use inkwell::basic_block::BasicBlock;
use inkwell::builder::Builder;
use inkwell::values::{BasicValueEnum, FunctionValue, IntValue, PointerValue};

use super::capture::{self, Captures};
use super::debug::FunctionScope;
use super::unit::Unit;
use super::{CodegenError, Result, walk};
use crate::ir::{self, Expr, Helper, Program, Scalar, Slot, Stmt, Var};
use crate::syntax::ast::Span;

/// A program's function and those of its loops share this.
#[derive(Clone, Copy)]
pub(super) struct Shared<'e, 'ctx, 'a> {
    pub unit: &'e Unit<'ctx, 'a>,
    pub program: &'a Program,
    pub captures: &'e Captures,
    /// A function that programs call: its result has 64 bits.
    pub is_called: bool,
}

/// Where `break` and `continue` of a plain loop go.
#[derive(Clone, Copy)]
pub(super) struct Jumps<'ctx> {
    pub on_break: BasicBlock<'ctx>,
    pub on_continue: BasicBlock<'ctx>,
}

/// A function under construction.
pub(super) struct Function<'e, 'ctx, 'a> {
    pub shared: Shared<'e, 'ctx, 'a>,
    pub value: FunctionValue<'ctx>,
    pub builder: Builder<'ctx>,
    pub scope: FunctionScope,
    pub region: usize,
    /// The frame that the program shares with its callbacks.
    pub frame: Option<PointerValue<'ctx>>,
    pub context: Option<PointerValue<'ctx>>,
    pub scratch: Option<PointerValue<'ctx>>,
    /// The registers that a called function's arguments go to.
    arguments: Vec<Var>,
    vars: HashMap<Var, PointerValue<'ctx>>,
    /// What variables hold that need no memory.
    values: HashMap<Var, BasicValueEnum<'ctx>>,
    slots: HashMap<Slot, PointerValue<'ctx>>,
    /// The plain loops around the current statement, innermost last.
    pub jumps: Vec<Jumps<'ctx>>,
    /// The place of the current statement.
    pub span: Option<Span>,
}

impl<'e, 'ctx, 'a> Function<'e, 'ctx, 'a> {
    /// Emits a whole program into `value`, which takes the context and returns an `int`.
    pub fn program(
        unit: &'e Unit<'ctx, 'a>,
        program: &'a Program,
        index: usize,
        captures: &'e Captures,
        value: FunctionValue<'ctx>,
    ) -> Result<()> {
        let shared = Shared { unit, program, captures, is_called: false };
        let mut function = Self::begin(shared, value, capture::MAIN, &["ctx"], &program.body)?;
        function.context = Some(function.parameter(0)?.into_pointer_value());
        function.emit_body(index)
    }

    /// Emits a function that programs call into `value`, which takes its parameters and returns a
    /// `long`. `index`: its entry of the scratch map.
    pub fn subprogram(
        unit: &'e Unit<'ctx, 'a>,
        called: &'a ir::Function,
        index: usize,
        captures: &'e Captures,
        value: FunctionValue<'ctx>,
    ) -> Result<()> {
        let shared = Shared { unit, program: &called.program, captures, is_called: true };
        let names: Vec<String> = (0..called.parameters.len()).map(|number| format!("a{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut function = Self::begin(shared, value, capture::MAIN, &names, &called.program.body)?;
        function.arguments.clone_from(&called.parameters);
        function.emit_body(index)
    }

    fn emit_body(&mut self, index: usize) -> Result<()> {
        self.allocate_memory()?;
        let outcome = self.enter(index).and_then(|()| self.take_arguments());
        let outcome = outcome.and_then(|()| self.block(&self.shared.program.body));
        outcome.map_err(|error| self.at(error))?;
        if self.is_open() {
            self.return_from_program(None)?;
        }
        Ok(())
    }

    fn take_arguments(&mut self) -> Result<()> {
        for (number, var) in std::mem::take(&mut self.arguments).into_iter().enumerate() {
            // A parameter that the body does not use has no place.
            if self.vars.contains_key(&var) || self.shared.captures.vars.contains_key(&var) {
                self.write_var(var, self.parameter(number as u32)?)?;
            }
        }
        Ok(())
    }

    /// Starts a function: its entry block, its debug information, its variables.
    pub fn begin(
        shared: Shared<'e, 'ctx, 'a>,
        value: FunctionValue<'ctx>,
        region: usize,
        parameters: &[&str],
        body: &[Stmt],
    ) -> Result<Self> {
        let unit = shared.unit;
        let builder = unit.context.create_builder();
        builder.position_at_end(unit.context.append_basic_block(value, "entry"));
        let span = walk::first_span(body).or_else(|| walk::first_span(&shared.program.body));
        let is_program = region == capture::MAIN && !shared.is_called;
        let scope = unit.debug.function(value, parameters, is_program, span);
        unit.debug.locate(&builder, &scope, span);
        let mut function = Self {
            shared,
            value,
            builder,
            scope,
            region,
            frame: None,
            context: None,
            scratch: None,
            arguments: Vec::new(),
            vars: HashMap::new(),
            values: HashMap::new(),
            slots: HashMap::new(),
            jumps: Vec::new(),
            span,
        };
        function.allocate_vars()?;
        Ok(function)
    }

    /// Adds the current place to an error that has none.
    pub fn at(&self, error: CodegenError) -> CodegenError {
        CodegenError { span: error.span.or(self.span), ..error }
    }

    pub fn parameter(&self, index: u32) -> Result<BasicValueEnum<'ctx>> {
        self.value.get_nth_param(index).ok_or_else(|| CodegenError::malformed("no such parameter"))
    }

    /// Variables of this function alone; LLVM promotes them to registers.
    fn allocate_vars(&mut self) -> Result<()> {
        for (var, home) in &self.shared.captures.homes {
            if *home == self.region && !self.shared.captures.named.contains(var) {
                let ty = self.shared.unit.types.memory(self.var_type(*var)?);
                self.vars.insert(*var, self.builder.build_alloca(ty, "")?);
            }
        }
        Ok(())
    }

    /// The program's frame, and slots.
    fn allocate_memory(&mut self) -> Result<()> {
        let captures = self.shared.captures;
        if captures.frame_size > 0 {
            self.frame = Some(self.allocate(captures.frame_size, "frame")?);
        }
        self.allocate_slots()
    }

    /// The slots of this function alone.
    pub fn allocate_slots(&mut self) -> Result<()> {
        let captures = self.shared.captures;
        for (number, info) in self.shared.program.slots.iter().enumerate() {
            let slot = Slot(number as u32);
            let home = captures.slot_homes.get(&slot).copied().unwrap_or(capture::MAIN);
            if info.scratch.is_none() && home == self.region && !captures.slots.contains_key(&slot) {
                let memory = self.allocate(info.size, "slot")?;
                self.slots.insert(slot, memory);
            }
        }
        Ok(())
    }

    /// Stack memory in whole words, aligned to words.
    fn allocate(&self, size: u32, name: &str) -> Result<PointerValue<'ctx>> {
        let words = self.shared.unit.types.i64.array_type(size.div_ceil(8).max(1));
        Ok(self.builder.build_alloca(words, name)?)
    }

    /// What a program does before its first statement.
    fn enter(&mut self, index: usize) -> Result<()> {
        if self.shared.program.slots.iter().any(|slot| slot.scratch.is_some()) {
            self.scratch = Some(self.look_up_scratch(index)?);
        }
        let Some(frame) = self.frame else { return Ok(()) };
        let captures = self.shared.captures;
        self.zero(frame, captures.words_size, 8)?;
        for (offset, value) in [(captures.context, self.context), (captures.scratch, self.scratch)] {
            if let (Some(offset), Some(value)) = (offset, value) {
                let field = self.constant_offset(frame, offset)?;
                self.builder.build_store(field, value)?;
            }
        }
        Ok(())
    }

    /// The program's entry of the scratch map; without one the program ends at once.
    fn look_up_scratch(&mut self, index: usize) -> Result<PointerValue<'ctx>> {
        let map = self.shared.unit.ir.scratch;
        let map = map.ok_or_else(|| CodegenError::malformed("slots in scratch memory, but no scratch map"))?;
        let types = &self.shared.unit.types;
        let key = self.builder.build_alloca(types.i64, "scratch_key")?;
        let mut number = types.i64.const_int(index as u64, false);
        if self.shared.unit.ir.scratch_by_cpu {
            let entries = self.shared.unit.ir.programs.len() + self.shared.unit.ir.functions.len();
            let programs = types.i64.const_int(entries as u64, false);
            let cpu = self.call_helper(Helper::GET_SMP_PROCESSOR_ID, &[], Scalar::I64)?.into_int_value();
            number = self.builder.build_int_add(number, self.builder.build_int_mul(cpu, programs, "")?, "")?;
        }
        let number = self.builder.build_int_truncate(number, types.i32, "")?;
        self.builder.build_store(key, number)?;
        let arguments = [self.map(map)?.into(), key.into()];
        let found = self.call_helper(Helper::MAP_LOOKUP_ELEM, &arguments, Scalar::Pointer)?.into_pointer_value();
        let (missing, present) = (self.append("no_scratch"), self.append("body"));
        let is_null = self.builder.build_is_null(found, "")?;
        self.builder.build_conditional_branch(is_null, missing, present)?;
        self.builder.position_at_end(missing);
        self.return_from_program(None)?;
        self.builder.position_at_end(present);
        Ok(found)
    }

    pub fn append(&self, name: &str) -> BasicBlock<'ctx> {
        self.shared.unit.context.append_basic_block(self.value, name)
    }

    /// Whether the current block still lacks a terminator.
    pub fn is_open(&self) -> bool {
        self.builder.get_insert_block().is_some_and(|block| block.get_terminator().is_none())
    }

    pub fn var_type(&self, var: Var) -> Result<Scalar> {
        let scalar = self.shared.program.vars.get(var.0 as usize).copied();
        scalar.ok_or_else(|| CodegenError::malformed(format!("no variable {}", var.0)))
    }

    pub fn read_var(&self, var: Var) -> Result<BasicValueEnum<'ctx>> {
        let ty = self.var_type(var)?;
        if let Some(value) = self.values.get(&var) {
            return Ok(*value);
        }
        match (self.vars.get(&var), self.shared.captures.vars.get(&var)) {
            (Some(memory), _) => self.load(*memory, ty),
            (None, Some(offset)) => {
                let field = self.frame_field(*offset)?;
                let types = &self.shared.unit.types;
                match types.integer(ty) {
                    None => self.load(field, ty),
                    Some(narrow) => {
                        let word = self.load(field, Scalar::I64)?.into_int_value();
                        Ok(self.builder.build_int_truncate_or_bit_cast(word, narrow, "")?.into())
                    }
                }
            }
            (None, None) => Err(CodegenError::malformed(format!("variable {} is not in reach", var.0))),
        }
    }

    /// A captured integer fills its word, so that the verifier keeps track of its bounds.
    pub fn write_var(&mut self, var: Var, value: BasicValueEnum<'ctx>) -> Result<()> {
        let types = &self.shared.unit.types;
        if value.get_type() != types.register(self.var_type(var)?) {
            return Err(CodegenError::malformed(format!("variable {} is set to a value of another type", var.0)));
        }
        if self.shared.captures.named.contains(&var) {
            self.values.insert(var, value);
            return Ok(());
        }
        match (self.vars.get(&var), self.shared.captures.vars.get(&var)) {
            (Some(memory), _) => self.store(*memory, value),
            (None, Some(offset)) => {
                let field = self.frame_field(*offset)?;
                let value = match value {
                    BasicValueEnum::IntValue(narrow) => self.widen(narrow)?.into(),
                    other => other,
                };
                self.store(field, value)
            }
            (None, None) => Err(CodegenError::malformed(format!("variable {} is not in reach", var.0))),
        }
    }

    /// Zero-extends to 64 bits.
    pub fn widen(&self, value: IntValue<'ctx>) -> Result<IntValue<'ctx>> {
        let word = self.shared.unit.types.i64;
        Ok(self.builder.build_int_z_extend_or_bit_cast(value, word, "")?)
    }

    pub fn frame_field(&self, offset: u32) -> Result<PointerValue<'ctx>> {
        let frame = self.frame.ok_or_else(|| CodegenError::malformed("no frame"))?;
        self.constant_offset(frame, offset)
    }

    pub fn slot(&self, slot: Slot) -> Result<PointerValue<'ctx>> {
        if let Some(memory) = self.slots.get(&slot) {
            return Ok(*memory);
        }
        if let Some(offset) = self.shared.captures.slots.get(&slot) {
            return self.frame_field(*offset);
        }
        let offset = self.shared.program.slots.get(slot.0 as usize).and_then(|info| info.scratch);
        match (self.scratch, offset) {
            (Some(scratch), Some(offset)) => self.constant_offset(scratch, offset),
            _ => Err(CodegenError::malformed(format!("slot {} is not in reach", slot.0))),
        }
    }

    /// Ends the program itself.
    pub fn return_from_program(&mut self, value: Option<&Expr>) -> Result<()> {
        let code = self.return_code(value)?;
        self.builder.build_return(Some(&code))?;
        Ok(())
    }

    /// The program's return value as an `int`.
    pub fn return_code(&mut self, value: Option<&Expr>) -> Result<IntValue<'ctx>> {
        let types = &self.shared.unit.types;
        let int = if self.shared.is_called { types.i64 } else { types.i32 };
        match value {
            Some(value) => {
                let value = self.integer(value)?;
                Ok(self.builder.build_int_cast_sign_flag(value, int, false, "")?)
            }
            None => Ok(int.const_int(i64::from(self.shared.program.default_return) as u64, true)),
        }
    }
}
