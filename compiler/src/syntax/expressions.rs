//! Builds expressions: gives the grammar's flat chains their shape by precedence, and makes
//! the nodes of everything that can stand in them.

use std::iter::Peekable;

use super::ast::{BinaryOp, Block, Expr, ExprKind, OffsetStep, Span, Stmt, StmtKind, TypeOrExpr, UnaryOp};
use super::builder::{Builder, Built, parts};
use super::errors;
use super::grammar::{Pair, Rule};
use super::statements::Role;
use crate::diagnostics::Diagnostic;

/// The pieces of a flat chain: prefixes, primaries, postfixes, operators, a conditional's rest.
type Chain<I> = Peekable<I>;

impl<'i> Builder<'i> {
    /// An `expression`, or a `unary` one.
    pub(super) fn expression(&mut self, pair: Pair<'i>) -> Built<Expr> {
        self.expression_from(pair.into_inner())
    }

    /// An expression whose pieces are `pieces`.
    pub(super) fn expression_from(&mut self, pieces: impl Iterator<Item = Pair<'i>>) -> Built<Expr> {
        let mut chain = pieces.peekable();
        let here = match chain.peek() {
            Some(piece) => self.span(piece),
            None => self.range(self.text.len(), self.text.len()),
        };
        self.nested(here, |builder| {
            let value = builder.climb(&mut chain, 0)?;
            match chain.next() {
                Some(ternary) => builder.ternary(value, ternary),
                None => Ok(value),
            }
        })
    }

    /// The condition of `if`, `while`, `unroll`, in parentheses or not.
    pub(super) fn condition(&mut self, pair: Pair<'i>) -> Built<Expr> {
        let inner = self.next(&mut parts(pair))?;
        self.expression(inner)
    }

    /// Precedence climbing: operators of at least the given precedence, all left-associative.
    fn climb(&mut self, chain: &mut Chain<impl Iterator<Item = Pair<'i>>>, least: u8) -> Built<Expr> {
        let mut left = self.operand(chain)?;
        while let Some(operator) = chain.peek().and_then(binary_operator)
            && operator.precedence() >= least
        {
            chain.next();
            let right = self.child(|builder| builder.climb(chain, operator.precedence() + 1))?;
            let span = left.span.to(right.span);
            let (left_box, right) = (Box::new(left), Box::new(right));
            left = self.node(span, ExprKind::Binary { operator, left: left_box, right })?;
        }
        Ok(left)
    }

    fn ternary(&mut self, condition: Expr, pair: Pair<'i>) -> Built<Expr> {
        let mut inner = parts(pair);
        let first = self.next(&mut inner)?;
        let first = self.expression(first)?;
        let second = inner.next().map(|second| self.expression(second)).transpose()?;
        let (then, otherwise) = match second {
            Some(second) => (Some(Box::new(first)), second),
            None => (None, first),
        };
        let span = condition.span.to(otherwise.span);
        let (condition, otherwise) = (Box::new(condition), Box::new(otherwise));
        self.node(span, ExprKind::Ternary { condition, then, otherwise })
    }

    /// Prefixes, a primary, postfixes.
    fn operand(&mut self, chain: &mut Chain<impl Iterator<Item = Pair<'i>>>) -> Built<Expr> {
        let mut prefixes = Vec::new();
        while let Some(prefix) = chain.next_if(is_prefix) {
            prefixes.push(prefix);
        }
        let primary = self.next(chain)?;
        let mut value = self.primary(primary)?;
        while let Some(postfix) = chain.next_if(is_postfix) {
            value = self.postfix(value, postfix)?;
        }
        for prefix in prefixes.into_iter().rev() {
            value = self.prefix(prefix, value)?;
        }
        Ok(value)
    }

    fn prefix(&mut self, pair: Pair<'i>, operand: Expr) -> Built<Expr> {
        let start = self.span(&pair);
        let span = start.to(operand.span);
        let operator = match pair.as_rule() {
            Rule::cast => {
                let type_name = self.next(&mut parts(pair))?;
                let to = self.child(|builder| builder.type_name(type_name))?;
                return self.node(span, ExprKind::Cast { to, operand: Box::new(operand) });
            }
            _ => match pair.as_str() {
                "comptime" => return self.node(span, ExprKind::Comptime(Box::new(operand))),
                "!" => UnaryOp::Not,
                "~" => UnaryOp::Complement,
                "-" => UnaryOp::Negate,
                "*" => UnaryOp::Dereference,
                "&" => UnaryOp::AddressOf,
                step => return self.step(operand, step == "++", true, start),
            },
        };
        if operator == UnaryOp::AddressOf && !is_place(&operand) {
            let message = "only variables and maps have an address";
            self.complain(Diagnostic::error("invalid-address-of", operand.span, message));
        }
        self.node(span, ExprKind::Unary { operator, operand: Box::new(operand) })
    }

    fn step(&mut self, target: Expr, increment: bool, prefix: bool, sign: Span) -> Built<Expr> {
        let span = sign.to(target.span);
        if !matches!(target.kind, ExprKind::Variable(_) | ExprKind::Map { .. }) {
            let sign = if increment { "++" } else { "--" };
            let message = format!("`{sign}` needs a variable or a map");
            self.complain(Diagnostic::error("invalid-step", target.span, message));
        }
        self.node(span, ExprKind::Step { target: Box::new(target), increment, prefix })
    }

    fn postfix(&mut self, object: Expr, pair: Pair<'i>) -> Built<Expr> {
        let start = object.span;
        match pair.as_rule() {
            Rule::step => {
                let sign = self.span(&pair);
                self.step(object, pair.as_str() == "++", false, sign)
            }
            Rule::index => {
                let span = start.to(self.span(&pair));
                let index = self.next(&mut parts(pair))?;
                let index = Box::new(self.expression(index)?);
                self.node(span, ExprKind::Index { object: Box::new(object), index })
            }
            _ => {
                let name = self.next(&mut parts(pair))?;
                self.member(object, &name)
            }
        }
    }

    fn member(&mut self, object: Expr, name: &Pair<'i>) -> Built<Expr> {
        let span = object.span.to(self.span(name));
        let (object, field) = (Box::new(object), self.ident(name));
        if name.as_rule() == Rule::word {
            return self.node(span, ExprKind::Field { object, field });
        }
        if matches!(object.kind, ExprKind::Integer(_)) {
            let message = "there are no floating-point numbers";
            self.complain(Diagnostic::error("invalid-integer", span, message));
        }
        let index_span = field.span;
        let index = field.name.parse().unwrap_or_else(|_| {
            let message = format!("no tuple has a field {}", field.name);
            self.complain(Diagnostic::error("integer-overflow", index_span, message));
            0
        });
        self.node(span, ExprKind::TupleField { object, index, index_span })
    }

    /// What an operand is when prefixes and postfixes are taken off.
    pub(super) fn primary(&mut self, pair: Pair<'i>) -> Built<Expr> {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::variable => ExprKind::Variable(self.ident(&pair).name),
            Rule::integer => ExprKind::Integer(self.integer(&pair)),
            Rule::string => ExprKind::String(self.string(&pair)),
            Rule::boolean => ExprKind::Bool(pair.as_str() == "true"),
            Rule::positional => self.positional(&pair),
            Rule::positional_count => ExprKind::PositionalCount,
            Rule::map => return self.map(pair),
            Rule::reference => return self.reference(pair),
            Rule::parenthesized => return self.parenthesized(pair),
            Rule::record => self.record(pair)?,
            Rule::block => ExprKind::Block(self.value_block(pair)?),
            Rule::if_expression => return self.if_expression(pair),
            Rule::sizeof => {
                let of = self.next(&mut parts(pair))?;
                ExprKind::Sizeof(Box::new(self.type_or_expression(of)?))
            }
            Rule::typeinfo => {
                let of = self.next(&mut parts(pair))?;
                ExprKind::Typeinfo(Box::new(self.type_or_expression(of)?))
            }
            Rule::offsetof => self.offsetof(pair)?,
            _ => return self.unexpected(&pair),
        };
        self.node(span, kind)
    }

    fn map(&mut self, pair: Pair<'i>) -> Built<Expr> {
        let mut inner = parts(pair);
        let ident = self.next_ident(&mut inner)?;
        let (name, mut span) = (ident.name, ident.span);
        let mut key = None;
        if let Some(brackets) = inner.next() {
            let key_span = self.span(&brackets);
            span = span.to(key_span);
            let mut keys = self.list(parts(brackets))?;
            key = match keys.len() {
                1 => keys.pop().map(Box::new),
                _ => {
                    let inside = keys.first().zip(keys.last());
                    let span = inside.map_or(key_span, |(first, last)| first.span.to(last.span));
                    Some(Box::new(self.node(span, ExprKind::Tuple(keys))?))
                }
            };
        }
        self.node(span, ExprKind::Map { name, key })
    }

    fn list(&mut self, pairs: impl Iterator<Item = Pair<'i>>) -> Built<Vec<Expr>> {
        pairs.map(|pair| self.expression(pair)).collect()
    }

    /// An identifier, or a call.
    fn reference(&mut self, pair: Pair<'i>) -> Built<Expr> {
        let mut inner = parts(pair);
        let name = self.next_ident(&mut inner)?;
        let Some(list) = inner.next() else {
            return self.node(name.span, ExprKind::Identifier(name.name));
        };
        let span = name.span.to(self.span(&list));
        let mut arguments = Vec::new();
        for argument in parts(list) {
            arguments.push(self.child(|builder| builder.argument(argument))?);
        }
        self.node(span, ExprKind::Call { name, arguments })
    }

    fn argument(&mut self, pair: Pair<'i>) -> Built<TypeOrExpr> {
        if pair.as_rule() == Rule::type_argument {
            let type_name = self.next(&mut parts(pair))?;
            return Ok(TypeOrExpr::Type(self.type_name(type_name)?));
        }
        Ok(TypeOrExpr::Expr(self.expression(pair)?))
    }

    /// Brackets round one expression only group; they make a tuple of none, several, or one with
    /// a comma behind it.
    fn parenthesized(&mut self, pair: Pair<'i>) -> Built<Expr> {
        let span = self.span(&pair);
        let mut inner: Vec<_> = parts(pair).collect();
        let comma = inner.pop_if(|last| last.as_rule() == Rule::trailing_comma).is_some();
        if inner.len() == 1
            && !comma
            && let Some(only) = inner.pop()
        {
            return Ok(Expr { span, ..self.expression(only)? });
        }
        let elements = self.list(inner.into_iter())?;
        self.node(span, ExprKind::Tuple(elements))
    }

    fn record(&mut self, pair: Pair<'i>) -> Built<ExprKind> {
        let mut fields: Vec<(super::ast::Ident, Expr)> = Vec::new();
        let mut seen = std::collections::HashMap::new();
        for field in parts(pair) {
            let mut halves = parts(field);
            let name = self.next_ident(&mut halves)?;
            let value = self.next(&mut halves)?;
            let value = self.expression(value)?;
            if let Some(first) = seen.insert(name.name.clone(), name.span) {
                let message = format!("the record has a field `{}` already", name.name);
                let diagnostic =
                    Diagnostic::error("duplicate-field", name.span, message).also(first, "it is given here");
                self.complain(diagnostic);
            }
            fields.push((name, value));
        }
        Ok(ExprKind::Record(fields))
    }

    fn offsetof(&mut self, pair: Pair<'i>) -> Built<ExprKind> {
        let mut inner = parts(pair);
        let of = self.next(&mut inner)?;
        let of = Box::new(self.type_or_expression(of)?);
        let path = inner
            .map(|step| match step.as_rule() {
                Rule::integer => OffsetStep::Index(self.integer(&step)),
                _ => OffsetStep::Field(self.ident(&step)),
            })
            .collect();
        Ok(ExprKind::Offsetof { of, path })
    }

    fn if_expression(&mut self, pair: Pair<'i>) -> Built<Expr> {
        let start = self.span(&pair);
        let (condition, then, otherwise) = self.branches(pair, Role::Value)?;
        let end = otherwise.as_ref().map_or(then.span, |block| block.span);
        let span = Span { end: end.end, ..start };
        self.node(span, ExprKind::If { condition: Box::new(condition), then, otherwise })
    }

    /// The parts of an `if`. Further branches come flat and become nested blocks, the last one
    /// innermost.
    pub(super) fn branches(&mut self, pair: Pair<'i>, role: Role) -> Built<(Expr, Block, Option<Block>)> {
        let whole = self.span(&pair);
        let mut branches = Vec::new();
        let mut otherwise = None;
        let mut inner = pair.into_inner();
        let mut start = whole.start;
        while let Some(part) = inner.next() {
            match part.as_rule() {
                Rule::kw_if => start = self.span(&part).start,
                Rule::kw_else => {}
                Rule::condition => {
                    let condition = self.condition(part)?;
                    let then = self.next(&mut inner)?;
                    branches.push((start, condition, self.block(then, role)?));
                }
                _ => otherwise = Some(self.block(part, role)?),
            }
        }
        let mut branches = branches.into_iter();
        let Some((_, condition, then)) = branches.next() else {
            return self.halt(errors::incoherent(whole, "`if` without a condition"));
        };
        for (start, condition, then) in branches.rev() {
            otherwise = Some(self.else_if(start, condition, then, otherwise, role)?);
        }
        Ok((condition, then, otherwise))
    }

    fn else_if(
        &mut self,
        start: u32,
        condition: Expr,
        then: Block,
        otherwise: Option<Block>,
        role: Role,
    ) -> Built<Block> {
        let end = otherwise.as_ref().map_or(then.span.end, |block| block.span.end);
        let span = Span { start, end, ..then.span };
        let mut block = Block { span, ..Block::default() };
        if role == Role::Value {
            let kind = ExprKind::If { condition: Box::new(condition), then, otherwise };
            block.result = Some(Box::new(self.node(span, kind)?));
        } else {
            let kind = StmtKind::If { condition, then, otherwise };
            block.statements.push(Stmt { span, kind });
            self.grow(span)?;
        }
        Ok(block)
    }
}

fn is_prefix(pair: &Pair<'_>) -> bool {
    matches!(pair.as_rule(), Rule::prefix_operator | Rule::cast)
}

fn is_postfix(pair: &Pair<'_>) -> bool {
    matches!(pair.as_rule(), Rule::member | Rule::index | Rule::step)
}

/// What `&` can be applied to here; whether it can be carried out, types decide.
fn is_place(operand: &Expr) -> bool {
    use ExprKind::*;
    matches!(operand.kind, Variable(_) | Map { .. } | Identifier(_) | Field { .. } | Index { .. })
}

fn binary_operator(pair: &Pair<'_>) -> Option<BinaryOp> {
    match pair.as_rule() {
        Rule::binary_operator => BinaryOp::from_symbol(pair.as_str()),
        _ => None,
    }
}

impl BinaryOp {
    /// The operator that is written so.
    pub(super) fn from_symbol(symbol: &str) -> Option<Self> {
        use BinaryOp::*;
        Some(match symbol {
            "+" => Add,
            "-" => Subtract,
            "*" => Multiply,
            "/" => Divide,
            "%" => Modulo,
            "&" => BitAnd,
            "|" => BitOr,
            "^" => BitXor,
            "<<" => ShiftLeft,
            ">>" => ShiftRight,
            "==" => Equal,
            "!=" => NotEqual,
            "<" => Less,
            "<=" => LessEqual,
            ">" => Greater,
            ">=" => GreaterEqual,
            "&&" => And,
            "||" => Or,
            _ => return None,
        })
    }

    /// How tightly the operator binds: C's order.
    fn precedence(self) -> u8 {
        use BinaryOp::*;
        match self {
            Or => 1,
            And => 2,
            BitOr => 3,
            BitXor => 4,
            BitAnd => 5,
            Equal | NotEqual => 6,
            Less | LessEqual | Greater | GreaterEqual => 7,
            ShiftLeft | ShiftRight => 8,
            Add | Subtract => 9,
            Multiply | Divide | Modulo => 10,
        }
    }
}
