//! Calls of functions that imported C sources define.

use crate::diagnostics::Diagnostic;
use crate::ir::{CParameter, Conversion, Expr as Ir, Scalar};
use crate::semantics::c_sources::{Callable, obstacle};
use crate::syntax::ast::{Ident, Span, TypeOrExpr};
use crate::types::Type;

use super::{Lowered, Lowerer, Operand, Repr};

impl Lowerer<'_> {
    pub(super) fn call_c_function(
        &mut self,
        name: &Ident,
        callable: &Callable,
        arguments: &[TypeOrExpr],
        span: Span,
    ) -> Lowered<Operand> {
        let function = &callable.function;
        if let Some(reason) = obstacle(function) {
            let message = format!("{}() cannot be called from here: {reason}", name.name);
            let diagnostic = Diagnostic::error("unsupported-type", name.span, message);
            return Err(self.report(diagnostic.also(callable.span, "defined here")));
        }
        if arguments.len() != function.parameters.len() {
            let (want, have) = (function.parameters.len(), arguments.len());
            let message = format!("{}() takes {want} arguments, not {have}", name.name);
            let diagnostic = Diagnostic::error("wrong-argument-count", span, message);
            return Err(self.report(diagnostic.also(callable.span, "defined here")));
        }
        let mut passed = Vec::new();
        for (argument, ty) in arguments.iter().zip(&function.parameters) {
            let expr = self.value_argument(argument)?;
            let value = self.expr(expr)?;
            if value.is_unknown() {
                self.unknown(&value)?;
                return Ok(Operand::void(span));
            }
            passed.push((self.pass_to_c(value, ty, callable)?, parameter(ty)));
        }
        let returns = (function.returns != Type::Void).then(|| parameter(&function.returns));
        let call = Ir::CallC { symbol: name.name.clone(), arguments: passed, returns };
        let value = self.bind(Scalar::I64, call);
        Ok(match &function.returns {
            Type::Void => Operand::void(span),
            returns => Operand::scalar(returns.clone(), value, span),
        })
    }

    /// What is put into the register for an argument. What lies in memory goes by its address, as in C.
    fn pass_to_c(&mut self, value: Operand, ty: &Type, callable: &Callable) -> Lowered<Ir> {
        if let Type::Pointer { to, .. } = ty {
            let is_bytes = **to == Type::Void || matches!(**to, Type::Integer { bits: 8, .. });
            let in_memory = matches!(value.repr, Repr::Memory(_) | Repr::Text(_));
            if in_memory && (is_bytes || matches!(&value.ty, Type::Array { element, .. } if **element == **to)) {
                let ty = value.ty.clone();
                let slot = Ir::Slot(self.slot_for(&ty));
                self.store(slot.clone(), &value, &ty)?;
                return Ok(Ir::convert(Conversion::ToInteger, Scalar::I64, slot));
            }
        }
        let name = &callable.function.name;
        let is_null = matches!(ty, Type::Pointer { .. }) && value.constant() == Some(0);
        if !is_null && !crate::semantics::widen::fits(&value.ty, ty) {
            let message = format!("{name}() takes {ty} here, not {}", value.ty);
            let diagnostic = Diagnostic::error("type-mismatch", value.span, message);
            return Err(self.report(diagnostic.also(callable.span, "defined here")));
        }
        self.require_annotated_fit(&value, ty, name)?;
        self.warn_conversion(&value, ty, value.span);
        let value = self.register(value)?;
        Ok(self.narrow(ty, value))
    }
}

/// How C passes a value of a type.
fn parameter(ty: &Type) -> CParameter {
    CParameter { is_pointer: matches!(ty, Type::Pointer { .. }), is_signed: ty.is_signed() }
}
