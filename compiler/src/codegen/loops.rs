//! Statements that repeat: unrolled, or through helpers that call a function back. And parts of long programs,
//! whose functions are like those.
//!
//! A callback gets the address of the program's frame ([`capture`](super::capture)). It returns 0
//! to go on and 1 to stop. `return` stops every loop around it: it leaves a note in the frame, and
//! whoever started the loop looks there when the helper is back.

use inkwell::IntPredicate;
use inkwell::module::Linkage;
use inkwell::types::BasicMetadataTypeEnum;
use inkwell::values::{FunctionValue, IntValue, PointerValue};

use super::capture::MAIN;
use super::function::{Function, Jumps};
use super::{CodegenError, Result, walk};
use crate::ir::{Expr, Helper, MapIndex, Scalar, Stmt, Var};

/// `BPF_MAX_LOOPS` of `kernel/bpf/bpf_iter.c`: more and `bpf_loop` refuses.
const MAX_LOOPS: u64 = 8 * 1024 * 1024;
/// The second word of [`Captures::returned`](super::capture::Captures::returned).
const RETURN_VALUE: u32 = 8;

impl<'ctx, 'a> Function<'_, 'ctx, 'a> {
    pub fn range(&mut self, stmt: &'a Stmt) -> Result<()> {
        let Stmt::Range { index, start, end, body } = stmt else { return Ok(()) };
        if let Some((first, end)) = walk::unrolled_bounds(stmt) {
            return self.unroll(*index, first, end, body);
        }
        let region = self.region_of(stmt)?;
        let (first, end) = (self.word(start)?, self.word(end)?);
        if let Some(offset) = self.shared.captures.starts.get(&region) {
            self.store(self.frame_field(*offset)?, first.into())?;
        }
        let count = self.trip_count(first, end)?;
        let types = &self.shared.unit.types;
        let callback = self.declare_callback("loop", region, &[types.i64.into(), types.pointer.into()]);
        self.emit_callback(callback, region, &["index", "frame"], body, |function| {
            let first = match function.shared.captures.starts.get(&region) {
                Some(offset) => function.load(function.frame_field(*offset)?, Scalar::I64)?.into_int_value(),
                None => function.word(start)?,
            };
            let nth = function.parameter(0)?.into_int_value();
            let value = function.builder.build_int_add(first, nth, "")?;
            function.write_var(*index, value.into())
        })?;
        let callback = callback.as_global_value().as_pointer_value();
        let flags = self.shared.unit.types.i64.const_zero();
        let arguments = [count.into(), callback.into(), self.frame_or_null().into(), flags.into()];
        // A callback that the verifier can tell is never called, though its address is taken, is more than the
        // kernel copes with ("No program to jit", `jit_subprogs` of `kernel/bpf/verifier.c`).
        let (run, after) = (self.append("loop"), self.append("endloop"));
        let zero = self.shared.unit.types.i64.const_zero();
        let any = self.builder.build_int_compare(IntPredicate::NE, count, zero, "")?;
        self.builder.build_conditional_branch(any, run, after)?;
        self.builder.position_at_end(run);
        self.call_helper(Helper::LOOP, &arguments, Scalar::I64)?;
        self.pass_return_on(body)?;
        self.builder.build_unconditional_branch(after)?;
        self.builder.position_at_end(after);
        Ok(())
    }

    pub fn for_each(&mut self, stmt: &'a Stmt) -> Result<()> {
        let Stmt::ForEach { map, key, value, body } = stmt else { return Ok(()) };
        let region = self.region_of(stmt)?;
        let callback = self.declare_callback("loop", region, &[self.shared.unit.types.pointer.into(); 4]);
        self.emit_callback(callback, region, &["map", "key", "value", "frame"], body, |function| {
            function.write_var(*key, function.parameter(1)?)?;
            function.write_var(*value, function.parameter(2)?)
        })?;
        self.call_for_each(*map, callback)?;
        self.pass_return_on(body)
    }

    /// A part of a long program: its function is called once, here.
    pub fn apart(&mut self, stmt: &'a Stmt, body: &'a [Stmt]) -> Result<()> {
        let region = self.region_of(stmt)?;
        let part = self.declare_callback("part", region, &[self.shared.unit.types.pointer.into()]);
        self.emit_callback(part, region, &["frame"], body, |_| Ok(()))?;
        self.builder.build_call(part, &[self.frame_or_null().into()], "")?;
        self.pass_return_on(body)
    }

    fn call_for_each(&mut self, map: MapIndex, callback: FunctionValue<'ctx>) -> Result<()> {
        let map = self.map(map)?;
        let callback = callback.as_global_value().as_pointer_value();
        let flags = self.shared.unit.types.i64.const_zero();
        let arguments = [map.into(), callback.into(), self.frame_or_null().into(), flags.into()];
        self.call_helper(Helper::FOR_EACH_MAP_ELEM, &arguments, Scalar::I64)?;
        Ok(())
    }

    /// The body once for each index, one after another.
    fn unroll(&mut self, index: Var, first: i64, end: i64, body: &'a [Stmt]) -> Result<()> {
        let after = self.append("endrange");
        for value in first..end {
            let next = self.append("next");
            let value = self.shared.unit.types.i64.const_int(value as u64, true);
            self.write_var(index, value.into())?;
            self.jumps.push(Jumps { on_break: after, on_continue: next });
            self.block(body)?;
            self.jumps.pop();
            if self.is_open() {
                self.builder.build_unconditional_branch(next)?;
            }
            self.builder.position_at_end(next);
        }
        self.builder.build_unconditional_branch(after)?;
        self.builder.position_at_end(after);
        Ok(())
    }

    fn word(&mut self, expr: &Expr) -> Result<IntValue<'ctx>> {
        let value = self.integer(expr)?;
        if value.get_type() != self.shared.unit.types.i64 {
            return Err(CodegenError::malformed("a range's bound is not a 64-bit integer"));
        }
        Ok(value)
    }

    /// `end - first`, but 0 if that is negative and [`MAX_LOOPS`] if it is more.
    fn trip_count(&self, first: IntValue<'ctx>, end: IntValue<'ctx>) -> Result<IntValue<'ctx>> {
        let word = self.shared.unit.types.i64;
        let most = word.const_int(MAX_LOOPS, false);
        let distance = self.builder.build_int_sub(end, first, "")?;
        let fits = self.builder.build_int_compare(IntPredicate::ULT, distance, most, "")?;
        let capped = self.builder.build_select(fits, distance, most, "")?.into_int_value();
        let any = self.builder.build_int_compare(IntPredicate::SLT, first, end, "")?;
        Ok(self.builder.build_select(any, capped, word.const_zero(), "")?.into_int_value())
    }

    fn region_of(&self, stmt: &Stmt) -> Result<usize> {
        self.shared.captures.region(stmt).ok_or_else(|| CodegenError::malformed("a loop without a region"))
    }

    pub fn frame_or_null(&self) -> PointerValue<'ctx> {
        self.frame.unwrap_or_else(|| self.shared.unit.types.pointer.const_null())
    }

    fn declare_callback(
        &self,
        what: &str,
        region: usize,
        parameters: &[BasicMetadataTypeEnum<'ctx>],
    ) -> FunctionValue<'ctx> {
        let name = format!("{}_{what}{region}", self.shared.program.symbol);
        let signature = self.shared.unit.types.i64.fn_type(parameters, false);
        self.shared.unit.function(&name, signature, Linkage::Internal)
    }

    /// Emits a loop's body as a function; `prologue` sets the loop's own variables. The frame is
    /// the last parameter.
    fn emit_callback(
        &self,
        callback: FunctionValue<'ctx>,
        region: usize,
        parameters: &[&str],
        body: &'a [Stmt],
        prologue: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let captures = self.shared.captures;
        let mut function = Function::begin(self.shared, callback, region, parameters, body)?;
        if captures.frame_size > 0 {
            let last = parameters.len() as u32 - 1;
            function.frame = Some(function.parameter(last)?.into_pointer_value());
        }
        function.context = function.shared_pointer(captures.context)?;
        function.scratch = function.shared_pointer(captures.scratch)?;
        function.allocate_slots()?;
        let outcome =
            function.forget_changes().and_then(|()| prologue(&mut function)).and_then(|()| function.block(body));
        outcome.map_err(|error| function.at(error))?;
        if function.is_open() {
            function.end_callback(0)?;
        }
        Ok(())
    }

    /// Makes the verifier forget the integers that earlier runs of this callback may have changed.
    /// It follows a callback again and again until the stack no longer changes; a counter whose
    /// value it knew would differ each time.
    fn forget_changes(&self) -> Result<()> {
        if self.shared.captures.parts.get(self.region) == Some(&self.region) {
            return Ok(());
        }
        let changed = self.shared.captures.changed.get(&self.region);
        for var in changed.into_iter().flatten() {
            let offset = self.shared.captures.vars.get(var);
            if let (Some(offset), true) = (offset, self.var_type(*var)? != Scalar::Pointer) {
                let field = self.frame_field(*offset)?;
                let value = self.load(field, Scalar::I64)?.into_int_value();
                self.store(field, self.forget(value)?.into())?;
            }
        }
        Ok(())
    }

    /// A pointer that the program left in the frame.
    fn shared_pointer(&self, offset: Option<u32>) -> Result<Option<PointerValue<'ctx>>> {
        let Some(offset) = offset else { return Ok(None) };
        let field = self.frame_field(offset)?;
        Ok(Some(self.load(field, Scalar::Pointer)?.into_pointer_value()))
    }

    pub fn end_callback(&self, code: u64) -> Result<()> {
        let code = self.shared.unit.types.i64.const_int(code, false);
        self.builder.build_return(Some(&code))?;
        Ok(())
    }

    pub fn return_from_callback(&mut self, value: Option<&Expr>) -> Result<()> {
        let code = self.return_code(value)?;
        let code = self.widen(code)?;
        let note = self.returned()?;
        self.store(self.frame_field(note + RETURN_VALUE)?, code.into())?;
        let one = self.shared.unit.types.i64.const_int(1, false);
        self.store(self.frame_field(note)?, one.into())?;
        self.end_callback(1)
    }

    fn returned(&self) -> Result<u32> {
        self.shared.captures.returned.ok_or_else(|| CodegenError::malformed("no room for a return"))
    }

    /// After a loop whose body may return: does so if it did.
    fn pass_return_on(&mut self, body: &[Stmt]) -> Result<()> {
        if !walk::returns(body) {
            return Ok(());
        }
        let note = self.returned()?;
        let flag = self.load(self.frame_field(note)?, Scalar::I64)?.into_int_value();
        let has_returned = self.is_not_zero(flag)?;
        let (leave, stay) = (self.append("leave"), self.append("stay"));
        self.builder.build_conditional_branch(has_returned, leave, stay)?;
        self.builder.position_at_end(leave);
        if self.region == MAIN {
            let code = self.load(self.frame_field(note + RETURN_VALUE)?, Scalar::I64)?.into_int_value();
            let types = &self.shared.unit.types;
            let int = if self.shared.is_called { types.i64 } else { types.i32 };
            let code = self.builder.build_int_truncate_or_bit_cast(code, int, "")?;
            self.builder.build_return(Some(&code))?;
        } else {
            self.end_callback(1)?;
        }
        self.builder.position_at_end(stay);
        Ok(())
    }
}
