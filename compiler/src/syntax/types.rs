//! Builds types as they are written, and decides where a bare name may be one.

use super::ast::{Expr, ExprKind, TypeName, TypeNameKind, TypeOrExpr};
use super::builder::{Builder, Built, parts};
use super::grammar::{Pair, Rule};

/// Names that are types wherever a type may stand; other bare names may as well be macros.
const TYPE_NAMES: [&str; 30] = [
    "avg_t",
    "bool",
    "buffer",
    "cgroup_path_t",
    "char",
    "count_t",
    "inet",
    "int",
    "int16",
    "int32",
    "int64",
    "int8",
    "macaddr_t",
    "max_t",
    "min_t",
    "stats_t",
    "string",
    "sum_t",
    "timestamp",
    "uavg_t",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
    "umax_t",
    "umin_t",
    "username_t",
    "ustats_t",
    "usum_t",
    "void",
];

impl<'i> Builder<'i> {
    pub(super) fn type_name(&mut self, pair: Pair<'i>) -> Built<TypeName> {
        let mut inner = parts(pair);
        let base = self.next(&mut inner)?;
        let mut name = self.base_type(base)?;
        for suffix in inner {
            let span = name.span.to(self.span(&suffix));
            let kind = if suffix.as_str() == "*" {
                TypeNameKind::Pointer(Box::new(name))
            } else {
                let length = parts(suffix).next();
                let length = length.map(|length| self.array_length(&length)).transpose()?;
                TypeNameKind::Array(Box::new(name), length)
            };
            self.grow(span)?;
            name = TypeName { span, kind };
        }
        Ok(name)
    }

    fn array_length(&mut self, pair: &Pair<'i>) -> Built<Box<Expr>> {
        let (span, length) = (self.span(pair), self.integer(pair));
        Ok(Box::new(self.node(span, ExprKind::Integer(length))?))
    }

    fn base_type(&mut self, pair: Pair<'i>) -> Built<TypeName> {
        let span = self.span(&pair);
        match pair.as_rule() {
            Rule::named_type => Ok(TypeName { span, kind: TypeNameKind::Named(pair.as_str().to_owned()) }),
            Rule::typeof_type => {
                let of = self.next(&mut parts(pair))?;
                let of = Box::new(self.type_or_expression(of)?);
                Ok(TypeName { span, kind: TypeNameKind::Typeof(of) })
            }
            Rule::aggregate_type => {
                let mut inner = pair.into_inner();
                let keyword = self.next(&mut inner)?;
                let name = self.next_ident(&mut inner)?;
                let kind = match keyword.as_str() {
                    "struct" => TypeNameKind::Struct(name.name),
                    "union" => TypeNameKind::Union(name.name),
                    _ => TypeNameKind::Enum(name.name),
                };
                Ok(TypeName { span, kind })
            }
            Rule::c_type => {
                let words: Vec<_> = pair.into_inner().collect();
                let end = words.last().map_or(span, |word| self.span(word));
                let text: Vec<_> = words.iter().map(|word| word.as_str()).collect();
                Ok(TypeName { span: span_to(span, end.end), kind: TypeNameKind::Named(text.join(" ")) })
            }
            _ => self.unexpected(&pair),
        }
    }

    /// What stands in `sizeof`, `typeof` and their like. A bare name that is no known type is
    /// given as an expression, for the semantics to look up.
    pub(super) fn type_or_expression(&mut self, pair: Pair<'i>) -> Built<TypeOrExpr> {
        let inner = self.next(&mut parts(pair))?;
        if inner.as_rule() == Rule::expression {
            return Ok(TypeOrExpr::Expr(self.expression(inner)?));
        }
        let span = self.span(&inner);
        let name = self.nested(span, |builder| builder.type_name(inner))?;
        match name.kind {
            TypeNameKind::Named(word) if is_unknown(&word) => {
                Ok(TypeOrExpr::Expr(self.node(name.span, ExprKind::Identifier(word))?))
            }
            kind => Ok(TypeOrExpr::Type(TypeName { kind, ..name })),
        }
    }
}

fn is_unknown(name: &str) -> bool {
    !name.contains(' ') && !matches!(name, "unsigned" | "signed" | "long" | "short") && !TYPE_NAMES.contains(&name)
}

fn span_to(span: super::ast::Span, end: u32) -> super::ast::Span {
    super::ast::Span { end, ..span }
}
