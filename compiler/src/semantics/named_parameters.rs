//! Named parameters: `--name=value` from outside, `getopt("name", default)` in the script.

use std::collections::BTreeMap;

use crate::diagnostics::Diagnostic;
use crate::semantics::macros::visit::{Visitor, walk_expr, walk_script};
use crate::syntax::ast::{Expr, ExprKind, Script, Span, TypeOrExpr, UnaryOp};

/// A parameter that was passed: `--name=value`, or `--name` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedParameter {
    pub name: String,
    pub value: Option<String>,
    /// Where it was passed, if in a cell.
    pub place: Option<Span>,
}

impl NamedParameter {
    /// Reads `name=value` or `name`; without a name there is none.
    pub fn parse(text: &str) -> Option<NamedParameter> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (text, None),
        };
        (!name.is_empty()).then(|| NamedParameter { name: name.to_string(), value, place: None })
    }
}

/// What a script says of one parameter.
#[derive(Default)]
struct Expected {
    default: Option<String>,
    description: Option<String>,
    first: Span,
}

/// Checks that the script asks for what was passed, and that it asks for the same default wherever
/// it asks for the same parameter. Macros have to be expanded.
pub fn check(script: &mut Script, passed: &[NamedParameter]) -> Vec<Diagnostic> {
    let mut collector = Collector::default();
    walk_script(&mut collector, script);
    let Collector { expected, mut diagnostics } = collector;
    let unknown: Vec<_> = passed.iter().filter(|parameter| !expected.contains_key(&parameter.name)).collect();
    if let Some(first) = unknown.first() {
        let names: Vec<String> = unknown.iter().map(|parameter| format!("--{}", parameter.name)).collect();
        let message = format!("unexpected program command line options: {}", names.join(", "));
        let place = first.place.unwrap_or(Span::NOWHERE);
        diagnostics.push(Diagnostic::error("unknown-option", place, message).hint(usage(&expected)));
    }
    diagnostics
}

/// The parameters that a script takes, for a hint.
fn usage(expected: &BTreeMap<String, Expected>) -> String {
    let line = |(name, expected): (&String, &Expected)| match &expected.description {
        Some(description) => format!("--{name}: {description}"),
        None => format!("--{name}"),
    };
    let lines: Vec<String> = expected.iter().map(line).collect();
    match lines.as_slice() {
        [] => "the script has no getopt()".to_string(),
        [only] => format!("expected program options: {only}"),
        several => format!("expected program options:\n  {}", several.join("\n  ")),
    }
}

/// Finds the calls of `getopt`.
#[derive(Default)]
struct Collector {
    expected: BTreeMap<String, Expected>,
    diagnostics: Vec<Diagnostic>,
}

impl Visitor for Collector {
    fn expr(&mut self, expr: &mut Expr) {
        if let ExprKind::Call { name, arguments } = &expr.kind
            && name.name == "getopt"
        {
            self.note(arguments, expr.span);
        }
        walk_expr(self, expr);
    }
}

impl Collector {
    fn note(&mut self, arguments: &[TypeOrExpr], span: Span) {
        let text = |index: usize| match arguments.get(index) {
            Some(TypeOrExpr::Expr(Expr { kind: ExprKind::String(text), .. })) => Some(text.clone()),
            _ => None,
        };
        // What is not a literal is refused when the call is lowered.
        let Some(name) = text(0) else { return };
        let default = arguments.get(1).and_then(literal);
        let description = text(2);
        let Some(known) = self.expected.get(&name) else {
            self.expected.insert(name, Expected { default, description, first: span });
            return;
        };
        if known.default != default {
            let message = format!("the option {name} has another default here than elsewhere");
            let diagnostic = Diagnostic::error("option-mismatch", span, message).also(known.first, "first used here");
            self.diagnostics.push(diagnostic.hint("a macro can hold the one getopt() for all"));
        }
        if known.description != description {
            let message = format!("the option {name} has another description here than elsewhere");
            let diagnostic = Diagnostic::error("option-mismatch", span, message).also(known.first, "first used here");
            self.diagnostics.push(diagnostic.hint("a macro can hold the one getopt() for all"));
        }
    }
}

/// A literal as text that tells it from others.
fn literal(argument: &TypeOrExpr) -> Option<String> {
    let TypeOrExpr::Expr(expr) = argument else { return None };
    match &expr.kind {
        ExprKind::Integer(value) => Some(value.to_string()),
        ExprKind::Bool(value) => Some(value.to_string()),
        ExprKind::String(text) => Some(format!("{text:?}")),
        ExprKind::Unary { operator: UnaryOp::Negate, operand } => match operand.kind {
            ExprKind::Integer(value) => Some(format!("-{value}")),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::ast::SourceId;
    use crate::syntax::parse;

    fn ids(text: &str, passed: &[&str]) -> Vec<(&'static str, Option<String>)> {
        let mut script = parse(text, SourceId(0)).unwrap();
        let passed: Vec<_> = passed.iter().filter_map(|text| NamedParameter::parse(text)).collect();
        check(&mut script, &passed).into_iter().map(|found| (found.id, found.hint)).collect()
    }

    #[test]
    fn what_is_passed_must_be_asked_for() {
        let text = "begin { print(getopt(\"aa\", 10, \"how many\")); print(getopt(\"bb\")); }";
        assert_eq!(ids(text, &["aa=1", "bb"]), []);
        let wrong = ids(text, &["cc=1", "aa=2"]);
        let hint = "expected program options:\n  --aa: how many\n  --bb";
        assert_eq!(wrong, [("unknown-option", Some(hint.to_string()))]);
    }

    #[test]
    fn defaults_agree() {
        assert_eq!(ids("begin { getopt(\"a\", 1) + getopt(\"a\", 1); }", &[]), []);
        assert_eq!(ids("begin { getopt(\"a\", 1) + getopt(\"a\", -1); }", &[])[0].0, "option-mismatch");
        assert_eq!(ids("begin { getopt(\"a\", true); getopt(\"a\"); }", &[])[0].0, "option-mismatch");
    }

    #[test]
    fn parameters_are_taken_apart_at_the_first_equals_sign() {
        let parsed = NamedParameter::parse("a=b=c").unwrap();
        assert_eq!((parsed.name.as_str(), parsed.value.as_deref()), ("a", Some("b=c")));
        assert_eq!(NamedParameter::parse("=x"), None);
    }
}
