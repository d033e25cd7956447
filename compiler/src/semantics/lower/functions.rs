//! Functions of the script (`fn`): their bodies, `return` from them, and calls.
//!
//! Values that fit a register travel in one; for others the caller passes an address, and for a
//! result of that kind the address where it is to be put, as the first argument.

use crate::diagnostics::Diagnostic;
use crate::ir::{self, Expr as Ir, Scalar, Stmt};
use crate::semantics::environment::Signature;
use crate::syntax::ast::{Ident, NodeId, Span, Subprogram, TypeOrExpr};
use crate::types::Type;

use super::variables::{Storage, Variable};
use super::{Lowered, Lowerer, Operand, warnings};

/// The function whose body is lowered.
#[derive(Clone, Debug)]
pub struct Frame {
    name: String,
    returns: Type,
    /// Where a result goes that does not fit a register.
    result: Option<ir::Var>,
}

impl Lowerer<'_> {
    /// Lowers a function's body. A program's own things, such as its context, it does not have.
    pub fn function(mut self, symbol: String, declaration: &Subprogram, signature: &Signature) -> ir::Function {
        let mut parameters = Vec::new();
        let result = (!signature.returns.is_scalar() && signature.returns != Type::Void).then(|| {
            let result = self.new_var(Scalar::Pointer);
            parameters.push(result);
            result
        });
        let name = declaration.name.name.clone();
        self.frame = Some(Frame { name, returns: signature.returns.clone(), result });
        self.scopes.enter();
        for (number, ((parameter, _), ty)) in declaration.parameters.iter().zip(&signature.parameters).enumerate() {
            parameters.push(self.parameter(number as u32, parameter, ty));
        }
        // What went wrong has been reported.
        let body = self.block(&declaration.body);
        if body.is_ok() && signature.returns != Type::Void && !warnings::always_leaves(&declaration.body) {
            self.wrong_result(&Type::Void, declaration.name.span);
        }
        let body = self.blocks.pop().unwrap_or_default();
        let kind = self.probe.kind;
        let program = ir::Program { symbol, kind, vars: self.vars, slots: self.slots, body, default_return: 0 };
        ir::Function { program, parameters }
    }

    /// Brings a parameter into scope. Gives the register that it arrives in.
    fn parameter(&mut self, number: u32, parameter: &Ident, ty: &Type) -> ir::Var {
        // The parser's own ids are counted from 0.
        let declared = NodeId(u32::MAX - number);
        let program = self.program_index();
        // One declaration has one type.
        let _ = self.env.widen_variable(program, declared, ty, false);
        let (register, storage) = if ty.is_scalar() {
            let register = self.new_var(Scalar::I64);
            (register, Storage::Register(register))
        } else {
            let register = self.new_var(Scalar::Pointer);
            let slot = self.slot_for(ty);
            let align = ty.align();
            self.emit(Stmt::Copy { to: Ir::Slot(slot), from: Ir::Var(register), size: ty.size(), align });
            (register, Storage::Memory(slot))
        };
        let variable = Variable { declared, span: parameter.span, storage, annotated: true, assigned: true };
        self.scopes.declare(&parameter.name, variable);
        register
    }

    fn wrong_result(&mut self, ty: &Type, span: Span) -> super::Reported {
        let (name, returns) = self.frame.as_ref().map_or(("", &Type::Void), |frame| (&frame.name, &frame.returns));
        let message = format!("Function {name} is of type {returns}, cannot return {ty}");
        self.error("wrong-result-type", span, message)
    }

    /// `return value` in a function.
    pub(super) fn return_result(&mut self, frame: &Frame, value: Option<Operand>, span: Span) -> Lowered<()> {
        let Some(value) = value else {
            if frame.returns != Type::Void {
                return Err(self.wrong_result(&Type::Void, span));
            }
            self.emit(Stmt::Return(None));
            return Ok(());
        };
        if value.is_unknown() && !self.env.unknown_is_final() {
            return Ok(());
        }
        let fits = crate::semantics::widen::fits(&value.ty, &frame.returns);
        if frame.returns == Type::Void || !fits || matches!(value.ty, Type::Aggregate(_)) {
            return Err(self.wrong_result(&value.ty, span));
        }
        self.require_annotated_fit(&value, &frame.returns, &frame.name)?;
        match frame.result {
            Some(result) => {
                self.store(Ir::Var(result), &value, &frame.returns)?;
                self.emit(Stmt::Return(None));
            }
            None => {
                self.warn_conversion(&value, &frame.returns, value.span);
                let value = self.register(value)?;
                let value = self.narrow(&frame.returns, value);
                self.emit(Stmt::Return(Some(value)));
            }
        }
        Ok(())
    }

    /// A call of a function of the script.
    pub(super) fn call_function(
        &mut self,
        name: &Ident,
        signature: &Signature,
        arguments: &[TypeOrExpr],
        span: Span,
    ) -> Lowered<Operand> {
        if arguments.len() != signature.parameters.len() {
            let (want, have) = (signature.parameters.len(), arguments.len());
            let message = format!("{}() takes {want} arguments, not {have}", name.name);
            let diagnostic = Diagnostic::error("wrong-argument-count", span, message);
            return Err(self.report(diagnostic.also(signature.span, "defined here")));
        }
        let caller = self.program_index();
        self.env.calls.push((caller, signature.index, name.span));
        let mut passed = Vec::new();
        let returns = signature.returns.clone();
        let result = (!returns.is_scalar() && returns != Type::Void).then(|| Ir::Slot(self.slot_for(&returns)));
        passed.extend(result.clone());
        for (argument, ty) in arguments.iter().zip(&signature.parameters) {
            let expr = self.value_argument(argument)?;
            let value = self.expr(expr)?;
            if value.is_unknown() {
                self.unknown(&value)?;
                return Ok(Operand::void(span));
            }
            passed.push(self.pass(value, ty, &name.name)?);
        }
        let call = Ir::Call { function: signature.index as u32, arguments: passed };
        if let Some(slot) = result {
            self.emit(Stmt::Evaluate(call));
            return Ok(Operand::memory(returns, slot, span));
        }
        let value = self.bind(Scalar::I64, call);
        Ok(if returns == Type::Void { Operand::void(span) } else { Operand::scalar(returns, value, span) })
    }

    /// What is put into the register for an argument.
    fn pass(&mut self, value: Operand, ty: &Type, function: &str) -> Lowered<Ir> {
        if !crate::semantics::widen::fits(&value.ty, ty) {
            let message = format!("{function}() takes {ty} here, not {}", value.ty);
            return Err(self.error("type-mismatch", value.span, message));
        }
        self.require_annotated_fit(&value, ty, function)?;
        if ty.is_scalar() {
            self.warn_conversion(&value, ty, value.span);
            let value = self.register(value)?;
            return Ok(self.narrow(ty, value));
        }
        let slot = Ir::Slot(self.slot_for(ty));
        self.store(slot.clone(), &value, ty)?;
        Ok(slot)
    }
}
