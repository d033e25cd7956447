//! Macro parameters where a type is written: what they stand for there.

use super::expander::Expander;
use super::visit::walk_type_name;
use crate::diagnostics::Diagnostic;
use crate::syntax::ast::{Expr, ExprKind, OffsetStep, Span, TypeName, TypeNameKind, TypeOrExpr};

impl Expander<'_> {
    /// In `sizeof` and its like. A bare name is a type or a parameter there, never a macro.
    pub fn in_type_context(&mut self, either: &mut TypeOrExpr) {
        match either {
            TypeOrExpr::Expr(Expr { kind: ExprKind::Identifier(name), id, .. }) => {
                if let Some(bound) = self.bound(name).cloned() {
                    *either = self.copy(bound);
                } else {
                    self.renumber(id);
                }
            }
            TypeOrExpr::Expr(expr) => self.expand_expr(expr),
            TypeOrExpr::Type(name) => self.substitute_type(name),
        }
    }

    /// Puts what was passed in the place of a parameter's name in a written type.
    pub fn substitute_type(&mut self, name: &mut TypeName) {
        let span = name.span;
        match &mut name.kind {
            TypeNameKind::Named(word) => {
                let Some(bound) = self.bound(word).cloned() else { return };
                match bound {
                    TypeOrExpr::Type(of) => match self.copy(TypeOrExpr::Type(of)) {
                        TypeOrExpr::Type(of) => name.kind = of.kind,
                        TypeOrExpr::Expr(_) => {}
                    },
                    TypeOrExpr::Expr(Expr { kind: ExprKind::Identifier(other), .. }) => *word = other,
                    TypeOrExpr::Expr(expr) => {
                        let word = word.clone();
                        self.not_a_type(&word, span, expr.span, "pass a type as typeof(…)");
                    }
                }
            }
            TypeNameKind::Struct(word) | TypeNameKind::Union(word) | TypeNameKind::Enum(word) => {
                let Some(bound) = self.bound(word) else { return };
                match bare_name(bound) {
                    Some(other) => *word = other.to_string(),
                    None => {
                        let (at, word) = (place(bound), word.clone());
                        self.not_a_type(&word, span, at, "only a bare name can follow struct, union or enum");
                    }
                }
            }
            _ => walk_type_name(self, name),
        }
    }

    fn not_a_type(&mut self, parameter: &str, span: Span, argument: Span, hint: &str) {
        let message = format!("what was passed for {parameter} cannot be part of this type");
        let diagnostic = Diagnostic::error("wrong-macro-argument", span, message).also(argument, "this was passed");
        self.report(diagnostic.hint(hint));
    }

    /// `offsetof(type, parameter)`: the parameter stands for a path of field names.
    pub fn substitute_path(&mut self, path: &mut Vec<OffsetStep>) {
        let [OffsetStep::Field(field)] = path.as_slice() else { return };
        let Some(TypeOrExpr::Expr(passed)) = self.bound(&field.name) else { return };
        let mut steps = Vec::new();
        if field_path(passed, &mut steps) {
            *path = steps;
        } else {
            let message = format!("what was passed for {} is not a path of fields", field.name);
            let diagnostic = Diagnostic::error("wrong-macro-argument", field.span, message);
            let passed = passed.span;
            self.report(diagnostic.also(passed, "this was passed").hint("field names only, such as a.b.c"));
        }
    }
}

/// The name that an argument consists of: `task_struct`, `typeof(task_struct)`.
fn bare_name(bound: &TypeOrExpr) -> Option<&str> {
    match bound {
        TypeOrExpr::Expr(Expr { kind: ExprKind::Identifier(name), .. }) => Some(name),
        TypeOrExpr::Type(TypeName { kind: TypeNameKind::Named(name), .. }) => Some(name),
        TypeOrExpr::Type(TypeName { kind: TypeNameKind::Typeof(of), .. }) => bare_name(of),
        _ => None,
    }
}

fn place(bound: &TypeOrExpr) -> Span {
    match bound {
        TypeOrExpr::Type(name) => name.span,
        TypeOrExpr::Expr(expr) => expr.span,
    }
}

/// `a.b.c` as steps; false if it is something else.
fn field_path(expr: &Expr, steps: &mut Vec<OffsetStep>) -> bool {
    let whole = match &expr.kind {
        ExprKind::Identifier(name) => crate::syntax::ast::Ident { name: name.clone(), span: expr.span },
        ExprKind::Field { object, field } if field_path(object, steps) => field.clone(),
        _ => return false,
    };
    steps.push(OffsetStep::Field(whole));
    true
}
