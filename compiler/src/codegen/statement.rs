//! Statements, other than those that repeat.

use inkwell::AtomicOrdering;
use inkwell::AtomicRMWBinOp;

use super::capture::MAIN;
use super::function::{Function, Jumps};
use super::{CodegenError, Result, walk};
use crate::ir::{Expr, Scalar, Stmt};

impl<'ctx, 'a> Function<'_, 'ctx, 'a> {
    /// Emits statements up to the first one that jumps away; what follows it cannot be reached.
    pub fn block(&mut self, stmts: &'a [Stmt]) -> Result<()> {
        for stmt in stmts {
            if !self.is_open() {
                break;
            }
            self.statement(stmt)?;
        }
        Ok(())
    }

    fn statement(&mut self, stmt: &'a Stmt) -> Result<()> {
        match stmt {
            Stmt::At(span) => {
                self.span = Some(*span);
                self.shared.unit.debug.locate(&self.builder, &self.scope, Some(*span));
                Ok(())
            }
            Stmt::Set(var, value) => {
                let value = self.value(value)?;
                self.write_var(*var, value)
            }
            Stmt::Store { ty, address, value } => self.store_statement(*ty, address, value),
            Stmt::AtomicAdd { ty, address, value } => self.atomic_add(*ty, address, value),
            Stmt::Copy { to, from, size, align } => {
                let align = (*align).max(self.alignment(to).min(self.alignment(from)));
                let (to, from) = (self.pointer(to)?, self.pointer(from)?);
                self.copy(to, from, *size, align)
            }
            Stmt::Zero { to, size, align } => {
                let align = (*align).max(self.alignment(to));
                let to = self.pointer(to)?;
                self.zero(to, *size, align)
            }
            Stmt::Bytes { to, bytes, align } => {
                let align = (*align).max(self.alignment(to));
                let to = self.pointer(to)?;
                self.bytes(to, bytes, align)
            }
            Stmt::Evaluate(value) => self.value(value).map(drop),
            Stmt::If { condition, then, otherwise } => self.branch(condition, then, otherwise),
            Stmt::Loop { body } => self.plain_loop(body),
            Stmt::Range { .. } => self.range(stmt),
            Stmt::ForEach { .. } => self.for_each(stmt),
            Stmt::Apart { body } => self.apart(stmt, body),
            Stmt::Break => self.leave(|jumps| jumps.on_break, 1),
            Stmt::Continue => self.leave(|jumps| jumps.on_continue, 0),
            Stmt::Return(value) if self.region == MAIN => self.return_from_program(value.as_ref()),
            Stmt::Return(value) => self.return_from_callback(value.as_ref()),
        }
    }

    fn store_statement(&mut self, ty: Scalar, address: &Expr, value: &Expr) -> Result<()> {
        let address = self.pointer(address)?;
        let value = self.value(value)?;
        if value.get_type() != self.shared.unit.types.register(ty) {
            return Err(CodegenError::malformed(format!("a store of {ty:?} has a value of another type")));
        }
        self.store(address, value)
    }

    /// `lock *(u64 *)(r1 + 0) += r2`: a relaxed add whose result nobody asks for.
    fn atomic_add(&mut self, ty: Scalar, address: &Expr, value: &Expr) -> Result<()> {
        let address = self.pointer(address)?;
        let value = self.integer(value)?;
        let expected = self.shared.unit.types.integer(ty);
        if !matches!(ty, Scalar::I32 | Scalar::I64) || expected != Some(value.get_type()) {
            return Err(CodegenError::malformed(format!("BPF has no atomic addition of this {ty:?}")));
        }
        self.builder.build_atomicrmw(AtomicRMWBinOp::Add, address, value, AtomicOrdering::Monotonic)?;
        Ok(())
    }

    fn branch(&mut self, condition: &Expr, then: &'a [Stmt], otherwise: &'a [Stmt]) -> Result<()> {
        let condition = self.truth(condition)?;
        let (on_true, on_false, after) = (self.append("then"), self.append("else"), self.append("endif"));
        self.builder.build_conditional_branch(condition, on_true, on_false)?;
        let mut reached = false;
        for (block, stmts) in [(on_true, then), (on_false, otherwise)] {
            self.builder.position_at_end(block);
            self.block(stmts)?;
            if self.is_open() {
                reached = true;
                self.builder.build_unconditional_branch(after)?;
            }
        }
        self.builder.position_at_end(after);
        if !reached {
            self.builder.build_unreachable()?;
        }
        Ok(())
    }

    fn plain_loop(&mut self, body: &'a [Stmt]) -> Result<()> {
        let (head, after) = (self.append("loop"), self.append("endloop"));
        self.builder.build_unconditional_branch(head)?;
        self.builder.position_at_end(head);
        self.jumps.push(Jumps { on_break: after, on_continue: head });
        self.block(body)?;
        self.jumps.pop();
        if self.is_open() {
            self.builder.build_unconditional_branch(head)?;
        }
        self.builder.position_at_end(after);
        if after.get_first_use().is_none() {
            self.builder.build_unreachable()?;
        }
        Ok(())
    }

    /// Jumps within the function, or ends this run of the callback with what its caller takes for
    /// "go on" (0) or "stop" (1).
    fn leave(
        &mut self,
        target: impl Fn(&Jumps<'ctx>) -> inkwell::basic_block::BasicBlock<'ctx>,
        from_callback: u64,
    ) -> Result<()> {
        match self.jumps.last() {
            Some(jumps) => {
                self.builder.build_unconditional_branch(target(jumps))?;
                Ok(())
            }
            None if self.region == MAIN => Err(CodegenError::malformed("a jump outside a loop")),
            None => self.end_callback(from_callback),
        }
    }
}

/// Whether an expression may be evaluated without need: it has no effect and costs little.
pub(super) fn is_speculatable(expr: &Expr) -> bool {
    let mut cheap = true;
    let mut count = 0;
    walk::nodes(expr, &mut |node| {
        count += 1;
        let is_call = matches!(node, Expr::Helper { .. } | Expr::Call { .. } | Expr::CallC { .. });
        cheap &= !is_call && !matches!(node, Expr::Load { .. } | Expr::Opaque(_));
    });
    cheap && count <= 8
}
