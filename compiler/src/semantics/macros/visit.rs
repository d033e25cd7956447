//! Goes over a tree and lets a pass change it in place.
//!
//! A pass overrides what it cares for and calls the `walk_…` function to go on below.

use crate::syntax::ast::{
    Block, Expr, ExprKind, Item, Iterable, NodeId, Script, Span, Stmt, StmtKind, TypeName, TypeNameKind, TypeOrExpr,
};

/// What a pass does at each kind of node; by default it only goes on.
pub trait Visitor {
    /// The id of an expression, or of a `let` or `for` that declares a variable.
    fn id(&mut self, _id: &mut NodeId) {}

    /// Every mention of a scratch variable, declarations among them.
    fn variable(&mut self, _name: &mut String, _span: Span) {}

    /// Every mention of a map.
    fn map(&mut self, _name: &mut String, _span: Span) {}

    fn block(&mut self, block: &mut Block) {
        walk_block(self, block);
    }

    fn statement(&mut self, statement: &mut Stmt) {
        walk_statement(self, statement);
    }

    fn expr(&mut self, expr: &mut Expr) {
        walk_expr(self, expr);
    }

    fn type_name(&mut self, name: &mut TypeName) {
        walk_type_name(self, name);
    }

    /// What stands in `sizeof`, `offsetof`, `typeinfo` and `typeof`, where a bare name is a type.
    fn type_or_expr(&mut self, either: &mut TypeOrExpr) {
        walk_type_or_expr(self, either);
    }

    /// An argument of a call.
    fn argument(&mut self, argument: &mut TypeOrExpr) {
        walk_type_or_expr(self, argument);
    }
}

/// Everything that runs: predicates, actions and functions, but not the bodies of macros.
pub fn walk_script(visitor: &mut impl Visitor, script: &mut Script) {
    for item in &mut script.items {
        match item {
            Item::Probe(probe) => {
                if let Some(predicate) = &mut probe.predicate {
                    visitor.expr(predicate);
                }
                visitor.block(&mut probe.body);
            }
            Item::Subprogram(subprogram) => visitor.block(&mut subprogram.body),
            Item::Macro(_) | Item::MapDeclaration(_) => {}
        }
    }
}

pub fn walk_block<V: Visitor + ?Sized>(visitor: &mut V, block: &mut Block) {
    for statement in &mut block.statements {
        visitor.statement(statement);
    }
    if let Some(result) = &mut block.result {
        visitor.expr(result);
    }
}

pub fn walk_statement<V: Visitor + ?Sized>(visitor: &mut V, statement: &mut Stmt) {
    match &mut statement.kind {
        StmtKind::Expr(expr) | StmtKind::Discard(expr) => visitor.expr(expr),
        StmtKind::Let { id, variable, type_name, value } => {
            visitor.id(id);
            visitor.variable(&mut variable.name, variable.span);
            if let Some(name) = type_name {
                visitor.type_name(name);
            }
            if let Some(value) = value {
                visitor.expr(value);
            }
        }
        StmtKind::Assign { target, value, .. } => {
            visitor.expr(target);
            visitor.expr(value);
        }
        StmtKind::If { condition, then, otherwise } => walk_if(visitor, condition, then, otherwise.as_mut()),
        StmtKind::While { condition: head, body } | StmtKind::Unroll { count: head, body } => {
            visitor.expr(head);
            visitor.block(body);
        }
        StmtKind::For { id, variable, iterable, body } => {
            visitor.id(id);
            visitor.variable(&mut variable.name, variable.span);
            match iterable {
                Iterable::Map(map) => visitor.expr(map),
                Iterable::Range(start, end) => {
                    visitor.expr(start);
                    visitor.expr(end);
                }
            }
            visitor.block(body);
        }
        StmtKind::Block(block) => visitor.block(block),
        StmtKind::Return(Some(value)) => visitor.expr(value),
        StmtKind::Return(None) | StmtKind::Break | StmtKind::Continue | StmtKind::Import(_) => {}
    }
}

fn walk_if<V: Visitor + ?Sized>(
    visitor: &mut V,
    condition: &mut Expr,
    then: &mut Block,
    otherwise: Option<&mut Block>,
) {
    visitor.expr(condition);
    visitor.block(then);
    if let Some(otherwise) = otherwise {
        visitor.block(otherwise);
    }
}

pub fn walk_expr<V: Visitor + ?Sized>(visitor: &mut V, expr: &mut Expr) {
    use ExprKind::*;
    visitor.id(&mut expr.id);
    let span = expr.span;
    match &mut expr.kind {
        Integer(_) | String(_) | Bool(_) | Identifier(_) | Positional(_) | PositionalCount => {}
        Variable(name) => visitor.variable(name, span),
        Map { name, key } => {
            visitor.map(name, span);
            if let Some(key) = key {
                visitor.expr(key);
            }
        }
        Call { arguments, .. } => arguments.iter_mut().for_each(|argument| visitor.argument(argument)),
        Sizeof(of) | Typeinfo(of) | Offsetof { of, .. } => visitor.type_or_expr(of),
        Unary { operand, .. } | Comptime(operand) => visitor.expr(operand),
        Step { target, .. } => visitor.expr(target),
        Binary { left, right, .. } => {
            visitor.expr(left);
            visitor.expr(right);
        }
        Ternary { condition, then, otherwise } => {
            visitor.expr(condition);
            if let Some(then) = then {
                visitor.expr(then);
            }
            visitor.expr(otherwise);
        }
        If { condition, then, otherwise } => walk_if(visitor, condition, then, otherwise.as_mut()),
        Field { object, .. } | TupleField { object, .. } => visitor.expr(object),
        Index { object, index } => {
            visitor.expr(object);
            visitor.expr(index);
        }
        Cast { to, operand } => {
            visitor.type_name(to);
            visitor.expr(operand);
        }
        Tuple(elements) => elements.iter_mut().for_each(|element| visitor.expr(element)),
        Record(fields) => fields.iter_mut().for_each(|(_, value)| visitor.expr(value)),
        Block(block) => visitor.block(block),
    }
}

pub fn walk_type_name<V: Visitor + ?Sized>(visitor: &mut V, name: &mut TypeName) {
    match &mut name.kind {
        TypeNameKind::Pointer(inner) => visitor.type_name(inner),
        TypeNameKind::Array(inner, length) => {
            visitor.type_name(inner);
            if let Some(length) = length {
                visitor.expr(length);
            }
        }
        TypeNameKind::Typeof(of) => visitor.type_or_expr(of),
        TypeNameKind::Named(_) | TypeNameKind::Struct(_) | TypeNameKind::Union(_) | TypeNameKind::Enum(_) => {}
    }
}

pub fn walk_type_or_expr<V: Visitor + ?Sized>(visitor: &mut V, either: &mut TypeOrExpr) {
    match either {
        TypeOrExpr::Type(name) => visitor.type_name(name),
        TypeOrExpr::Expr(expr) => visitor.expr(expr),
    }
}
