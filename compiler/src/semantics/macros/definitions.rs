//! Checks of a macro's definition: its parameters, and that it touches only what it was given.

use std::collections::HashSet;

use super::table::{ident, same_signature};
use super::visit::{Visitor, walk_statement};
use crate::diagnostics::Diagnostic;
use crate::syntax::ast::{Expr, ExprKind, Macro, MacroParameter, Span, Stmt, StmtKind};

/// Values whose names the grammar keeps; a parameter of that name could never be seen.
const RESERVED: [&str; 7] = ["args", "ctx", "kstack", "nsecs", "pid", "tid", "ustack"];

/// What is wrong with the macros that a script defines, called or not.
pub fn check(macros: &[Macro]) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for (index, one) in macros.iter().enumerate() {
        if let Some(first) = macros.iter().take(index).find(|other| same_signature(one, other)) {
            let message = format!("the macro {} is defined twice with the same kinds of parameters", one.name.name);
            let diagnostic = Diagnostic::error("macro-redefined", one.name.span, message);
            diagnostics.push(diagnostic.also(first.name.span, "first defined here"));
        }
        parameters(one, &mut diagnostics);
        hygiene(one, &mut diagnostics);
    }
    diagnostics
}

fn parameters(one: &Macro, diagnostics: &mut Vec<Diagnostic>) {
    for (index, parameter) in one.parameters.iter().enumerate() {
        let name = ident(parameter);
        let twin = |other: &&MacroParameter| {
            std::mem::discriminant(*other) == std::mem::discriminant(parameter) && ident(other).name == name.name
        };
        if let Some(first) = one.parameters.iter().take(index).find(twin) {
            let message = format!("two parameters are called {}{}", sigil(parameter), name.name);
            let diagnostic = Diagnostic::error("duplicate-macro-parameter", name.span, message);
            diagnostics.push(diagnostic.also(ident(first).span, "the first one is here"));
        }
        if matches!(parameter, MacroParameter::Expression(_)) && is_reserved(&name.name) {
            let message = format!("{} is a builtin and cannot be a parameter", name.name);
            diagnostics.push(Diagnostic::error("invalid-macro-parameter", name.span, message));
        }
    }
}

fn sigil(parameter: &MacroParameter) -> &'static str {
    match parameter {
        MacroParameter::Variable(_) => "$",
        MacroParameter::Map(_) => "@",
        MacroParameter::Expression(_) => "",
    }
}

fn is_reserved(name: &str) -> bool {
    let digits = name.strip_prefix('s').unwrap_or(name).strip_prefix("arg");
    RESERVED.contains(&name)
        || name.starts_with("__builtin_")
        || digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Maps and variables that the body uses must be its own or have been passed.
fn hygiene(one: &Macro, diagnostics: &mut Vec<Diagnostic>) {
    let mut body = one.body.clone();
    let mut declared = Declared { own: HashSet::new(), parameters: HashSet::new(), shadows: Vec::new() };
    let mut maps = HashSet::new();
    for parameter in &one.parameters {
        match parameter {
            MacroParameter::Variable(name) => _ = declared.parameters.insert(name.name.clone()),
            MacroParameter::Map(name) => _ = maps.insert(name.name.clone()),
            MacroParameter::Expression(_) => {}
        }
    }
    declared.block(&mut body);
    for (name, span) in std::mem::take(&mut declared.shadows) {
        let message = format!("${name} is a parameter of this macro and cannot be declared again");
        diagnostics.push(Diagnostic::error("shadowed-macro-parameter", span, message));
    }
    declared.own.extend(declared.parameters);
    let mut foreign = Foreign { variables: declared.own, maps, name: &one.name.name, diagnostics };
    foreign.block(&mut body);
}

/// Collects the variables that a body declares or assigns.
struct Declared {
    own: HashSet<String>,
    parameters: HashSet<String>,
    /// Parameters that are declared again.
    shadows: Vec<(String, Span)>,
}

impl Visitor for Declared {
    fn statement(&mut self, statement: &mut Stmt) {
        match &statement.kind {
            StmtKind::Let { variable, .. } | StmtKind::For { variable, .. } => {
                if self.parameters.contains(&variable.name) {
                    self.shadows.push((variable.name.clone(), variable.span));
                }
                self.own.insert(variable.name.clone());
            }
            StmtKind::Assign { target: Expr { kind: ExprKind::Variable(name), .. }, operator: None, .. } => {
                self.own.insert(name.clone());
            }
            _ => {}
        }
        walk_statement(self, statement);
    }
}

/// Reports what is neither the body's own nor passed, each name once.
struct Foreign<'a> {
    variables: HashSet<String>,
    maps: HashSet<String>,
    name: &'a str,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Foreign<'_> {
    fn report(&mut self, shown: &str, span: Span) {
        let message = format!("the macro {} uses {shown}, which was not passed to it", self.name);
        let hint = format!("give the macro a parameter for it: macro {}({shown}) {{ … }}", self.name);
        self.diagnostics.push(Diagnostic::error("unhygienic-macro", span, message).hint(hint));
    }
}

impl Visitor for Foreign<'_> {
    fn variable(&mut self, name: &mut String, span: Span) {
        if self.variables.insert(name.clone()) {
            self.report(&format!("${name}"), span);
        }
    }

    fn map(&mut self, name: &mut String, span: Span) {
        if self.maps.insert(name.clone()) {
            self.report(&format!("@{name}"), span);
        }
    }
}
