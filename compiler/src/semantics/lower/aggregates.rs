//! Map value functions: updating this CPU's copy of an aggregate, and combining all copies.

use crate::diagnostics::Diagnostic;
use crate::ir::{Expr as Ir, Helper, Op, Scalar, Stmt, Var};
use crate::plan::Control;
use crate::semantics::environment::KeyInfo;
use crate::stdlib::{self, CallSite, Lower};
use crate::syntax::ast::{Expr, ExprKind, Span, TypeOrExpr};
use crate::types::{Aggregate, Combine, TSERIES_SLOT_SIZE, Type, hist_buckets};

use super::maps::{Entry, not_null, present_offset};
use super::{Lowered, Lowerer, Operand};

/// `@x = hist(value)`: what is to be added to the aggregate.
#[derive(Clone, Debug)]
pub struct Update {
    pub aggregate: Aggregate,
    /// An I64; unused by `count`.
    pub value: Ir,
}

/// The call, if an expression is one of a map value function.
pub fn aggregate_call(expr: &Expr) -> Option<(&'static stdlib::Entry, &crate::syntax::ast::Ident, &[TypeOrExpr])> {
    match &expr.kind {
        ExprKind::Call { name, arguments } => {
            let entry = stdlib::find(&name.name)?;
            matches!(entry.lower, Lower::Aggregate(_)).then_some((entry, name, arguments))
        }
        _ => None,
    }
}

impl Lowerer<'_> {
    /// `@name[key] = function(…)`
    pub fn assign_aggregate(&mut self, name: &str, key: Option<&Expr>, call: &Expr, span: Span) -> Lowered<()> {
        let Some((entry, ident, arguments)) = aggregate_call(call) else { return Ok(()) };
        let Lower::Aggregate(lower) = entry.lower else { return Ok(()) };
        let site = CallSite { name: &ident.name, name_span: ident.span, span: call.span, arguments, statement: false };
        self.check_call(entry, &site)?;
        let key = key.map(|key| self.key(name, key, span)).transpose()?;
        let key = key.map(|key| self.key_in_place(name, key, span)).transpose()?;
        let update = lower(self, &site)?;
        self.settle_value(name, &Type::Aggregate(update.aggregate.clone()), false, span)?;
        let entry = self.entry_for(name, key, span)?;
        if !matches!(entry.value, Type::Aggregate(_)) {
            return Ok(());
        }
        let found = self.find_or_insert(&entry);
        let (then, applied) = self.nested(|this| {
            this.apply(&update, found.clone(), call.span)?;
            if entry.key.is_none() {
                let address = found.clone().offset(present_offset(&entry.value));
                this.emit(Stmt::Store { ty: Scalar::I64, address, value: Ir::int(1) });
            }
            Ok(())
        });
        applied?;
        self.emit(Stmt::If { condition: not_null(found), then, otherwise: vec![] });
        Ok(())
    }

    /// A key as the map keeps it, in memory. There it needs no register while the value is made.
    fn key_in_place(&mut self, name: &str, key: Operand, span: Span) -> Lowered<Operand> {
        self.use_map(name, Some(&key), span)?;
        match self.env.map(name, span).key.clone() {
            KeyInfo::Keyed(ty) if ty.is_scalar() && !key.is_unknown() => {
                self.warn_conversion(&key, &ty, key.span);
                let slot = Ir::Slot(self.slot_for(&ty));
                self.store(slot.clone(), &key, &ty)?;
                Ok(Operand::memory(ty, slot, key.span))
            }
            _ => Ok(key),
        }
    }

    /// `@b = @a`, where `@a` is aggregated: the copies of all CPUs are not copied, and an integer is
    /// meant only if `@b` is one. Whether the assignment can be made in this round: what `@b` is may be told
    /// further below.
    pub(super) fn refuse_aggregate_copy(&mut self, target: &Expr, value: &Expr, span: Span) -> Lowered<bool> {
        let (ExprKind::Map { name: to, .. }, ExprKind::Map { name: from, .. }) = (&target.kind, &value.kind) else {
            return Ok(true);
        };
        let Some(Type::Aggregate(aggregate)) = self.env.map(from, value.span).value.clone() else { return Ok(true) };
        match self.env.map(to, target.span).value.as_ref().map(Type::is_integer) {
            Some(true) => return Ok(true),
            None if !self.env.unknown_is_final() => return Ok(false),
            _ => {}
        }
        let ty = Type::Aggregate(aggregate.clone());
        let message = format!(
            "Map value '{ty}' cannot be assigned from one map to another. The function that returns this type must be called directly e.g. `@{to} = {}(…);`.",
            aggregate.name()
        );
        let diagnostic = Diagnostic::error("aggregate-copy", span, message);
        let hint =
            format!("Add a cast to integer if you want the value of the aggregate, e.g. `@{to} = (int64)@{from};`.");
        Err(self.report(diagnostic.hint(hint)))
    }

    /// The address of this CPU's copy; a new key starts with zeros. Null if there was no place for it,
    /// which is counted.
    fn find_or_insert(&mut self, entry: &Entry) -> Ir {
        let key = match &entry.key {
            Some(key) => key.clone(),
            None => {
                let key = self.only_key();
                return self.lookup(entry.map, key);
            }
        };
        let place = self.new_var(Scalar::Pointer);
        let first = self.lookup(entry.map, key.clone());
        self.emit(Stmt::Set(place, first.clone()));
        let (insert, ()) = self.nested(|this| {
            let size = entry.value.size();
            let zeros = Ir::Slot(this.new_slot(size, 8));
            this.emit(Stmt::Zero { to: zeros.clone(), size, align: 8 });
            // Another CPU may have been faster: BPF_NOEXIST (1) leaves its entry alone.
            let arguments = vec![Ir::Map(entry.map), key.clone(), zeros, Ir::int(1)];
            let status = this.helper(Helper::MAP_UPDATE_ELEM, arguments);
            let second = this.lookup(entry.map, key);
            this.emit(Stmt::Set(place, second.clone()));
            let (lost, ()) = this.nested(|this| this.count_lost_key(entry.map, status));
            this.emit(Stmt::If { condition: not_null(second), then: vec![], otherwise: lost });
        });
        self.emit(Stmt::If { condition: not_null(first), then: vec![], otherwise: insert });
        Ir::Var(place)
    }

    /// Adds to the aggregate at `at`.
    fn apply(&mut self, update: &Update, at: Ir, span: Span) -> Lowered<()> {
        let value = update.value.clone();
        match &update.aggregate {
            Aggregate::Count => self.add_at(at, 0, Ir::int(1)),
            Aggregate::Sum { .. } => self.add_at(at, 0, value),
            Aggregate::Avg { .. } | Aggregate::Stats { .. } => {
                self.add_at(at.clone(), 0, value);
                self.add_at(at, 8, Ir::int(1));
            }
            Aggregate::Min { signed } => self.keep_extreme(at, value, *signed, true),
            Aggregate::Max { signed } => self.keep_extreme(at, value, *signed, false),
            Aggregate::Hist { k } => {
                let index = self.hist_index(value, *k);
                self.add_to_bucket(at, index, hist_buckets(*k));
            }
            Aggregate::Lhist { min, max, step } => {
                let index = self.lhist_index(value, *min, *max, *step);
                self.add_to_bucket(at, index, update.aggregate.lhist_buckets());
            }
            Aggregate::Tseries { interval_ns, intervals, combine, signed } => {
                // Intervals begin at round times of the clock on the wall.
                let now = stdlib::now(self, Helper::KTIME_GET_BOOT_NS, Some(Control::BOOT_TIME), span)?;
                self.add_to_series(at, (value, now), (*interval_ns, *intervals), *combine, *signed);
            }
        }
        Ok(())
    }

    fn add_at(&mut self, base: Ir, offset: u32, by: Ir) {
        let address = base.offset(offset);
        let sum = Ir::binary(Op::Add, Ir::load(Scalar::I64, address.clone()), by);
        self.emit(Stmt::Store { ty: Scalar::I64, address, value: sum });
    }

    /// `{value, is_set}`: the first value always counts.
    fn keep_extreme(&mut self, at: Ir, value: Ir, signed: bool, minimum: bool) {
        let held = self.bind(Scalar::I64, Ir::load(Scalar::I64, at.clone()));
        let is_set = self.bind(Scalar::I64, Ir::load(Scalar::I64, at.clone().offset(8)));
        let (less, more) = if minimum { (value.clone(), held) } else { (held, value.clone()) };
        let better = Ir::binary(if signed { Op::SLt } else { Op::ULt }, less, more);
        let unset = Ir::binary(Op::Eq, is_set, Ir::int(0)).bool_to_int();
        let replace = Ir::binary(Op::Or, better.bool_to_int(), unset).is_nonzero();
        let then = vec![
            Stmt::Store { ty: Scalar::I64, address: at.clone(), value },
            Stmt::Store { ty: Scalar::I64, address: at.offset(8), value: Ir::int(1) },
        ];
        self.emit(Stmt::If { condition: replace, then, otherwise: vec![] });
    }

    fn add_to_bucket(&mut self, at: Ir, index: Ir, buckets: u32) {
        // The verifier must see the bound; LLVM, which may know it already, must not drop it.
        let index = self.bind(Scalar::I64, Ir::Opaque(Box::new(index)));
        let in_range = Ir::binary(Op::ULt, index.clone(), Ir::int(i64::from(buckets)));
        let (then, ()) = self.nested(|this| {
            let offset = Ir::binary(Op::Shl, index, Ir::int(3));
            let address = Ir::Offset { base: Box::new(at), by: Box::new(offset) };
            let address = this.bind(Scalar::Pointer, address);
            this.add_at(address, 0, Ir::int(1));
        });
        self.emit(Stmt::If { condition: in_range, then, otherwise: vec![] });
    }

    /// The bucket of a log2 histogram: see [`hist_buckets`].
    fn hist_index(&mut self, value: Ir, k: u8) -> Ir {
        let index = self.new_var(Scalar::I64);
        let small = 1i64 << k;
        let (large, ()) = self.nested(|this| {
            let power = this.log2(value.clone());
            let above = this.bind(Scalar::I64, Ir::binary(Op::Sub, power, Ir::int(i64::from(k))));
            let top = Ir::binary(Op::LShr, value.clone(), above.clone());
            let within = Ir::binary(Op::And, top, Ir::int(small - 1));
            let row = Ir::binary(Op::Shl, Ir::binary(Op::Add, above, Ir::int(1)), Ir::int(i64::from(k)));
            let sum = Ir::binary(Op::Add, Ir::binary(Op::Add, row, within), Ir::int(1));
            this.emit(Stmt::Set(index, sum));
        });
        let exact = vec![Stmt::Set(index, Ir::binary(Op::Add, value.clone(), Ir::int(1)))];
        let is_small = Ir::binary(Op::SLt, value.clone(), Ir::int(small));
        let positive = vec![Stmt::If { condition: is_small, then: exact, otherwise: large }];
        let negative = vec![Stmt::Set(index, Ir::int(0))];
        let is_negative = Ir::binary(Op::SLt, value, Ir::int(0));
        self.emit(Stmt::If { condition: is_negative, then: negative, otherwise: positive });
        Ir::Var(index)
    }

    /// The position of the highest bit that is set; 0 for 0. BPF has no instruction for it, so
    /// the value is halved by comparison six times.
    fn log2(&mut self, value: Ir) -> Ir {
        let rest = self.new_var(Scalar::I64);
        let power = self.new_var(Scalar::I64);
        self.emit(Stmt::Set(rest, value));
        self.emit(Stmt::Set(power, Ir::int(0)));
        for shift in [32i64, 16, 8, 4, 2, 1] {
            let above = Ir::binary(Op::ULt, Ir::int((1i64 << shift) - 1), Ir::Var(rest));
            let by = self.bind(Scalar::I64, Ir::binary(Op::Mul, above.bool_to_int(), Ir::int(shift)));
            self.emit(Stmt::Set(rest, Ir::binary(Op::LShr, Ir::Var(rest), by.clone())));
            self.emit(Stmt::Set(power, Ir::binary(Op::Or, Ir::Var(power), by)));
        }
        Ir::Var(power)
    }

    fn lhist_index(&mut self, value: Ir, min: i64, max: i64, step: i64) -> Ir {
        let last = i64::from(Aggregate::Lhist { min, max, step }.lhist_buckets()) - 1;
        let index = self.new_var(Scalar::I64);
        let above_min = Ir::binary(Op::Sub, value.clone(), Ir::int(min));
        let steps = Ir::binary(Op::UDiv, above_min, Ir::int(step));
        let within = vec![Stmt::Set(index, Ir::binary(Op::Add, steps, Ir::int(1)))];
        let is_above = Ir::binary(Op::SLe, Ir::int(max), value.clone());
        let at_least_min =
            vec![Stmt::If { condition: is_above, then: vec![Stmt::Set(index, Ir::int(last))], otherwise: within }];
        let is_below = Ir::binary(Op::SLt, value, Ir::int(min));
        let below = vec![Stmt::Set(index, Ir::int(0))];
        self.emit(Stmt::If { condition: is_below, then: below, otherwise: at_least_min });
        Ir::Var(index)
    }

    /// Writes into the slot of the current interval, which is started anew if it is an old one.
    fn add_to_series(
        &mut self,
        at: Ir,
        (value, now): (Ir, Ir),
        (interval, count): (u64, u32),
        combine: Combine,
        signed: bool,
    ) {
        let epoch = self.bind(Scalar::I64, Ir::binary(Op::UDiv, now.clone(), Ir::int(interval as i64)));
        let index = Ir::binary(Op::URem, epoch.clone(), Ir::int(i64::from(count)));
        let index = self.bind(Scalar::I64, Ir::Opaque(Box::new(index)));
        let in_range = Ir::binary(Op::ULt, index.clone(), Ir::int(i64::from(count)));
        let mark = self.bind(Scalar::I64, Ir::binary(Op::Add, epoch, Ir::int(1)));
        let (then, ()) = self.nested(|this| {
            let offset = Ir::binary(Op::Mul, index, Ir::int(i64::from(TSERIES_SLOT_SIZE)));
            let slot = this.bind(Scalar::Pointer, Ir::Offset { base: Box::new(at), by: Box::new(offset) });
            let store =
                |offset: u32, value: Ir| Stmt::Store { ty: Scalar::I64, address: slot.clone().offset(offset), value };
            let meta = if combine == Combine::Avg { Ir::int(1) } else { now.clone() };
            let start = vec![store(0, value.clone()), store(8, meta), store(16, mark.clone())];
            let (more, ()) = this.nested(|this| match combine {
                Combine::Last => {
                    this.emit(store(0, value.clone()));
                    this.emit(store(8, now.clone()));
                }
                Combine::Sum => this.add_at(slot.clone(), 0, value.clone()),
                Combine::Avg => {
                    this.add_at(slot.clone(), 0, value.clone());
                    this.add_at(slot.clone(), 8, Ir::int(1));
                }
                Combine::Min | Combine::Max => {
                    let held = this.bind(Scalar::I64, Ir::load(Scalar::I64, slot.clone()));
                    let pair = if combine == Combine::Min { (value.clone(), held) } else { (held, value.clone()) };
                    let better = Ir::binary(if signed { Op::SLt } else { Op::ULt }, pair.0, pair.1);
                    this.emit(Stmt::If { condition: better, then: vec![store(0, value.clone())], otherwise: vec![] });
                }
            });
            let held_mark = Ir::load(Scalar::I64, slot.clone().offset(16));
            let same = Ir::binary(Op::Eq, held_mark, mark.clone());
            this.emit(Stmt::If { condition: same, then: more, otherwise: start });
        });
        self.emit(Stmt::If { condition: in_range, then, otherwise: vec![] });
    }

    /// An aggregate as an integer: the copies of all CPUs, combined.
    pub fn read_aggregate(&mut self, name: &str, entry: &Entry, aggregate: &Aggregate, span: Span) -> Lowered<Operand> {
        let signed = match aggregate {
            Aggregate::Count => false,
            Aggregate::Sum { signed }
            | Aggregate::Avg { signed }
            | Aggregate::Min { signed }
            | Aggregate::Max { signed } => *signed,
            _ => {
                let message = format!("@{name} holds {}(), which has no single value; print it", aggregate.name());
                return Err(self.error("aggregate-as-value", span, message));
            }
        };
        let key = match &entry.key {
            Some(key) => key.clone(),
            None => self.only_key(),
        };
        let total = self.new_var(Scalar::I64);
        let count = self.new_var(Scalar::I64);
        self.emit(Stmt::Set(total, Ir::int(0)));
        self.emit(Stmt::Set(count, Ir::int(0)));
        let cpu = self.new_var(Scalar::I64);
        let (body, ()) = self.nested(|this| {
            let call = Ir::Helper {
                id: Helper::MAP_LOOKUP_PERCPU_ELEM,
                arguments: vec![Ir::Map(entry.map), key, Ir::Var(cpu)],
                returns: Scalar::Pointer,
            };
            let copy = this.bind(Scalar::Pointer, call);
            let (then, ()) = this.nested(|this| this.combine(aggregate, copy.clone(), total, count));
            this.emit(Stmt::If { condition: not_null(copy), then, otherwise: vec![] });
        });
        let cpus = Ir::int(i64::from(self.info.possible_cpus()));
        self.emit(Stmt::Range { index: cpu, start: Ir::int(0), end: cpus, body });
        let value = match aggregate {
            Aggregate::Avg { .. } => {
                let op = if signed { Op::SDiv } else { Op::UDiv };
                self.bind(Scalar::I64, Ir::binary(op, Ir::Var(total), Ir::Var(count)))
            }
            _ => self.bind(Scalar::I64, Ir::Var(total)),
        };
        Ok(Operand::scalar(Type::Integer { bits: 64, signed }, value, span))
    }

    /// Takes one CPU's copy into the running result.
    fn combine(&mut self, aggregate: &Aggregate, copy: Ir, total: Var, count: Var) {
        let value = self.bind(Scalar::I64, Ir::load(Scalar::I64, copy.clone()));
        let sum = |var: Var, by: Ir| Stmt::Set(var, Ir::binary(Op::Add, Ir::Var(var), by));
        match aggregate {
            Aggregate::Avg { .. } => {
                self.emit(sum(total, value));
                self.emit(sum(count, Ir::load(Scalar::I64, copy.offset(8))));
            }
            Aggregate::Min { signed } | Aggregate::Max { signed } => {
                let minimum = matches!(aggregate, Aggregate::Min { .. });
                let is_set = Ir::load(Scalar::I64, copy.offset(8)).is_nonzero();
                let pair = if minimum { (value.clone(), Ir::Var(total)) } else { (Ir::Var(total), value.clone()) };
                let better = Ir::binary(if *signed { Op::SLt } else { Op::ULt }, pair.0, pair.1);
                let none_yet = Ir::binary(Op::Eq, Ir::Var(count), Ir::int(0)).bool_to_int();
                let take = Ir::binary(Op::Or, better.bool_to_int(), none_yet).is_nonzero();
                let set = vec![Stmt::Set(total, value), Stmt::Set(count, Ir::int(1))];
                let consider = vec![Stmt::If { condition: take, then: set, otherwise: vec![] }];
                self.emit(Stmt::If { condition: is_set, then: consider, otherwise: vec![] });
            }
            _ => self.emit(sum(total, value)),
        }
    }
}
