//! `typeinfo`: what the compiler knows of a type, as a record; and what must be known by then.

use crate::ir::Expr as Ir;
use crate::syntax::ast::{BinaryOp, Block, Expr, ExprKind, Ident, Span, TypeOrExpr};
use crate::types::Type;

use super::{Lowered, Lowerer, Operand, Repr, text_literal, tuples};

/// The expression behind parentheses, `comptime` and macros that are nothing but a value.
pub(super) fn bare(expr: &Expr) -> &Expr {
    match &expr.kind {
        ExprKind::Comptime(inner) => bare(inner),
        ExprKind::Block(Block { statements, result: Some(result), .. }) if statements.is_empty() => bare(result),
        _ => expr,
    }
}

/// What `typeinfo` speaks of, if an expression is one.
pub(super) fn subject(expr: &Expr) -> Option<&TypeOrExpr> {
    match &bare(expr).kind {
        ExprKind::Typeinfo(of) => Some(of),
        _ => None,
    }
}

/// The kind of a type, as bpftrace calls it.
fn base_name(ty: &Type) -> String {
    match ty {
        Type::Void => "none".to_string(),
        Type::Integer { .. } | Type::Enum { .. } => "int".to_string(),
        Type::String { .. } => "string".to_string(),
        Type::Buffer { .. } => "buffer".to_string(),
        Type::Pointer { .. } => "pointer".to_string(),
        Type::Array { .. } => "array".to_string(),
        Type::Tuple(_) => "tuple".to_string(),
        Type::Record(_) => "record".to_string(),
        Type::Struct(_) => "c_type".to_string(),
        Type::Mac => "mac_address".to_string(),
        other => other.to_string(),
    }
}

impl Lowerer<'_> {
    /// `(btf_id=…, base_type="int", full_type="uint32")`
    pub(super) fn typeinfo(&mut self, of: &TypeOrExpr, span: Span) -> Lowered<Operand> {
        let (base, full) = self.type_names(of, span)?;
        let texts = [text_literal(base, span), text_literal(full, span)];
        let [base, full] = &texts;
        let fields = [("btf_id", Type::U64), ("base_type", base.ty.clone()), ("full_type", full.ty.clone())];
        let fields = fields.into_iter().map(|(name, ty)| (name.to_string(), ty));
        let ty = Type::Record(fields.collect::<Vec<_>>().into());
        let slot = Ir::Slot(self.slot_for(&ty));
        let id = Operand::scalar(Type::U64, Ir::int(0), span);
        let [base, full] = texts;
        self.build(slot.clone(), &ty, &[id, base, full])?;
        Ok(Operand::memory(ty, slot, span))
    }

    fn type_names(&mut self, of: &TypeOrExpr, span: Span) -> Lowered<(String, String)> {
        self.require_stable("typeinfo", "unstable_typeinfo", self.env.settings.unstable.typeinfo, span)?;
        let ty = self.type_of(of)?;
        let full = if ty == Type::Void { "none".to_string() } else { ty.to_string() };
        Ok((base_name(&ty), full))
    }

    /// `typeinfo(x).base_type`: a constant, so that branches can be left out.
    pub(super) fn typeinfo_field(&mut self, of: &TypeOrExpr, field: &Ident, span: Span) -> Lowered<Operand> {
        let (base, full) = self.type_names(of, span)?;
        match field.name.as_str() {
            "base_type" | "base_ty" => Ok(text_literal(base, span)),
            "full_type" => Ok(text_literal(full, span)),
            "btf_id" => Ok(Operand::scalar(Type::U64, Ir::int(0), span)),
            other => {
                let message = format!("typeinfo has no field '{other}': it has btf_id, base_type and full_type");
                Err(self.error("no-such-field", field.span, message))
            }
        }
    }

    /// `typeinfo(x) == typeinfo(y)`: whether the types are the same.
    pub(super) fn same_typeinfo(
        &mut self,
        operator: BinaryOp,
        left: &TypeOrExpr,
        right: &TypeOrExpr,
        span: Span,
    ) -> Lowered<Operand> {
        let same = self.type_names(left, span)? == self.type_names(right, span)?;
        let holds = same == (operator == BinaryOp::Equal);
        Ok(Operand::scalar(Type::Bool, Ir::int(i64::from(holds)), span))
    }

    /// `comptime x`: the value must be known now.
    pub(super) fn comptime(&mut self, inner: &Expr, span: Span) -> Lowered<Operand> {
        let value = self.expr(inner)?;
        let known = value.constant().is_some() || matches!(value.repr, Repr::Text(_)) || subject(inner).is_some();
        let known = known || tuples::known(inner).is_some();
        if known || !self.env.unknown_is_final() {
            return Ok(value);
        }
        Err(self.error("not-a-constant", span, "Unable to resolve comptime expression"))
    }
}
