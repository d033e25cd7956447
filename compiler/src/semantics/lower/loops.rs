//! Loops: `for` over maps and ranges, `while`, `unroll`.

use crate::diagnostics::Diagnostic;
use crate::ir::{Expr as Ir, Op, Scalar, Stmt, Var};
use crate::semantics::environment::KeyInfo;
use crate::syntax::ast::{Block, Expr, ExprKind, Ident, Iterable, NodeId, Span};
use crate::types::Type;

use super::maps::Entry;
use super::variables::Storage;
use super::{Lowered, Lowerer, Operand};

/// How often the kernel turns a loop at most (`BPF_MAX_LOOPS` of `kernel/bpf/bpf_iter.c`).
const MOST_TURNS: i64 = 8 << 20;
/// How often `unroll` may repeat its block.
const UNROLL_LIMIT: i64 = 100;

impl Lowerer<'_> {
    pub fn while_loop(&mut self, condition: &Expr, body: &Block, span: Span) -> Lowered<()> {
        let message = "While loops are deprecated and may be removed in the future.";
        let hint = "for ($x : START..END) { … } counts, and always ends";
        self.warn(Diagnostic::warning("deprecated-while", span, message).hint(hint));
        // The verifier walks through every turn of a loop that it finds in a program, and gives up
        // where turns branch. Of a loop that the kernel drives it looks at one turn.
        let turns = self.new_var(Scalar::I64);
        self.emit(Stmt::Set(turns, Ir::int(0)));
        let (mut inner, result) = self.nested(|this| this.condition(condition));
        let condition = result?;
        inner.push(Stmt::If { condition, then: vec![], otherwise: vec![Stmt::Break] });
        inner.push(Stmt::Set(turns, Ir::binary(Op::Add, Ir::Var(turns), Ir::int(1))));
        self.loop_depth += 1;
        let (body, result) = self.nested(|this| this.block(body));
        self.loop_depth -= 1;
        inner.extend(body);
        let index = self.new_var(Scalar::I64);
        self.emit(Stmt::Range { index, start: Ir::int(0), end: Ir::int(MOST_TURNS), body: inner });
        result?;
        self.tell_if_cut_off(Ir::binary(Op::SLe, Ir::int(MOST_TURNS), Ir::Var(turns)), span)
    }

    /// A loop that was stopped says so.
    fn tell_if_cut_off(&mut self, condition: Ir, span: Span) -> Lowered<()> {
        let message = format!("The loop was stopped after {MOST_TURNS} turns.");
        let (then, sent) = self.nested(|this| this.tell_failure(message, span));
        self.emit(Stmt::If { condition, then, otherwise: vec![] });
        sent
    }

    pub fn unroll(&mut self, count: &Expr, body: &Block) -> Lowered<()> {
        let times = self.constant_integer(count, "the number of an unroll")?;
        if !(1..=UNROLL_LIMIT).contains(&times) {
            let message = if times < 1 {
                "unroll minimum value is 1".to_string()
            } else {
                format!("unroll maximum value is {UNROLL_LIMIT}")
            };
            return Err(self.error("unroll-range", count.span, message));
        }
        for _ in 0..times {
            self.block(body)?;
        }
        Ok(())
    }

    pub fn for_loop(&mut self, id: NodeId, variable: &Ident, iterable: &Iterable, body: &Block) -> Lowered<()> {
        if let Some(outer) = self.scopes.find(&variable.name) {
            let message = format!("Loop declaration shadows existing variable: ${}", variable.name);
            let diagnostic =
                Diagnostic::error("shadowed-variable", variable.span, message).also(outer.span, "declared here");
            return Err(self.report(diagnostic));
        }
        match iterable {
            Iterable::Range(start, end) => self.for_range(id, variable, (start, end), body),
            Iterable::Map(map) => self.for_map(id, variable, map, body),
        }
    }

    fn for_range(&mut self, id: NodeId, variable: &Ident, (start, end): (&Expr, &Expr), body: &Block) -> Lowered<()> {
        let span = start.span.to(end.span);
        let start = self.range_bound(start)?;
        let end = self.range_bound(end)?;
        let index = self.new_var(Scalar::I64);
        let element = Operand::scalar(Type::I64, Ir::Var(index), variable.span);
        let (mut body, result) = self.loop_body(id, variable, element, body);
        let cut_off = may_be_cut_off(&start, &end).then(|| self.is_cut_off(&start, &end, index, &mut body));
        self.emit(Stmt::Range { index, start, end, body });
        result?;
        cut_off.map_or(Ok(()), |condition| self.tell_if_cut_off(condition, span))
    }

    /// Whether a range ended before its end, for after the loop.
    fn is_cut_off(&mut self, start: &Ir, end: &Ir, index: Var, body: &mut Vec<Stmt>) -> Ir {
        let turns = Ir::binary(Op::Sub, end.clone(), start.clone());
        let too_many = Ir::binary(Op::ULt, Ir::int(MOST_TURNS), turns).bool_to_int();
        let forward = Ir::binary(Op::SLt, start.clone(), end.clone()).bool_to_int();
        let mut cut_off = Ir::binary(Op::And, too_many, forward);
        if breaks(body) {
            let last = self.new_var(Scalar::I64);
            self.emit(Stmt::Set(last, start.clone()));
            body.insert(0, Stmt::Set(last, Ir::Var(index)));
            let end = Ir::binary(Op::Add, start.clone(), Ir::int(MOST_TURNS - 1));
            cut_off = Ir::binary(Op::And, cut_off, Ir::binary(Op::Eq, Ir::Var(last), end).bool_to_int());
        }
        cut_off.is_nonzero()
    }

    /// Evaluated once, before the loop.
    fn range_bound(&mut self, bound: &Expr) -> Lowered<Ir> {
        let value = self.expr(bound)?;
        if !value.is_unknown() && !value.ty.is_integer() {
            let message = format!("a range needs integers, not {}", value.ty);
            return Err(self.error("type-mismatch", bound.span, message));
        }
        self.register(value)
    }

    fn for_map(&mut self, id: NodeId, variable: &Ident, map: &Expr, body: &Block) -> Lowered<()> {
        let ExprKind::Map { name, key: None } = &map.kind else {
            return Err(self.error("not-iterable", map.span, "a for loop goes over a map or a range"));
        };
        let info = self.env.map(name, map.span).clone();
        let (key_ty, value_ty) = match (&info.key, &info.value) {
            (KeyInfo::Keyed(key), Some(value)) => (key.clone(), value.clone()),
            (KeyInfo::Scalar, _) => {
                let message = format!("@{name} has no key, so there is nothing to iterate over");
                return Err(self.report(
                    Diagnostic::error("scalar-map-loop", map.span, message).also(info.first, "used here without a key"),
                ));
            }
            _ if self.env.unknown_is_final() => {
                return Err(self.undefined_map(name, map.span));
            }
            _ => {
                let (_, result) = self.loop_body(id, variable, Operand::void(variable.span), body);
                return result;
            }
        };
        let index = self.plan.user_map(name, &info, self.env.settings.max_map_keys);
        let key = self.new_var(Scalar::Pointer);
        let value = self.new_var(Scalar::Pointer);
        let (mut prepare, element) = self.nested(|this| {
            let entry = Entry { map: index, value: value_ty.clone(), key: Some(Ir::Var(key)) };
            this.pair(name, (&key_ty, key), (&value_ty, value), &entry, map.span)
        });
        let element = element?;
        let (body, result) = self.loop_body(id, variable, element, body);
        prepare.extend(body);
        self.emit(Stmt::ForEach { map: index, key, value, body: prepare });
        result
    }

    /// The tuple `(key, value)` of the current element.
    fn pair(
        &mut self,
        name: &str,
        (key_ty, key): (&Type, Var),
        (value_ty, value): (&Type, Var),
        entry: &Entry,
        span: Span,
    ) -> Lowered<Operand> {
        let key = self.in_memory(key_ty, Ir::Var(key), span);
        let value = match value_ty {
            Type::Aggregate(aggregate) => {
                // The callback gets one CPU's copy only, and its key is not memory that a nested
                // callback could pass on: look all of them up by a copy of the key.
                let slot = Ir::Slot(self.slot_for(key_ty));
                self.store(slot.clone(), &key, key_ty)?;
                let entry = Entry { key: Some(slot), ..entry.clone() };
                self.read_aggregate(name, &entry, aggregate, span)?
            }
            _ => self.in_memory(value_ty, Ir::Var(value), span),
        };
        let ty = Type::tuple(vec![key.ty.clone(), value.ty.clone()]);
        let slot = Ir::Slot(self.slot_for(&ty));
        self.build(slot.clone(), &ty, &[key, value])?;
        Ok(Operand::memory(ty, slot, span))
    }

    /// A value of any type that lies at an address BPF may access.
    pub fn in_memory(&mut self, ty: &Type, address: Ir, span: Span) -> Operand {
        if ty.is_scalar() {
            let value = self.load_scalar(ty, address);
            return Operand::scalar(ty.clone(), value, span);
        }
        Operand::memory(ty.clone(), address, span)
    }

    /// The body with its loop variable, which is set anew each time round.
    fn loop_body(&mut self, id: NodeId, variable: &Ident, element: Operand, body: &Block) -> (Vec<Stmt>, Lowered<()>) {
        self.loop_depth += 1;
        self.scopes.enter();
        let result = self.nested(|this| {
            let program = this.program_index();
            let joined = this.env.widen_variable(program, id, &element.ty, false);
            debug_assert!(joined.is_ok(), "a loop's variable has one type");
            let storage = this.declare(&variable.name, id, variable.span, true);
            if !matches!(storage, Storage::Unknown) {
                this.write_storage(storage, id, &element)?;
            }
            this.block(body)
        });
        self.leave_scope();
        self.loop_depth -= 1;
        result
    }

    pub fn in_loop(&self) -> bool {
        self.loop_depth > 0
    }

    /// `break` and `continue` belong in a loop.
    pub fn require_loop(&mut self, what: &str, span: Span) -> Lowered<()> {
        if self.loop_depth > 0 {
            return Ok(());
        }
        Err(self.error("outside-loop", span, format!("{what} outside of a loop")))
    }
}

/// Whether a range may have more numbers than the kernel turns a loop.
fn may_be_cut_off(start: &Ir, end: &Ir) -> bool {
    match (start, end) {
        (Ir::Const { value: start, .. }, Ir::Const { value: end, .. }) => {
            start < end && start.abs_diff(*end) > MOST_TURNS as u64
        }
        _ => true,
    }
}

/// Whether a loop may be left by `break`.
fn breaks(body: &[Stmt]) -> bool {
    body.iter().any(|stmt| match stmt {
        Stmt::Break => true,
        Stmt::If { then, otherwise, .. } => breaks(then) || breaks(otherwise),
        _ => false,
    })
}
