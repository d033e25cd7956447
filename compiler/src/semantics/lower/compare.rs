//! Comparison: integers and pointers in registers, everything else bytewise in memory.

use crate::diagnostics::Diagnostic;
use crate::ir::{Expr as Ir, Op, Scalar, Stmt};
use crate::semantics::widen;
use crate::syntax::ast::{BinaryOp, Span};
use crate::types::Type;

use super::{Lowered, Lowerer, Operand, Repr};

impl Lowerer<'_> {
    pub fn compare(&mut self, operator: BinaryOp, left: Operand, right: Operand, span: Span) -> Lowered<Operand> {
        match (&left.ty, &right.ty) {
            (l, r) if l.is_scalar() && r.is_scalar() => self.compare_scalars(operator, left, right, span),
            (Type::String { .. }, Type::String { .. }) if is_equality(operator) => {
                let equal = self.strings_equal(&left, &right)?;
                Ok(self.equality(operator, equal, span))
            }
            // Literals alone have an order.
            (Type::String { .. }, Type::String { .. })
                if matches!((&left.repr, &right.repr), (Repr::Text(_), Repr::Text(_))) =>
            {
                let holds = text_order(operator, &left.repr, &right.repr);
                Ok(Operand::scalar(Type::Bool, Ir::int(i64::from(holds)), span))
            }
            (l, r) if is_equality(operator) && widen::join(l, r).is_some() && !matches!(l, Type::Aggregate(_)) => {
                let equal = self.bytes_equal(&left, &right)?;
                Ok(self.equality(operator, equal, span))
            }
            (l, r) => {
                let message = format!("type mismatch for '{operator}': comparing {l} with {r}");
                let diagnostic = Diagnostic::error("type-mismatch", span, message);
                let has_order = is_equality(operator) || widen::join(l, r).is_none();
                Err(self.report(match has_order {
                    true => diagnostic,
                    false => diagnostic.hint("only numbers and pointers have an order; == and != compare the rest"),
                }))
            }
        }
    }

    fn compare_scalars(&mut self, operator: BinaryOp, left: Operand, right: Operand, span: Span) -> Lowered<Operand> {
        let (l_ty, r_ty) = widen::agree_on_sign((&left.ty, left.flexible), (&right.ty, right.flexible));
        // Both are extended to 64 bits, so a comparison is wrong only between int64 and uint64.
        let signed = match (&l_ty, &r_ty) {
            (Type::Pointer { .. }, _) | (_, Type::Pointer { .. }) => false,
            (l, r) if l.is_signed() == r.is_signed() => l.is_signed(),
            _ => true,
        };
        self.warn_comparison(&left, &right, (&l_ty, &r_ty), span);
        let (l, r) = (self.register(left)?, self.register(right)?);
        let (l, r) = if matches!(operator, BinaryOp::Greater | BinaryOp::GreaterEqual) { (r, l) } else { (l, r) };
        let op = match (operator, signed) {
            (BinaryOp::Equal, _) => Op::Eq,
            (BinaryOp::NotEqual, _) => Op::Ne,
            (BinaryOp::Less | BinaryOp::Greater, true) => Op::SLt,
            (BinaryOp::Less | BinaryOp::Greater, false) => Op::ULt,
            (_, true) => Op::SLe,
            (_, false) => Op::ULe,
        };
        Ok(Operand::scalar(Type::Bool, Ir::binary(op, l, r).bool_to_int(), span))
    }

    fn equality(&mut self, operator: BinaryOp, equal: Ir, span: Span) -> Operand {
        let value =
            if operator == BinaryOp::Equal { equal } else { Ir::binary(Op::Eq, equal.bool_to_int(), Ir::int(0)) };
        let value = self.bind(Scalar::I64, value.bool_to_int());
        Operand::scalar(Type::Bool, value, span)
    }

    /// Whether two strings are equal up to their NUL. Gives a truth value.
    fn strings_equal(&mut self, left: &Operand, right: &Operand) -> Lowered<Ir> {
        match (&left.repr, &right.repr) {
            (Repr::Text(l), Repr::Text(r)) => Ok(Ir::binary(Op::Eq, Ir::int(i64::from(l == r)), Ir::int(1))),
            (Repr::Text(text), _) => self.starts_with(right, text, true),
            (_, Repr::Text(text)) => self.starts_with(left, text, true),
            _ => {
                let limit = left.ty.size().min(right.ty.size());
                let equal = self.bytewise(left, right, Ir::int(i64::from(limit)))?;
                Ok(Ir::binary(Op::Ne, equal, Ir::int(0)))
            }
        }
    }

    /// Compares with a constant, as many bytes at a time as alignment allows.
    /// `whole`: the NUL must follow.
    pub fn starts_with(&mut self, string: &Operand, text: &str, whole: bool) -> Lowered<Ir> {
        let mut bytes = text.as_bytes().to_vec();
        if whole {
            bytes.push(0);
        }
        let capacity = string.ty.size() as usize;
        if bytes.len() > capacity {
            return Ok(Ir::binary(Op::Eq, Ir::int(0), Ir::int(1)));
        }
        let address = self.materialize(string)?;
        let mut difference: Option<Ir> = None;
        let mut at = 0;
        let step_limit = if string.ty.align() == 8 { 8 } else { 1 };
        while at < bytes.len() {
            let step = [8, 4, 2, 1].into_iter().find(|s| *s <= step_limit && at + s <= bytes.len()).unwrap_or(1);
            let chunk = bytes.get(at..at + step).unwrap_or_default();
            let expected = chunk.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
            let ty = Type::Integer { bits: (step * 8) as u8, signed: false };
            let loaded = self.load_scalar(&ty, address.clone().offset(at as u32));
            let differs = Ir::binary(Op::Xor, loaded, Ir::int(expected as i64));
            difference = Some(match difference {
                None => differs,
                Some(before) => Ir::binary(Op::Or, before, differs),
            });
            at += step;
        }
        let difference = difference.unwrap_or(Ir::int(0));
        Ok(Ir::binary(Op::Eq, difference, Ir::int(0)))
    }

    /// 1 if the first `limit` bytes of two strings are equal, or equal up to a NUL in both.
    pub fn bytewise(&mut self, left: &Operand, right: &Operand, limit: Ir) -> Lowered<Ir> {
        let (l, r) = (self.materialize(left)?, self.materialize(right)?);
        let bound = left.ty.size().min(right.ty.size());
        let equal = self.new_var(Scalar::I64);
        let index = self.new_var(Scalar::I64);
        self.emit(Stmt::Set(equal, Ir::int(1)));
        let byte = |base: &Ir| {
            let address = Ir::Offset { base: Box::new(base.clone()), by: Box::new(Ir::Var(index)) };
            Ir::convert(crate::ir::Conversion::ZeroExtend, Scalar::I64, Ir::load(Scalar::I8, address))
        };
        let (body, ()) = self.nested(|this| {
            let a = this.bind(Scalar::I64, byte(&l));
            let b = this.bind(Scalar::I64, byte(&r));
            let differ = vec![Stmt::Set(equal, Ir::int(0)), Stmt::Break];
            this.emit(Stmt::If { condition: Ir::binary(Op::Ne, a.clone(), b), then: differ, otherwise: vec![] });
            let ended = Ir::binary(Op::Eq, a, Ir::int(0));
            this.emit(Stmt::If { condition: ended, then: vec![Stmt::Break], otherwise: vec![] });
        });
        // The verifier must see a constant bound; the caller's may be smaller.
        let (mut guarded, ()) = self.nested(|this| {
            let past_limit = Ir::binary(Op::SLe, limit, Ir::Var(index));
            this.emit(Stmt::If { condition: past_limit, then: vec![Stmt::Break], otherwise: vec![] });
            let past_end = Ir::binary(Op::ULe, Ir::int(i64::from(bound)), Ir::Opaque(Box::new(Ir::Var(index))));
            this.emit(Stmt::If { condition: past_end, then: vec![Stmt::Break], otherwise: vec![] });
        });
        guarded.extend(body);
        self.counted_loop(index, bound, guarded);
        Ok(Ir::Var(equal))
    }

    /// `index` from 0 below a constant bound, as a plain loop the verifier walks through.
    pub fn counted_loop(&mut self, index: crate::ir::Var, bound: u32, body: Vec<Stmt>) {
        self.emit(Stmt::Range { index, start: Ir::int(0), end: Ir::int(i64::from(bound)), body });
    }

    fn bytes_equal(&mut self, left: &Operand, right: &Operand) -> Lowered<Ir> {
        let ty = widen::join(&left.ty, &right.ty).unwrap_or(left.ty.clone());
        let l = self.in_layout(left, &ty)?;
        let r = self.in_layout(right, &ty)?;
        let mut difference = Ir::int(0);
        let size = ty.size();
        let step_limit = if size >= 8 { 8 } else { ty.align() };
        let mut at = 0;
        while at < size {
            let step = [8, 4, 2, 1].into_iter().find(|s| *s <= step_limit && at + s <= size).unwrap_or(1);
            let word = Type::Integer { bits: (step * 8) as u8, signed: false };
            let a = self.load_scalar(&word, l.clone().offset(at));
            let b = self.load_scalar(&word, r.clone().offset(at));
            let differs = Ir::binary(Op::Or, difference, Ir::binary(Op::Xor, a, b));
            difference = self.bind(Scalar::I64, differs);
            at += step;
        }
        Ok(Ir::binary(Op::Eq, difference, Ir::int(0)))
    }

    /// A copy of the value in a slot of its own, in the layout of `ty`.
    fn in_layout(&mut self, operand: &Operand, ty: &Type) -> Lowered<Ir> {
        let slot = Ir::Slot(self.slot_for(ty));
        self.store(slot.clone(), operand, ty)?;
        Ok(slot)
    }
}

fn text_order(operator: BinaryOp, left: &Repr, right: &Repr) -> bool {
    let (Repr::Text(left), Repr::Text(right)) = (left, right) else { return false };
    match operator {
        BinaryOp::Less => left < right,
        BinaryOp::LessEqual => left <= right,
        BinaryOp::Greater => left > right,
        _ => left >= right,
    }
}

fn is_equality(operator: BinaryOp) -> bool {
    matches!(operator, BinaryOp::Equal | BinaryOp::NotEqual)
}
