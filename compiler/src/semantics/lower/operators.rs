//! Arithmetic, comparison, logic and choice.

use crate::diagnostics::Diagnostic;
use crate::ir::{Conversion, Expr as Ir, Op, Scalar, Stmt, Var};
use crate::semantics::widen;
use crate::stdlib;
use crate::syntax::ast::{BinaryOp, Block, Expr, Span, UnaryOp};
use crate::types::{AddressSpace, Type};

use super::expressions::text_literal;
use super::{Lowered, Lowerer, Operand, Repr};

impl Lowerer<'_> {
    /// A binary operation on two values (not `&&` and `||`, which may skip their right side).
    pub fn binary(&mut self, operator: BinaryOp, left: Operand, right: Operand, span: Span) -> Lowered<Operand> {
        if left.is_unknown() || right.is_unknown() {
            self.unknown(if left.is_unknown() { &left } else { &right })?;
            // Not a constant: what depends on it may be what gives the unknown its type.
            let comparison = || Operand::scalar(Type::Bool, Ir::Opaque(Box::new(Ir::int(0))), span);
            return Ok(if operator.is_comparison() { comparison() } else { Operand::void(span) });
        }
        if operator.is_comparison() {
            return self.compare(operator, left, right, span);
        }
        match (&left.ty, &right.ty) {
            (Type::Pointer { to, space }, other) if is_number(other) => {
                let (to, space) = ((**to).clone(), *space);
                self.pointer_arithmetic(operator, left, right, to, space, span)
            }
            (other, Type::Pointer { to, space }) if is_number(other) && operator == BinaryOp::Add => {
                let (to, space) = ((**to).clone(), *space);
                self.pointer_arithmetic(operator, right, left, to, space, span)
            }
            (l, r) if is_number(l) && is_number(r) => self.arithmetic(operator, left, right, span),
            _ if operator == BinaryOp::Add && matches!(left.repr, Repr::Text(_)) => self.add_to_text(left, right, span),
            (l, r) => {
                let message = format!("the {operator} operator can not be used on expressions of types '{l}', '{r}'");
                Err(self.error("invalid-operator", span, message))
            }
        }
    }

    /// Two texts put together, or a text without its first bytes, as C would have it.
    fn add_to_text(&mut self, left: Operand, right: Operand, span: Span) -> Lowered<Operand> {
        match (&left.repr, &right.repr, right.constant()) {
            (Repr::Text(first), Repr::Text(second), _) => Ok(text_literal(format!("{first}{second}"), span)),
            (Repr::Text(text), _, Some(by @ 0..)) => {
                let rest = stdlib::text_from(text, by as usize).to_owned();
                if rest.is_empty() {
                    let message = "Adding so much makes this literal string always empty";
                    self.warn(Diagnostic::warning("empty-text", span, message));
                }
                Ok(text_literal(rest, span))
            }
            _ => {
                let message =
                    format!("the + operator can not be used on expressions of types '{}', '{}'", left.ty, right.ty);
                Err(self.error("invalid-operator", span, message))
            }
        }
    }

    fn arithmetic(&mut self, operator: BinaryOp, left: Operand, right: Operand, span: Span) -> Lowered<Operand> {
        let (l_ty, r_ty) = widen::agree_on_sign((&left.ty, left.flexible), (&right.ty, right.flexible));
        let signed = match operator {
            BinaryOp::ShiftLeft | BinaryOp::ShiftRight => l_ty.is_signed(),
            BinaryOp::Subtract => true,
            _ => l_ty.is_signed() || r_ty.is_signed(),
        };
        let flexible = left.flexible && right.flexible && operator != BinaryOp::Subtract;
        // Division of unsigned operands stays unsigned; otherwise it is truly signed.
        let op = match operator {
            BinaryOp::Add => Op::Add,
            BinaryOp::Subtract => Op::Sub,
            BinaryOp::Multiply => Op::Mul,
            BinaryOp::Divide if signed => Op::SDiv,
            BinaryOp::Divide => Op::UDiv,
            BinaryOp::Modulo if signed => Op::SRem,
            BinaryOp::Modulo => Op::URem,
            BinaryOp::BitAnd => Op::And,
            BinaryOp::BitOr => Op::Or,
            BinaryOp::BitXor => Op::Xor,
            BinaryOp::ShiftLeft => Op::Shl,
            BinaryOp::ShiftRight if signed => Op::AShr,
            _ => Op::LShr,
        };
        if matches!(op, Op::SDiv | Op::UDiv | Op::SRem | Op::URem) && right.constant() == Some(0) {
            return Err(self.error("division-by-zero", right.span, "division by zero"));
        }
        let ty = Type::Integer { bits: 64, signed };
        if l_ty != r_ty {
            self.warn_conversion(&left, &ty, left.span);
            self.warn_conversion(&right, &ty, right.span);
        }
        let (l, r) = (self.register(left)?, self.register(right)?);
        let value = match Ir::binary(op, l.clone(), r.clone()).constant() {
            Some(value) => Ir::int(value),
            None if matches!(op, Op::SDiv | Op::UDiv | Op::SRem | Op::URem) && !matches!(r, Ir::Const { .. }) => {
                self.guarded_division(op, l, r, span)?
            }
            None => self.bind(Scalar::I64, Ir::binary(op, l, r)),
        };
        Ok(Operand {
            flexible: flexible && !matches!(value, Ir::Const { value, .. } if value < 0),
            ..Operand::scalar(ty, value, span)
        })
    }

    /// Division by what may be zero: the result is 1 then, and the user is warned.
    fn guarded_division(&mut self, op: Op, left: Ir, right: Ir, span: Span) -> Lowered<Ir> {
        let result = self.new_var(Scalar::I64);
        let message =
            "Divide or modulo by 0 detected. This can lead to unexpected results. 1 is being used as the result.";
        let (mut by_zero, sent) = self.nested(|this| this.tell_failure(message, span));
        sent?;
        by_zero.push(Stmt::Set(result, Ir::int(1)));
        let divide = vec![Stmt::Set(result, Ir::binary(op, left, right.clone()))];
        self.emit(Stmt::If { condition: right.is_nonzero(), then: divide, otherwise: by_zero });
        Ok(Ir::Var(result))
    }

    fn pointer_arithmetic(
        &mut self,
        operator: BinaryOp,
        pointer: Operand,
        number: Operand,
        to: Type,
        space: AddressSpace,
        span: Span,
    ) -> Lowered<Operand> {
        let op = match operator {
            BinaryOp::Add => Op::Add,
            BinaryOp::Subtract => Op::Sub,
            _ => {
                let message = format!("the {operator} operator can not be used on a pointer");
                return Err(self.error("invalid-operator", span, message));
            }
        };
        let by = self.register(number)?;
        let scale = Ir::int(i64::from(self.complete(&to).size().max(1)));
        let base = self.register(pointer)?;
        let value = self.bind(Scalar::I64, Ir::binary(op, base, Ir::binary(Op::Mul, by, scale)));
        Ok(Operand::scalar(Type::pointer(to, space), value, span))
    }

    /// `&&` and `||`: the right side is evaluated only if it matters.
    pub fn logical(&mut self, left: &Expr, right: &Expr, both: bool, span: Span) -> Lowered<Operand> {
        let left = self.condition(left)?;
        if let Some(left) = left.constant() {
            let value = if (left != 0) == both { self.condition(right)?.bool_to_int() } else { Ir::int(left) };
            return Ok(Operand::scalar(Type::Bool, self.bind(Scalar::I64, value), span));
        }
        let result = self.new_var(Scalar::I64);
        let (mut then, value) = self.nested(|this| this.condition(right));
        then.push(Stmt::Set(result, value?.bool_to_int()));
        let short = vec![Stmt::Set(result, Ir::int(i64::from(!both)))];
        let (then, otherwise) = if both { (then, short) } else { (short, then) };
        self.emit(Stmt::If { condition: left, then, otherwise });
        Ok(Operand::scalar(Type::Bool, Ir::Var(result), span))
    }

    /// Operators with one operand, but for `&`.
    pub fn apply_unary(&mut self, operator: UnaryOp, value: Operand, span: Span) -> Lowered<Operand> {
        match operator {
            UnaryOp::Not | UnaryOp::Complement if matches!(value.ty, Type::String { .. }) => {
                Err(self.error("invalid-operator", span, format!("a {} cannot be negated; compare it", value.ty)))
            }
            UnaryOp::Complement if value.ty == Type::Bool => {
                Err(self.error("invalid-operator", span, "~ needs an integer, not bool; ! negates a truth value"))
            }
            UnaryOp::Not => {
                let truth = self.truth(value)?;
                let not = Ir::binary(Op::Eq, truth.bool_to_int(), Ir::int(0));
                let result = self.bind(Scalar::I64, not.bool_to_int());
                Ok(Operand::scalar(Type::Bool, result, span))
            }
            UnaryOp::Complement => {
                let ty = widen_for_unary(&value.ty);
                let register = self.register(value)?;
                let result = self.bind(Scalar::I64, Ir::binary(Op::Xor, register, Ir::int(-1)));
                let result = self.narrow(&ty, result);
                Ok(Operand::scalar(ty, result, span))
            }
            UnaryOp::Negate => {
                if let Some(constant) = value.constant() {
                    return Ok(Operand::scalar(Type::I64, Ir::int(constant.wrapping_neg()), span));
                }
                let register = self.register(value)?;
                let result = self.bind(Scalar::I64, Ir::binary(Op::Sub, Ir::int(0), register));
                Ok(Operand::scalar(Type::I64, result, span))
            }
            UnaryOp::Dereference => self.dereference(value, span),
            UnaryOp::AddressOf => Err(self.error("invalid-operator", span, "only variables and maps have an address")),
        }
    }

    /// `c ? a : b`, and `a ?: b` where the middle is the condition's value.
    pub fn ternary(&mut self, condition: &Expr, then: Option<&Expr>, otherwise: &Expr, span: Span) -> Lowered<Operand> {
        let (test, own_value) = match then {
            Some(_) => (self.condition(condition)?, None),
            None => {
                let value = self.expr(condition)?;
                (self.truth(value.clone())?, Some(value))
            }
        };
        self.choose(
            test,
            |this| match (then, own_value) {
                (Some(then), _) => this.expr(then),
                (None, Some(value)) => Ok(value),
                (None, None) => Ok(Operand::void(span)),
            },
            |this| this.expr(otherwise),
            span,
        )
    }

    /// `if … { … } else { … }` as a value.
    pub fn if_value(
        &mut self,
        condition: &Expr,
        then: &Block,
        otherwise: Option<&Block>,
        span: Span,
    ) -> Lowered<Operand> {
        let test = self.condition(condition)?;
        self.choose(
            test,
            |this| this.block_value(then, span),
            |this| match otherwise {
                Some(block) => this.block_value(block, span),
                None => Ok(Operand::void(span)),
            },
            span,
        )
    }

    fn choose(
        &mut self,
        condition: Ir,
        then: impl FnOnce(&mut Self) -> Lowered<Operand>,
        otherwise: impl FnOnce(&mut Self) -> Lowered<Operand>,
        span: Span,
    ) -> Lowered<Operand> {
        // What is never chosen need not even make sense here.
        if let Some(holds) = condition.constant() {
            return if holds != 0 { then(self) } else { otherwise(self) };
        }
        let (mut then, left) = self.nested(then);
        let (mut otherwise, right) = self.nested(otherwise);
        let (left, right) = (left?, right?);
        let (l_ty, r_ty) = widen::agree_on_sign((&left.ty, left.flexible), (&right.ty, right.flexible));
        let Some(ty) = widen::join(&l_ty, &r_ty).filter(|_| !differ_in_mode(&l_ty, &r_ty)) else {
            let message = format!("the two sides have different types: {} and {}", left.ty, right.ty);
            return Err(self.error("type-mismatch", span, message));
        };
        self.warn_conversion(&left, &ty, left.span);
        self.warn_conversion(&right, &ty, right.span);
        let result = if ty == Type::Void {
            Operand::void(span)
        } else if ty.is_scalar() {
            let var = self.new_var(Scalar::I64);
            self.set_in(&mut then, var, left)?;
            self.set_in(&mut otherwise, var, right)?;
            Operand::scalar(ty, Ir::Var(var), span)
        } else {
            let slot = Ir::Slot(self.slot_for(&ty));
            self.store_in(&mut then, &slot, &left, &ty)?;
            self.store_in(&mut otherwise, &slot, &right, &ty)?;
            Operand::memory(ty, slot, span)
        };
        self.emit(Stmt::If { condition, then, otherwise });
        Ok(result)
    }

    fn set_in(&mut self, block: &mut Vec<Stmt>, var: Var, operand: Operand) -> Lowered<()> {
        let (more, value) = self.nested(|this| this.register(operand));
        block.extend(more);
        block.push(Stmt::Set(var, value?));
        Ok(())
    }

    fn store_in(&mut self, block: &mut Vec<Stmt>, slot: &Ir, operand: &Operand, ty: &Type) -> Lowered<()> {
        let (more, result) = self.nested(|this| this.store(slot.clone(), operand, ty));
        block.extend(more);
        result
    }

    /// `*pointer`
    pub fn dereference(&mut self, pointer: Operand, span: Span) -> Lowered<Operand> {
        let (to, space) = match &pointer.ty {
            Type::Pointer { to, space } => ((**to).clone(), *space),
            // An untyped argument or address: bpftrace reads 64 bits.
            Type::Integer { .. } => (Type::U64, self.probe.address_space),
            other => {
                let message = format!("cannot follow a value of type {other}: it is not a pointer");
                return Err(self.error("not-a-pointer", span, message));
            }
        };
        let address = self.register(pointer)?;
        let to = self.complete(&to);
        self.place(to, address, space, span)
    }

    /// What lies at an address: scalars are read at once, the rest when it is needed.
    pub fn place(&mut self, ty: Type, address: Ir, space: AddressSpace, span: Span) -> Lowered<Operand> {
        if ty == Type::Void {
            return Err(self.error("void-pointer", span, "cannot read through a void pointer; cast it first"));
        }
        if ty.is_scalar() {
            let value = self.read_scalar(&ty, address, space)?;
            // A pointer that was copied here with its structure still points where that was.
            let ty = match ty {
                Type::Pointer { to, space: AddressSpace::Unknown } => {
                    let space = if space == AddressSpace::Bpf { self.probe.address_space } else { space };
                    Type::Pointer { to, space }
                }
                other => other,
            };
            return Ok(Operand::scalar(ty, value, span));
        }
        if space == AddressSpace::Bpf {
            let pointer = Ir::convert(Conversion::ToPointer, Scalar::Pointer, address);
            return Ok(Operand::memory(ty, pointer, span));
        }
        Ok(Operand { ty, repr: Repr::Remote { address, space }, span, flexible: false })
    }
}

/// Stacks that are printed in different ways have no common type.
fn differ_in_mode(left: &Type, right: &Type) -> bool {
    matches!((left, right), (Type::Stack { mode: l, .. }, Type::Stack { mode: r, .. }) if l != r)
}

fn is_number(ty: &Type) -> bool {
    ty.is_integer() || matches!(ty, Type::Bool | Type::KernelSymbol)
}

fn widen_for_unary(ty: &Type) -> Type {
    match ty {
        Type::Integer { .. } => ty.clone(),
        _ => Type::U64,
    }
}
