//! Expressions: what they evaluate to, in registers.

use inkwell::attributes::{Attribute, AttributeLoc};
use inkwell::types::BasicMetadataTypeEnum;
use inkwell::values::{BasicMetadataValueEnum, BasicValue, BasicValueEnum, IntValue, PointerValue};

use super::function::Function;
use super::statement::is_speculatable;
use super::{CodegenError, Result};
use crate::ir::{Conversion, Expr, Helper, MapIndex, Scalar};

/// `BPF_PSEUDO_MAP_FD` and `BPF_PSEUDO_MAP_VALUE` of `linux/bpf.h`: what an `ld_imm64` refers to.
const PSEUDO_MAP_FD: u64 = 1;
const PSEUDO_MAP_VALUE: u64 = 2;
/// BPF passes five arguments in registers.
const MAX_ARGUMENTS: usize = 5;

impl<'ctx> Function<'_, 'ctx, '_> {
    pub fn value(&mut self, expr: &Expr) -> Result<BasicValueEnum<'ctx>> {
        match expr {
            Expr::Const { ty, value } => self.constant(*ty, *value),
            Expr::Var(var) => self.read_var(*var),
            Expr::Slot(slot) => Ok(self.slot(*slot)?.into()),
            Expr::Context => Ok(self.context_pointer()?.into()),
            Expr::Load { ty, address } => self.load_expression(*ty, address),
            Expr::Offset { base, by } => {
                let (base, by) = (self.pointer(base)?, self.integer(by)?);
                Ok(self.offset(base, by)?.into())
            }
            Expr::Binary { op, left, right } => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                Ok(self.binary(*op, left, right)?.into())
            }
            Expr::Convert { op, to, value } => {
                let value = self.value(value)?;
                self.convert(*op, *to, value)
            }
            Expr::Select { condition, then, otherwise } => self.select(condition, then, otherwise),
            Expr::Helper { id, arguments, returns } => self.helper(*id, arguments, *returns),
            Expr::Call { function, arguments } => self.call(*function, arguments),
            Expr::CallC { symbol, arguments, returns } => self.call_c(symbol, arguments, *returns),
            Expr::Map(map) => Ok(self.map(*map)?.into()),
            Expr::MapValue { map, offset } => {
                // The offset is added, not put into the instruction's second half, which LLVM's
                // encoder leaves 0. Loads and stores take it up.
                let value = self.pseudo(PSEUDO_MAP_VALUE, *map)?;
                Ok(self.constant_offset(value, *offset)?.into())
            }
            Expr::Opaque(value) => {
                let value = self.value(value)?;
                self.opaque(value)
            }
            Expr::Swap(value) => {
                let value = self.integer(value)?;
                Ok(self.swap(value)?.into())
            }
        }
    }

    pub fn integer(&mut self, expr: &Expr) -> Result<IntValue<'ctx>> {
        match self.value(expr)? {
            BasicValueEnum::IntValue(value) => Ok(value),
            _ => Err(CodegenError::malformed("a pointer stands where an integer must")),
        }
    }

    pub fn pointer(&mut self, expr: &Expr) -> Result<PointerValue<'ctx>> {
        match self.value(expr)? {
            BasicValueEnum::PointerValue(value) => Ok(value),
            _ => Err(CodegenError::malformed("an integer stands where a pointer must")),
        }
    }

    pub fn truth(&mut self, expr: &Expr) -> Result<IntValue<'ctx>> {
        let value = self.integer(expr)?;
        if value.get_type() != self.shared.unit.types.bool {
            return Err(CodegenError::malformed("a condition is not a truth value"));
        }
        Ok(value)
    }

    fn constant(&self, ty: Scalar, value: i64) -> Result<BasicValueEnum<'ctx>> {
        let types = &self.shared.unit.types;
        match types.integer(ty) {
            Some(integer) => {
                let bits = integer.get_bit_width();
                let mask = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
                Ok(integer.const_int(value as u64 & mask, false).into())
            }
            None => Ok(types.i64.const_int(value as u64, false).const_to_pointer(types.pointer).into()),
        }
    }

    fn context_pointer(&self) -> Result<PointerValue<'ctx>> {
        self.context.ok_or_else(|| CodegenError::malformed("the context is not in reach"))
    }

    /// Reads of the context are volatile and their results opaque: the verifier checks width and
    /// offset against the program type, so LLVM must neither narrow them nor make one of two.
    fn load_expression(&mut self, ty: Scalar, address: &Expr) -> Result<BasicValueEnum<'ctx>> {
        let in_context = is_in_context(address);
        let address = self.pointer(address)?;
        let memory = self.shared.unit.types.memory(ty);
        let loaded = self.builder.build_load(memory, address, "")?;
        if let Some(instruction) = loaded.as_instruction_value().filter(|_| in_context) {
            instruction.set_volatile(true).map_err(|error| CodegenError::malformed(error.to_string()))?;
            return self.loaded_value(ty, self.opaque(loaded)?);
        }
        self.loaded_value(ty, loaded)
    }

    pub fn convert(&self, op: Conversion, to: Scalar, value: BasicValueEnum<'ctx>) -> Result<BasicValueEnum<'ctx>> {
        let types = &self.shared.unit.types;
        let mismatch = || CodegenError::malformed(format!("no conversion {op:?} to {to:?}"));
        let value = match (op, value) {
            (Conversion::ToInteger, BasicValueEnum::PointerValue(value)) => {
                return Ok(self.builder.build_ptr_to_int(value, types.i64, "")?.into());
            }
            (Conversion::ToPointer, BasicValueEnum::IntValue(value)) if value.get_type() == types.i64 => {
                return Ok(self.builder.build_int_to_ptr(value, types.pointer, "")?.into());
            }
            (_, BasicValueEnum::IntValue(value)) => value,
            _ => return Err(mismatch()),
        };
        let target = types.integer(to).ok_or_else(mismatch)?;
        let (from, bits) = (value.get_type().get_bit_width(), target.get_bit_width());
        let converted = match op {
            Conversion::Truncate if bits <= from => self.builder.build_int_truncate_or_bit_cast(value, target, "")?,
            Conversion::SignExtend if bits >= from && from > 1 => {
                self.builder.build_int_s_extend_or_bit_cast(value, target, "")?
            }
            Conversion::ZeroExtend | Conversion::SignExtend if bits >= from => {
                self.builder.build_int_z_extend_or_bit_cast(value, target, "")?
            }
            _ => return Err(mismatch()),
        };
        Ok(converted.into())
    }

    fn select(&mut self, condition: &Expr, then: &Expr, otherwise: &Expr) -> Result<BasicValueEnum<'ctx>> {
        let condition = self.truth(condition)?;
        if is_speculatable(then) && is_speculatable(otherwise) {
            let (then, otherwise) = (self.value(then)?, self.value(otherwise)?);
            same_type(then, otherwise)?;
            return Ok(self.builder.build_select(condition, then, otherwise, "")?);
        }
        let (on_true, on_false, after) = (self.append("then"), self.append("else"), self.append("endselect"));
        self.builder.build_conditional_branch(condition, on_true, on_false)?;
        let mut arms = Vec::with_capacity(2);
        for (block, arm) in [(on_true, then), (on_false, otherwise)] {
            self.builder.position_at_end(block);
            let value = self.value(arm)?;
            let end = self.builder.get_insert_block().ok_or_else(|| CodegenError::malformed("no block"))?;
            self.builder.build_unconditional_branch(after)?;
            arms.push((value, end));
        }
        self.builder.position_at_end(after);
        let (Some(first), Some(second)) = (arms.first(), arms.get(1)) else {
            return Err(CodegenError::malformed("a choice without arms"));
        };
        same_type(first.0, second.0)?;
        let phi = self.builder.build_phi(first.0.get_type(), "")?;
        phi.add_incoming(&[(&first.0 as &dyn BasicValue<'ctx>, first.1), (&second.0, second.1)]);
        Ok(phi.as_basic_value())
    }

    fn helper(&mut self, id: Helper, arguments: &[Expr], returns: Scalar) -> Result<BasicValueEnum<'ctx>> {
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            values.push(match self.value(argument)? {
                BasicValueEnum::IntValue(value) => self.widen(value)?.into(),
                other => other.into(),
            });
        }
        self.call_helper(id, &values, returns)
    }

    fn call(&mut self, function: u32, arguments: &[Expr]) -> Result<BasicValueEnum<'ctx>> {
        let callee = self.shared.unit.called(function as usize)?;
        let mut values: Vec<BasicMetadataValueEnum> = Vec::with_capacity(arguments.len());
        for argument in arguments {
            values.push(self.value(argument)?.into());
        }
        let given: Vec<_> = values.iter().map(|value| value.is_pointer_value()).collect();
        let wanted: Vec<_> = callee.get_type().get_param_types().iter().map(|ty| ty.is_pointer_type()).collect();
        if given != wanted {
            return Err(CodegenError::malformed("a call's arguments are not what the function takes"));
        }
        let call = self.builder.build_call(callee, &values, "")?;
        call.try_as_basic_value().basic().ok_or_else(|| CodegenError::malformed("a function without a result"))
    }

    /// A helper is called by its number: LLVM makes `call N` of a call to the address N.
    pub fn call_helper(
        &self,
        id: Helper,
        arguments: &[BasicMetadataValueEnum<'ctx>],
        returns: Scalar,
    ) -> Result<BasicValueEnum<'ctx>> {
        let types = &self.shared.unit.types;
        if arguments.len() > MAX_ARGUMENTS {
            return Err(CodegenError::malformed(format!("helper {} has more than five arguments", id.0)));
        }
        let parameters: Vec<BasicMetadataTypeEnum> = arguments
            .iter()
            .map(|argument| if argument.is_pointer_value() { types.pointer.into() } else { types.i64.into() })
            .collect();
        let signature = match returns {
            Scalar::Pointer => types.pointer.fn_type(&parameters, false),
            _ => types.i64.fn_type(&parameters, false),
        };
        let callee = types.i64.const_int(u64::from(id.0), false).const_to_pointer(types.pointer);
        let call = self.builder.build_indirect_call(signature, callee, arguments, "")?;
        if id.is_constant() {
            for (name, value) in [("memory", 0), ("nounwind", 0), ("willreturn", 0)] {
                let kind = Attribute::get_named_enum_kind_id(name);
                let attribute = self.shared.unit.context.create_enum_attribute(kind, value);
                call.add_attribute(AttributeLoc::Function, attribute);
            }
        }
        let result = call.try_as_basic_value().basic();
        let result = result.ok_or_else(|| CodegenError::malformed("a helper without a result"))?;
        match (result, returns) {
            (BasicValueEnum::IntValue(value), Scalar::Bool) => self.is_not_zero(value).map(Into::into),
            (BasicValueEnum::IntValue(_), narrow) => self.convert(Conversion::Truncate, narrow, result),
            _ => Ok(result),
        }
    }

    pub fn map(&self, map: MapIndex) -> Result<PointerValue<'ctx>> {
        self.pseudo(PSEUDO_MAP_FD, map)
    }

    /// An `ld_imm64` that the loader completes: it replaces the map's index by its descriptor.
    fn pseudo(&self, kind: u64, map: MapIndex) -> Result<PointerValue<'ctx>> {
        let unit = self.shared.unit;
        let (word, pointer) = (unit.types.i64, unit.types.pointer);
        let name = "llvm.bpf.pseudo";
        let intrinsic = unit
            .module
            .get_function(name)
            .unwrap_or_else(|| unit.module.add_function(name, word.fn_type(&[word.into(), word.into()], false), None));
        let arguments = [word.const_int(kind, false).into(), word.const_int(u64::from(map.0), false).into()];
        let call = self.builder.build_call(intrinsic, &arguments, "")?;
        match call.try_as_basic_value().basic() {
            Some(BasicValueEnum::IntValue(value)) => Ok(self.builder.build_int_to_ptr(value, pointer, "")?),
            _ => Err(CodegenError::malformed("llvm.bpf.pseudo gave no value")),
        }
    }

    /// The same value, of which the verifier knows nothing: it takes the difference of two pointers
    /// for an arbitrary number (`adjust_reg_min_max_vals` in `kernel/bpf/verifier.c`).
    pub fn forget(&self, value: IntValue<'ctx>) -> Result<IntValue<'ctx>> {
        let word = self.shared.unit.types.i64;
        let address = || -> Result<IntValue<'ctx>> {
            let frame = self.opaque(self.frame_or_null().into())?.into_pointer_value();
            Ok(self.builder.build_ptr_to_int(frame, word, "")?)
        };
        let zero = self.builder.build_int_sub(address()?, address()?, "")?;
        // Were this not opaque, LLVM might add the value to an address first, which is forbidden.
        let zero = self.opaque(zero.into())?.into_int_value();
        Ok(self.builder.build_int_add(value, zero, "")?)
    }

    /// Passes a value through an empty piece of assembly. Narrow integers travel in a whole
    /// register.
    fn opaque(&self, value: BasicValueEnum<'ctx>) -> Result<BasicValueEnum<'ctx>> {
        let (wide, narrow) = match value {
            BasicValueEnum::IntValue(value) => (self.widen(value)?.into(), Some(value.get_type())),
            other => (other, None),
        };
        let signature = match narrow {
            Some(_) => self.shared.unit.types.i64.fn_type(&[self.shared.unit.types.i64.into()], false),
            None => self.shared.unit.types.pointer.fn_type(&[self.shared.unit.types.pointer.into()], false),
        };
        let barrier = self.shared.unit.context.create_inline_asm(
            signature,
            String::new(),
            "=r,0".into(),
            true,
            false,
            None,
            false,
        );
        let call = self.builder.build_indirect_call(signature, barrier, &[wide.into()], "")?;
        match (call.try_as_basic_value().basic(), narrow) {
            (Some(BasicValueEnum::IntValue(result)), Some(ty)) => {
                Ok(self.builder.build_int_truncate_or_bit_cast(result, ty, "")?.into())
            }
            (Some(result), None) => Ok(result),
            _ => Err(CodegenError::malformed("inline assembly gave no value")),
        }
    }
}

fn same_type(first: BasicValueEnum<'_>, second: BasicValueEnum<'_>) -> Result<()> {
    if first.get_type() != second.get_type() {
        return Err(CodegenError::malformed("a choice between values of two types"));
    }
    Ok(())
}

/// Whether an address is the context, or a place in it.
fn is_in_context(address: &Expr) -> bool {
    match address {
        Expr::Context => true,
        Expr::Offset { base, .. } => is_in_context(base),
        _ => false,
    }
}
