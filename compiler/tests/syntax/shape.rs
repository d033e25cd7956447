//! A tree as one line, for tests to compare: `(+ 1 (* 2 3))`.

use probebook_compiler::syntax::ast::*;

pub fn expr(value: &Expr) -> String {
    match &value.kind {
        ExprKind::Map { name, key: None } => format!("@{name}"),
        ExprKind::Map { name, key: Some(key) } => format!("@{name}[{}]", expr(key)),
        ExprKind::Call { name, arguments } => {
            let arguments: Vec<_> = arguments.iter().map(type_or_expr).collect();
            format!("{}({})", name.name, arguments.join(", "))
        }
        ExprKind::Sizeof(of) => format!("(sizeof {})", type_or_expr(of)),
        ExprKind::Typeinfo(of) => format!("(typeinfo {})", type_or_expr(of)),
        ExprKind::Offsetof { of, path } => {
            format!("(offsetof {} {})", type_or_expr(of), steps(path))
        }
        ExprKind::Unary { operator, operand } => format!("({operator:?} {})", expr(operand)),
        ExprKind::Step { target, increment, prefix } => {
            let sign = if *increment { "++" } else { "--" };
            let target = expr(target);
            if *prefix { format!("({sign} {target})") } else { format!("({target} {sign})") }
        }
        ExprKind::Binary { operator, left, right } => {
            format!("({operator} {} {})", expr(left), expr(right))
        }
        ExprKind::Ternary { condition, then, otherwise } => {
            let then = then.as_deref().map_or("_".into(), expr);
            format!("(? {} {then} {})", expr(condition), expr(otherwise))
        }
        ExprKind::If { condition, then, otherwise } => branches(condition, then, otherwise),
        ExprKind::Field { object, field } => format!("(. {} {})", expr(object), field.name),
        ExprKind::TupleField { object, index, .. } => format!("(. {} {index})", expr(object)),
        ExprKind::Index { object, index } => format!("(index {} {})", expr(object), expr(index)),
        ExprKind::Cast { to, operand } => format!("(cast {} {})", type_name(to), expr(operand)),
        ExprKind::Tuple(elements) => {
            let elements: Vec<_> = elements.iter().map(expr).collect();
            format!("<{}>", elements.join(", "))
        }
        ExprKind::Record(fields) => {
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{}={}", name.name, expr(value))).collect();
            format!("<{}>", fields.join(", "))
        }
        ExprKind::Block(inner) => block(inner),
        ExprKind::Comptime(value) => format!("(comptime {})", expr(value)),
        leaf => self::leaf(leaf),
    }
}

/// What has no parts.
fn leaf(kind: &ExprKind) -> String {
    match kind {
        ExprKind::Integer(value) => value.to_string(),
        ExprKind::String(text) => format!("{text:?}"),
        ExprKind::Bool(value) => value.to_string(),
        ExprKind::Identifier(name) => name.clone(),
        ExprKind::Variable(name) => format!("${name}"),
        ExprKind::Positional(number) => format!("${number}"),
        ExprKind::PositionalCount => "$#".into(),
        _ => unreachable!("{kind:?} has parts"),
    }
}

fn steps(path: &[OffsetStep]) -> String {
    let step = |step: &OffsetStep| match step {
        OffsetStep::Field(field) => field.name.clone(),
        OffsetStep::Index(index) => index.to_string(),
    };
    path.iter().map(step).collect::<Vec<_>>().join(".")
}

fn branches(condition: &Expr, then: &Block, otherwise: &Option<Block>) -> String {
    let otherwise = otherwise.as_ref().map_or(String::new(), |other| format!(" {}", block(other)));
    format!("(if {} {}{otherwise})", expr(condition), block(then))
}

pub fn block(inner: &Block) -> String {
    let mut parts: Vec<_> = inner.statements.iter().map(|inner| stmt(inner) + ";").collect();
    parts.extend(inner.result.as_deref().map(expr));
    format!("{{{}}}", parts.join(" "))
}

pub fn stmt(statement: &Stmt) -> String {
    match &statement.kind {
        StmtKind::Expr(value) => expr(value),
        StmtKind::Discard(value) => format!("_ = {}", expr(value)),
        StmtKind::Let { variable, type_name: annotation, value, .. } => {
            let annotation = annotation.as_ref().map_or(String::new(), |name| format!(": {}", type_name(name)));
            let value = value.as_ref().map_or(String::new(), |value| format!(" = {}", expr(value)));
            format!("let ${}{annotation}{value}", variable.name)
        }
        StmtKind::Assign { target, operator, value } => {
            let operator = operator.map_or("", BinaryOp::symbol);
            format!("{} {operator}= {}", expr(target), expr(value))
        }
        StmtKind::If { condition, then, otherwise } => branches(condition, then, otherwise),
        StmtKind::While { condition, body } => format!("while {} {}", expr(condition), block(body)),
        StmtKind::For { variable, iterable, body, .. } => {
            let over = match iterable {
                Iterable::Map(map) => expr(map),
                Iterable::Range(start, end) => format!("{}..{}", expr(start), expr(end)),
            };
            format!("for ${} : {over} {}", variable.name, block(body))
        }
        StmtKind::Unroll { count, body } => format!("unroll {} {}", expr(count), block(body)),
        StmtKind::Block(inner) => block(inner),
        StmtKind::Break => "break".into(),
        StmtKind::Continue => "continue".into(),
        StmtKind::Return(None) => "return".into(),
        StmtKind::Return(Some(value)) => format!("return {}", expr(value)),
        StmtKind::Import(path) => format!("import {path:?}"),
    }
}

fn type_or_expr(either: &TypeOrExpr) -> String {
    match either {
        TypeOrExpr::Type(name) => format!("type {}", type_name(name)),
        TypeOrExpr::Expr(value) => expr(value),
    }
}

pub fn type_name(name: &TypeName) -> String {
    match &name.kind {
        TypeNameKind::Named(word) => word.clone(),
        TypeNameKind::Struct(word) => format!("struct {word}"),
        TypeNameKind::Union(word) => format!("union {word}"),
        TypeNameKind::Enum(word) => format!("enum {word}"),
        TypeNameKind::Pointer(inner) => format!("{}*", type_name(inner)),
        TypeNameKind::Array(inner, length) => {
            let length = length.as_deref().map_or(String::new(), expr);
            format!("{}[{length}]", type_name(inner))
        }
        TypeNameKind::Typeof(of) => format!("typeof({})", type_or_expr(of)),
    }
}
