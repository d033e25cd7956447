//! The sign of literals in keys of maps.

use crate::semantics::environment::KeyInfo;
use crate::syntax::ast::{Expr, ExprKind, Span};
use crate::types::Type;

use super::{Lowered, Lowerer, Operand};

impl Lowerer<'_> {
    /// Evaluates a key of a map. Literals in it take on the sign of what else is used as this map's key.
    pub fn key(&mut self, name: &str, key: &Expr, span: Span) -> Lowered<Operand> {
        let mut operand = self.expr(key)?;
        let map = self.env.map(name, span);
        if operand.is_unknown() || map.fixed_by.is_some() {
            return Ok(operand);
        }
        let literals = literals(key, &operand);
        let mut types = elements(&operand.ty);
        let mut known = match &map.key {
            KeyInfo::Keyed(ty) => elements(ty),
            _ => types.clone(),
        };
        map.told_keys.resize(literals.len(), false);
        let mut is_retold = false;
        for (((ty, known), is_literal), told) in types.iter_mut().zip(&mut known).zip(literals).zip(&mut map.told_keys)
        {
            if is_literal && *told {
                *ty = with_sign_of(ty, known);
            } else if !is_literal && !*told {
                *told = true;
                let agreed = with_sign_of(known, ty);
                is_retold |= agreed != *known;
                *known = agreed;
            }
        }
        if is_retold && let KeyInfo::Keyed(ty) = &map.key {
            map.key = KeyInfo::Keyed(of_elements(ty, known));
            self.env.changed = true;
        }
        operand.ty = of_elements(&operand.ty, types);
        Ok(operand)
    }
}

/// A tuple's elements, or the type itself.
fn elements(ty: &Type) -> Vec<Type> {
    match ty {
        Type::Tuple(elements) => elements.to_vec(),
        other => vec![other.clone()],
    }
}

/// The reverse of [`elements`], for a type that is like this one.
fn of_elements(ty: &Type, mut elements: Vec<Type>) -> Type {
    match ty {
        Type::Tuple(_) => Type::tuple(elements),
        _ => elements.pop().unwrap_or(Type::Void),
    }
}

/// Which elements of a key are literals.
fn literals(key: &Expr, operand: &Operand) -> Vec<bool> {
    match (&operand.ty, &key.kind) {
        (Type::Tuple(_), ExprKind::Tuple(elements)) => {
            elements.iter().map(|element| matches!(element.kind, ExprKind::Integer(_))).collect()
        }
        (Type::Tuple(types), _) => vec![false; types.len()],
        _ => vec![operand.flexible],
    }
}

fn with_sign_of(ty: &Type, other: &Type) -> Type {
    match (ty, other) {
        (Type::Integer { bits, .. }, Type::Integer { signed, .. }) => Type::Integer { bits: *bits, signed: *signed },
        _ => ty.clone(),
    }
}
