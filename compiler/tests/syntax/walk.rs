//! Visits every place and every node id of a tree.

use probebook_compiler::syntax::ast::*;

/// What a visitor is told of: a place, with the id of the node that is there if it has one.
pub type Visit<'v> = &'v mut dyn FnMut(Span, Option<NodeId>);

pub fn script(script: &Script, visit: Visit<'_>) {
    script.c_definitions.iter().for_each(|definition| visit(definition.span, None));
    if let Some(config) = &script.config {
        visit(config.span, None);
        for entry in &config.entries {
            [entry.span, entry.name.span, entry.value_span].iter().for_each(|span| visit(*span, None));
        }
    }
    script.imports.iter().for_each(|import| visit(import.span, None));
    script.items.iter().for_each(|entry| item(entry, visit));
}

fn item(item: &Item, visit: Visit<'_>) {
    match item {
        Item::Probe(probe) => {
            visit(probe.span, None);
            for point in &probe.attach_points {
                visit(point.span, None);
                point.label.iter().for_each(|label| visit(label.span, None));
                point.parts.iter().for_each(|part| visit(part.span, None));
            }
            probe.predicate.iter().for_each(|predicate| expr(predicate, visit));
            block(&probe.body, visit);
        }
        Item::Macro(item) => {
            visit(item.span, None);
            visit(item.name.span, None);
            for parameter in &item.parameters {
                let (MacroParameter::Variable(ident) | MacroParameter::Map(ident) | MacroParameter::Expression(ident)) =
                    parameter;
                visit(ident.span, None);
            }
            block(&item.body, visit);
        }
        Item::MapDeclaration(item) => {
            [item.span, item.map.span, item.kind.span].iter().for_each(|span| visit(*span, None));
            item.max_entries.iter().for_each(|size| expr(size, visit));
        }
        Item::Subprogram(item) => {
            visit(item.span, None);
            visit(item.name.span, None);
            for (ident, name) in &item.parameters {
                visit(ident.span, None);
                type_name(name, visit);
            }
            type_name(&item.returns, visit);
            block(&item.body, visit);
        }
    }
}

fn block(block: &Block, visit: Visit<'_>) {
    visit(block.span, None);
    block.statements.iter().for_each(|statement| stmt(statement, visit));
    block.result.iter().for_each(|result| expr(result, visit));
}

fn stmt(statement: &Stmt, visit: Visit<'_>) {
    visit(statement.span, None);
    match &statement.kind {
        StmtKind::Expr(value) | StmtKind::Discard(value) => expr(value, visit),
        StmtKind::Let { id, variable, type_name: annotation, value } => {
            visit(variable.span, Some(*id));
            annotation.iter().for_each(|name| type_name(name, visit));
            value.iter().for_each(|value| expr(value, visit));
        }
        StmtKind::Assign { target, value, .. } => {
            expr(target, visit);
            expr(value, visit);
        }
        StmtKind::If { condition, then, otherwise } => {
            expr(condition, visit);
            block(then, visit);
            otherwise.iter().for_each(|other| block(other, visit));
        }
        StmtKind::While { condition: value, body } | StmtKind::Unroll { count: value, body } => {
            expr(value, visit);
            block(body, visit);
        }
        StmtKind::For { id, variable, iterable, body } => {
            visit(variable.span, Some(*id));
            match iterable {
                Iterable::Map(map) => expr(map, visit),
                Iterable::Range(start, end) => {
                    expr(start, visit);
                    expr(end, visit);
                }
            }
            block(body, visit);
        }
        StmtKind::Block(inner) => block(inner, visit),
        StmtKind::Return(value) => value.iter().for_each(|value| expr(value, visit)),
        StmtKind::Break | StmtKind::Continue | StmtKind::Import(_) => {}
    }
}

fn expr(value: &Expr, visit: Visit<'_>) {
    visit(value.span, Some(value.id));
    use ExprKind::*;
    match &value.kind {
        Integer(_) | String(_) | Bool(_) | Identifier(_) | Variable(_) | Positional(_) | PositionalCount => {}
        Map { key, .. } => key.iter().for_each(|key| expr(key, visit)),
        Call { name, arguments } => {
            visit(name.span, None);
            arguments.iter().for_each(|argument| type_or_expr(argument, visit));
        }
        Sizeof(of) | Typeinfo(of) | Offsetof { of, .. } => type_or_expr(of, visit),
        Unary { operand: inner, .. } | Step { target: inner, .. } | Comptime(inner) => {
            expr(inner, visit);
        }
        Binary { left, right, .. } => {
            expr(left, visit);
            expr(right, visit);
        }
        Ternary { condition, then, otherwise } => {
            expr(condition, visit);
            then.iter().for_each(|then| expr(then, visit));
            expr(otherwise, visit);
        }
        If { condition, then, otherwise } => {
            expr(condition, visit);
            block(then, visit);
            otherwise.iter().for_each(|other| block(other, visit));
        }
        Field { object, field } => {
            expr(object, visit);
            visit(field.span, None);
        }
        TupleField { object, index_span, .. } => {
            expr(object, visit);
            visit(*index_span, None);
        }
        Index { object, index } => {
            expr(object, visit);
            expr(index, visit);
        }
        Cast { to, operand } => {
            type_name(to, visit);
            expr(operand, visit);
        }
        Tuple(elements) => elements.iter().for_each(|element| expr(element, visit)),
        Record(fields) => {
            for (name, value) in fields {
                visit(name.span, None);
                expr(value, visit);
            }
        }
        Block(inner) => block(inner, visit),
    }
}

fn type_or_expr(either: &TypeOrExpr, visit: Visit<'_>) {
    match either {
        TypeOrExpr::Type(name) => type_name(name, visit),
        TypeOrExpr::Expr(value) => expr(value, visit),
    }
}

fn type_name(name: &TypeName, visit: Visit<'_>) {
    visit(name.span, None);
    match &name.kind {
        TypeNameKind::Pointer(inner) => type_name(inner, visit),
        TypeNameKind::Array(inner, length) => {
            type_name(inner, visit);
            length.iter().for_each(|length| expr(length, visit));
        }
        TypeNameKind::Typeof(of) => type_or_expr(of, visit),
        _ => {}
    }
}
