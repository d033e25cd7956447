//! Which macro a call means: by name, number and kinds of arguments.

use crate::diagnostics::Diagnostic;
use crate::syntax::ast::{Expr, ExprKind, Ident, Macro, MacroParameter, Span, TypeOrExpr};

/// The macros that can be called, each signature once.
pub struct Table<'a> {
    macros: Vec<&'a Macro>,
}

/// What a name with arguments means.
pub enum Found<'a> {
    Macro(&'a Macro),
    /// Macros have that name, but none takes these arguments: this one is nearest.
    Mismatch(&'a Macro),
    /// No macro has that name.
    Nothing,
}

impl<'a> Table<'a> {
    /// `own` are the script's; they replace those of earlier cells with the same signature.
    pub fn new(own: &'a [Macro], earlier: &'a [Macro]) -> Table<'a> {
        let mut macros: Vec<&'a Macro> = Vec::new();
        for one in own.iter().chain(earlier) {
            if !macros.iter().any(|other| same_signature(one, other)) {
                macros.push(one);
            }
        }
        Table { macros }
    }

    pub fn is_empty(&self) -> bool {
        self.macros.is_empty()
    }

    /// The most specific macro that takes the arguments: one that asks for a variable or a map
    /// comes before one that takes any expression.
    pub fn find(&self, name: &str, arguments: &[TypeOrExpr]) -> Found<'a> {
        let named = || self.macros.iter().copied().filter(|one| one.name.name == name);
        if let Some(found) = named().filter(|one| misfit(one, arguments) == 0).max_by_key(|one| preciseness(one)) {
            return Found::Macro(found);
        }
        match named().min_by_key(|one| misfit(one, arguments)) {
            Some(nearest) => Found::Mismatch(nearest),
            None => Found::Nothing,
        }
    }
}

/// Whether two macros cannot be told apart by their arguments.
pub fn same_signature(a: &Macro, b: &Macro) -> bool {
    let kinds = |one: &Macro| one.parameters.iter().map(kind).collect::<Vec<_>>();
    a.name.name == b.name.name && kinds(a) == kinds(b)
}

/// The name of a parameter, without its sigil.
pub fn ident(parameter: &MacroParameter) -> &Ident {
    match parameter {
        MacroParameter::Variable(ident) | MacroParameter::Map(ident) | MacroParameter::Expression(ident) => ident,
    }
}

/// What a parameter asks for.
fn kind(parameter: &MacroParameter) -> &'static str {
    match parameter {
        MacroParameter::Variable(_) => "a variable",
        MacroParameter::Map(_) => "a map",
        MacroParameter::Expression(_) => "an expression",
    }
}

/// What an argument is.
fn argument_kind(argument: &TypeOrExpr) -> &'static str {
    match argument {
        TypeOrExpr::Type(_) => "a type",
        TypeOrExpr::Expr(Expr { kind: ExprKind::Variable(_), .. }) => "a variable",
        TypeOrExpr::Expr(Expr { kind: ExprKind::Map { key: None, .. }, .. }) => "a map",
        TypeOrExpr::Expr(_) => "an expression",
    }
}

fn fits(parameter: &MacroParameter, argument: &TypeOrExpr) -> bool {
    matches!(parameter, MacroParameter::Expression(_)) || kind(parameter) == argument_kind(argument)
}

/// How far a macro is from taking the arguments; a wrong number weighs more than wrong kinds.
fn misfit(one: &Macro, arguments: &[TypeOrExpr]) -> usize {
    let missing = one.parameters.len().abs_diff(arguments.len());
    let wrong = one.parameters.iter().zip(arguments).filter(|(parameter, argument)| !fits(parameter, argument));
    missing * 1000 + wrong.count()
}

/// Parameters that ask for something particular, the first ones counting most.
fn preciseness(one: &Macro) -> Vec<bool> {
    one.parameters.iter().map(|parameter| !matches!(parameter, MacroParameter::Expression(_))).collect()
}

/// Says why the nearest macro does not take the arguments.
pub fn mismatch(nearest: &Macro, arguments: &[TypeOrExpr], call: Span) -> Diagnostic {
    let name = &nearest.name.name;
    let (takes, given) = (nearest.parameters.len(), arguments.len());
    if takes != given {
        let plural = if takes == 1 { "argument" } else { "arguments" };
        let message = format!("the macro {name}() takes {takes} {plural}, not {given}");
        return Diagnostic::error("wrong-argument-count", call, message).also(nearest.name.span, "it is defined here");
    }
    let mut pairs = nearest.parameters.iter().zip(arguments);
    let Some((parameter, argument)) = pairs.find(|(parameter, argument)| !fits(parameter, argument)) else {
        return Diagnostic::error("wrong-macro-argument", call, format!("{name}() does not take these arguments"));
    };
    let (wanted, has) = (kind(parameter), argument_kind(argument));
    let span = match argument {
        TypeOrExpr::Type(name) => name.span,
        TypeOrExpr::Expr(expr) => expr.span,
    };
    let message = format!("the macro {name}() expects {wanted} here, not {has}");
    Diagnostic::error("wrong-macro-argument", span, message).also(ident(parameter).span, "for this parameter")
}
