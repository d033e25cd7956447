//! Statements and blocks.

use crate::diagnostics::Diagnostic;
use crate::ir::Stmt as IrStmt;
use crate::syntax::ast::{BinaryOp, Block, Expr, ExprKind, Span, Stmt, StmtKind};

use super::aggregates::aggregate_call;
use super::{Lowered, Lowerer, Operand, Reported, literals};

impl Lowerer<'_> {
    /// Lowers a block in a scope of its own. Errors of several statements are all reported.
    pub fn block(&mut self, block: &Block) -> Lowered<()> {
        self.scopes.enter();
        self.warn_unreachable(block);
        let mut result = self.statements(&block.statements);
        if let Some(last) = &block.result {
            result = result.and(self.evaluate(last));
        }
        self.leave_scope();
        result
    }

    /// A block whose last expression is its value.
    pub fn block_value(&mut self, block: &Block, span: Span) -> Lowered<Operand> {
        self.scopes.enter();
        self.warn_unreachable(block);
        let result = self.statements(&block.statements);
        let value = match &block.result {
            Some(last) => self.expr(last),
            None => Ok(Operand::void(span)),
        };
        self.leave_scope();
        result.and(value)
    }

    fn statements(&mut self, statements: &[Stmt]) -> Lowered<()> {
        let mut result = Ok(());
        for statement in statements {
            self.emit(IrStmt::At(statement.span));
            if let Err(reported) = self.statement(statement) {
                self.remember_failed(statement);
                result = Err(reported);
            }
        }
        result
    }

    /// What a statement would have given a value is not told of again, where it has none.
    fn remember_failed(&mut self, statement: &Stmt) {
        match &statement.kind {
            StmtKind::Let { variable, .. } => {
                self.failed_variables.insert(variable.name.clone());
            }
            StmtKind::Assign { target, .. } => match &target.kind {
                ExprKind::Variable(name) => {
                    self.failed_variables.insert(name.clone());
                }
                ExprKind::Map { name, .. } => {
                    self.env.failed_maps.insert(name.clone());
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn statement(&mut self, statement: &Stmt) -> Result<(), Reported> {
        let span = statement.span;
        match &statement.kind {
            StmtKind::Expr(expr) => self.evaluate(expr),
            StmtKind::Discard(expr) => self.expr(expr).map(|_| ()),
            StmtKind::Let { id, variable, type_name, value } => {
                self.let_variable(*id, (&variable.name, variable.span), type_name.as_ref(), value.as_ref())
            }
            StmtKind::Assign { target, operator, value } => self.assignment(target, *operator, value, span),
            StmtKind::If { condition, then, otherwise } => self.if_statement(condition, then, otherwise.as_ref()),
            StmtKind::While { condition, body } => self.while_loop(condition, body, span),
            StmtKind::For { id, variable, iterable, body } => self.for_loop(*id, variable, iterable, body),
            StmtKind::Unroll { count, body } => self.unroll(count, body),
            StmtKind::Block(block) => self.block(block),
            StmtKind::Break => {
                self.require_loop("break", span)?;
                self.emit(IrStmt::Break);
                Ok(())
            }
            StmtKind::Continue => {
                self.require_loop("continue", span)?;
                self.emit(IrStmt::Continue);
                Ok(())
            }
            StmtKind::Return(value) if self.frame.is_some() => {
                let value = value.as_ref().map(|value| self.expr(value)).transpose()?;
                let Some(frame) = self.frame.clone() else { return Ok(()) };
                self.return_result(&frame, value, span)
            }
            StmtKind::Return(value) => {
                let value = value.as_ref().map(|value| self.integer(value)).transpose()?;
                self.emit(IrStmt::Return(value));
                Ok(())
            }
            // It has been resolved with those at the top.
            StmtKind::Import(_) => Ok(()),
        }
    }

    pub(super) fn if_statement(&mut self, condition: &Expr, then: &Block, otherwise: Option<&Block>) -> Lowered<()> {
        if matches!(condition.kind, ExprKind::Comptime(_)) {
            // A branch that is left out in the end must not widen types meanwhile.
            let (_, value) = self.nested(|this| this.expr(condition));
            if value?.is_unknown() && !self.env.unknown_is_final() {
                return Ok(());
            }
        }
        let is_comptime = matches!(condition.kind, ExprKind::Comptime(_));
        let condition = self.condition(condition)?;
        if let Some(holds) = condition.constant() {
            let (taken, dead) = if holds != 0 { (Some(then), otherwise) } else { (otherwise, Some(then)) };
            // What is never run is checked all the same, unless it is there for other types.
            if !is_comptime && let Some(dead) = dead {
                self.never_run += 1;
                let (_, checked) = self.nested(|this| this.block(dead));
                self.never_run -= 1;
                checked?;
            }
            return taken.map_or(Ok(()), |block| self.block(block));
        }
        let (then, first) = self.nested(|this| this.block(then));
        let (otherwise, second) = self.nested(|this| match otherwise {
            Some(block) => this.block(block),
            None => Ok(()),
        });
        self.emit(IrStmt::If { condition, then, otherwise });
        first.and(second)
    }

    /// `target = value`, `target op= value`
    fn assignment(&mut self, target: &Expr, operator: Option<BinaryOp>, value: &Expr, span: Span) -> Lowered<()> {
        if let (ExprKind::Map { name, key }, Some((entry, _, _))) = (&target.kind, aggregate_call(value)) {
            if operator.is_some() {
                let message = format!("{}() can only be assigned with =", entry.name);
                return Err(self.error("invalid-operator", span, message));
            }
            return self.assign_aggregate(name, key.as_deref(), value, target.span);
        }
        if let ExprKind::Block(block) = &value.kind
            && let Some(last) = &block.result
            && operator.is_none()
            && aggregate_call(last).is_some()
        {
            self.scopes.enter();
            let result = self.statements(&block.statements).and_then(|()| self.assignment(target, None, last, span));
            self.leave_scope();
            return result;
        }
        if operator.is_none() && !self.refuse_aggregate_copy(target, value, span)? {
            return Ok(());
        }
        let literal = value;
        let value = match operator {
            None => self.expr(value)?,
            Some(operator) => {
                let old = self.expr(target)?;
                let old = if old.is_unknown() { Operand::integer(0, target.span) } else { old };
                let value = self.expr(value)?;
                self.binary(operator, old, value, span)?
            }
        };
        self.assign(target, value)?;
        if operator.is_none() { self.refuse_huge(target, literal) } else { Ok(()) }
    }

    /// A literal that only unsigned integers hold, for something that has turned out signed.
    fn refuse_huge(&mut self, target: &Expr, literal: &Expr) -> Lowered<()> {
        let Some(Ok(value)) = literals::evaluate(literal) else { return Ok(()) };
        let ty = match &target.kind {
            ExprKind::Variable(name) => self.scopes.find(name).map(|one| self.variable_type(one.declared)),
            ExprKind::Map { name, .. } => self.env.map(name, target.span).value.clone(),
            _ => None,
        };
        match ty {
            Some(ty) if ty.is_signed() && value > i128::from(i64::MAX) => {
                let message = format!("Type mismatch: {value} does not fit {ty}, which other values ask for");
                Err(self.error("literal-out-of-range", literal.span, message))
            }
            _ => Ok(()),
        }
    }

    /// Stores a value in a variable or a map.
    pub fn assign(&mut self, target: &Expr, value: Operand) -> Lowered<()> {
        match &target.kind {
            ExprKind::Variable(name) => self.assign_variable(target, name, value),
            ExprKind::Map { name, key } => self.assign_map(name, key.as_deref(), value, target.span),
            _ => {
                let message = "only variables and maps can be assigned to";
                let hint = "structures and arrays of the traced system are read-only";
                Err(self.report(Diagnostic::error("invalid-assignment", target.span, message).hint(hint)))
            }
        }
    }
}
