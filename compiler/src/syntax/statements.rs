//! Builds blocks and the statements in them.

use super::ast::{BinaryOp, Block, Expr, ExprKind, Iterable, Span, Stmt, StmtKind};
use super::builder::{Builder, Built, parts};
use super::errors;
use super::grammar::{Pair, Rule};
use crate::diagnostics::Diagnostic;

/// What the value of a block's last expression is for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Role {
    /// It is the block's value.
    Value,
    /// Nobody asks for it: probes, loops, functions, `if` as a statement.
    Statement,
}

impl<'i> Builder<'i> {
    pub(super) fn value_block(&mut self, pair: Pair<'i>) -> Built<Block> {
        self.block(pair, Role::Value)
    }

    pub(super) fn statement_block(&mut self, pair: Pair<'i>) -> Built<Block> {
        self.block(pair, Role::Statement)
    }

    pub(super) fn block(&mut self, pair: Pair<'i>, role: Role) -> Built<Block> {
        let span = self.span(&pair);
        let mut block = Block { span, ..Block::default() };
        self.nested(span, |builder| {
            let mut inner = parts(pair);
            let mut next = inner.next();
            while let Some(pair) = next {
                next = inner.next();
                let last = next.is_none() && role == Role::Value;
                builder.child(|builder| builder.statement(pair, last, &mut block))?;
            }
            builder.grow(span)
        })?;
        Ok(block)
    }

    /// Adds a statement to a block; `last` if it may be the block's value.
    fn statement(&mut self, pair: Pair<'i>, last: bool, block: &mut Block) -> Built<()> {
        let stmt = match pair.as_rule() {
            Rule::block_statement | Rule::expression_statement => {
                return self.expression_statement(pair, last, block);
            }
            Rule::let_statement => self.let_statement(pair)?,
            Rule::import_statement => self.import_statement(pair)?,
            Rule::while_statement | Rule::unroll_statement => self.while_statement(pair)?,
            Rule::for_statement => self.for_statement(pair)?,
            _ => self.jump(pair)?,
        };
        block.statements.push(stmt);
        Ok(())
    }

    fn jump(&mut self, pair: Pair<'i>) -> Built<Stmt> {
        let (rule, start) = (pair.as_rule(), pair.as_span().start());
        let keyword = match rule {
            Rule::break_statement => "break",
            Rule::continue_statement => "continue",
            Rule::return_statement => "return",
            _ => return self.unexpected(&pair),
        };
        let mut span = self.range(start, start + keyword.len());
        let value = parts(pair).next().map(|value| self.expression(value)).transpose()?;
        if let Some(value) = &value {
            span = span.to(value.span);
        }
        let kind = match rule {
            Rule::break_statement => StmtKind::Break,
            Rule::continue_statement => StmtKind::Continue,
            _ => StmtKind::Return(value),
        };
        Ok(Stmt { span, kind })
    }

    fn let_statement(&mut self, pair: Pair<'i>) -> Built<Stmt> {
        let start = pair.as_span().start();
        let mut inner = parts(pair);
        let variable = self.next_ident(&mut inner)?;
        let mut span = self.range(start, start).to(variable.span);
        let mut part = inner.next();
        let mut type_name = None;
        if let Some(annotation) = part.take_if(|part| part.as_rule() == Rule::type_name) {
            let annotation = self.type_name(annotation)?;
            span = span.to(annotation.span);
            type_name = Some(annotation);
            part = inner.next();
        }
        let value = part.map(|value| self.expression(value)).transpose()?;
        if let Some(value) = &value {
            span = span.to(value.span);
        }
        Ok(Stmt { span, kind: StmtKind::Let { id: self.id(), variable, type_name, value } })
    }

    fn import_statement(&mut self, pair: Pair<'i>) -> Built<Stmt> {
        let span = self.span(&pair);
        let path = self.next(&mut parts(pair))?;
        Ok(Stmt { span, kind: StmtKind::Import(self.string(&path)) })
    }

    fn while_statement(&mut self, pair: Pair<'i>) -> Built<Stmt> {
        let (rule, span) = (pair.as_rule(), self.span(&pair));
        let mut inner = parts(pair);
        let condition = self.next(&mut inner)?;
        let condition = self.condition(condition)?;
        let body = self.next(&mut inner)?;
        let body = self.statement_block(body)?;
        let kind = match rule {
            Rule::while_statement => StmtKind::While { condition, body },
            _ => StmtKind::Unroll { count: condition, body },
        };
        Ok(Stmt { span, kind })
    }

    fn for_statement(&mut self, pair: Pair<'i>) -> Built<Stmt> {
        let span = self.span(&pair);
        let mut inner = parts(pair);
        let variable = self.next_ident(&mut inner)?;
        let first = self.next(&mut inner)?;
        let first = self.expression(first)?;
        let mut part = self.next(&mut inner)?;
        let iterable = if part.as_rule() == Rule::unary {
            let end = self.expression(part)?;
            part = self.next(&mut inner)?;
            Iterable::Range(first, end)
        } else {
            Iterable::Map(first)
        };
        let body = self.statement_block(part)?;
        Ok(Stmt { span, kind: StmtKind::For { id: self.id(), variable, iterable, body } })
    }

    /// A statement that begins like an expression: a value, an assignment, `if` or `{}`.
    fn expression_statement(&mut self, pair: Pair<'i>, last: bool, block: &mut Block) -> Built<()> {
        let (rule, span) = (pair.as_rule(), self.span(&pair));
        let mut inner = pair.into_inner().peekable();
        let Some(first) = inner.next() else {
            return self.halt(errors::incoherent(span, "an empty statement"));
        };
        let tail = inner.next_if(|part| part.as_rule() != Rule::semicolon);
        let ended = tail.is_none() && inner.next().is_some();
        if rule == Rule::expression_statement {
            return match tail {
                Some(operator) => {
                    let value = self.next(&mut inner)?;
                    self.assignment(first, &operator, value, block)
                }
                None => {
                    let value = self.expression(first)?;
                    Self::finish(value, last && !ended, block);
                    Ok(())
                }
            };
        }
        if let Some(tail) = tail {
            let value = self.expression_from(std::iter::once(first).chain(tail.into_inner()))?;
            // Its end is an optional semicolon behind the tail.
            let ended = inner.next().is_some();
            Self::finish(value, last && !ended, block);
        } else if last && !ended {
            block.result = Some(Box::new(self.primary(first)?));
        } else {
            let kind = self.statement_form(first)?;
            block.statements.push(Stmt { span: Self::form_span(&kind, span), kind });
        }
        Ok(())
    }

    fn finish(value: Expr, is_result: bool, block: &mut Block) {
        if is_result {
            block.result = Some(Box::new(value));
        } else {
            block.statements.push(Stmt { span: value.span, kind: StmtKind::Expr(value) });
        }
    }

    /// `if` and `{}` where nobody asks for their value.
    fn statement_form(&mut self, pair: Pair<'i>) -> Built<StmtKind> {
        if pair.as_rule() == Rule::block {
            return Ok(StmtKind::Block(self.statement_block(pair)?));
        }
        let (condition, then, otherwise) = self.branches(pair, Role::Statement)?;
        Ok(StmtKind::If { condition, then, otherwise })
    }

    /// `if` and `{}` begin where their statement does and end with their last block.
    fn form_span(kind: &StmtKind, span: Span) -> Span {
        let end = match kind {
            StmtKind::If { otherwise: Some(block), .. } | StmtKind::If { then: block, .. } | StmtKind::Block(block) => {
                block.span.end
            }
            _ => span.end,
        };
        Span { end, ..span }
    }

    fn assignment(&mut self, target: Pair<'i>, operator: &Pair<'i>, value: Pair<'i>, block: &mut Block) -> Built<()> {
        let target = self.expression(target)?;
        let value = self.expression(value)?;
        let span = target.span.to(value.span);
        let symbol = operator.as_str().trim_end_matches('=');
        let operator = BinaryOp::from_symbol(symbol);
        let kind = match &target.kind {
            ExprKind::Identifier(name) if name == "_" && operator.is_none() => StmtKind::Discard(value),
            ExprKind::Variable(_) | ExprKind::Map { .. } => StmtKind::Assign { target, operator, value },
            _ => {
                self.complain(invalid_target(&target));
                return Ok(());
            }
        };
        block.statements.push(Stmt { span, kind });
        Ok(())
    }
}

fn invalid_target(target: &Expr) -> Diagnostic {
    let diagnostic = Diagnostic::error("invalid-assignment", target.span, "this cannot be assigned to");
    match &target.kind {
        ExprKind::Identifier(name) => {
            diagnostic.hint(format!("variables begin with `$`, maps with `@`: ${name} = …, @{name} = …"))
        }
        ExprKind::Field { .. } | ExprKind::TupleField { .. } => {
            diagnostic.hint("structs, tuples and records do not change: make a new value and assign that")
        }
        ExprKind::Binary { .. } => diagnostic.hint("to compare, use `==`"),
        _ => diagnostic.hint("assign to a variable ($x) or a map (@x)"),
    }
}
