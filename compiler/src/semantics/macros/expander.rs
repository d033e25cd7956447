//! Puts macro bodies in the place of calls.
//!
//! A body is copied with new node ids. Its own variables get names that nobody else can have, its
//! parameters become what was passed; arguments have been expanded before, where they stand, so
//! that nothing in them is taken for the macro's.

use std::collections::HashMap;

use super::names;
use super::table::{Found, Table, ident, mismatch};
use super::visit::{Visitor, walk_block, walk_expr, walk_type_or_expr};
use crate::diagnostics::Diagnostic;
use crate::stdlib;
use crate::syntax::ast::{Block, Expr, ExprKind, Ident, Macro, MacroParameter, NodeId, Span, TypeName, TypeOrExpr};

/// Expressions that all expansions of a script may come to; macros that call macros twice double.
const MOST_NODES: usize = 100_000;

/// How high the tree may become: as much as the parser allows, since later passes recurse over it.
const MOST_HEIGHT: usize = 1000;

/// Goes over what runs and expands calls.
pub struct Expander<'a> {
    table: Table<'a>,
    next_id: u32,
    /// The expansions that are under way, the innermost last.
    frames: Vec<Frame<'a>>,
    expansions: u32,
    nodes: usize,
    height: usize,
    gave_up: bool,
    diagnostics: Vec<Diagnostic>,
}

/// One expansion.
struct Frame<'a> {
    definition: &'a Macro,
    call: Span,
    number: u32,
    /// What parameters stand for, by the parameters' names.
    expressions: HashMap<&'a str, TypeOrExpr>,
    variables: HashMap<&'a str, String>,
    maps: HashMap<&'a str, String>,
}

impl<'a> Expander<'a> {
    pub fn new(table: Table<'a>, next_id: u32) -> Expander<'a> {
        let frames = Vec::new();
        Expander { table, next_id, frames, expansions: 0, nodes: 0, height: 0, gave_up: false, diagnostics: Vec::new() }
    }

    /// The next free node id, and what went wrong.
    pub fn finish(self) -> (u32, Vec<Diagnostic>) {
        (self.next_id, self.diagnostics)
    }

    /// Reports an error once, with the calls that led to its place.
    pub fn report(&mut self, mut diagnostic: Diagnostic) {
        let known = |old: &Diagnostic| old.id == diagnostic.id && old.primary.span == diagnostic.primary.span;
        if self.diagnostics.iter().any(known) {
            return;
        }
        for frame in self.frames.iter().rev() {
            diagnostic = diagnostic.also(frame.call, super::IN_EXPANSION);
        }
        self.diagnostics.push(diagnostic);
    }

    /// What was passed for an expression parameter of the innermost macro.
    pub fn bound(&self, name: &str) -> Option<&TypeOrExpr> {
        self.frames.last()?.expressions.get(name)
    }

    /// A copy of an argument for one more use.
    pub fn copy(&mut self, mut argument: TypeOrExpr) -> TypeOrExpr {
        let mut copier = Copier { expander: self };
        copier.argument(&mut argument);
        argument
    }

    /// In a macro's body every node is new.
    pub fn renumber(&mut self, id: &mut NodeId) {
        if !self.frames.is_empty() {
            *id = NodeId(self.next_id);
            self.next_id += 1;
        }
    }

    /// Counts a node of an expansion; false if there have been too many.
    fn enter(&mut self) -> bool {
        self.height += 1;
        if self.frames.is_empty() || self.gave_up {
            return !self.gave_up;
        }
        self.nodes += 1;
        if self.nodes <= MOST_NODES && self.height <= MOST_HEIGHT {
            return true;
        }
        self.gave_up = true;
        if let Some(outermost) = self.frames.first() {
            let message = format!("expanding the macro {}() gives too much code", outermost.definition.name.name);
            let hint = "a macro repeats an expression parameter wherever it is used: bind it once, let $value = x";
            self.diagnostics.push(Diagnostic::error("macro-too-large", outermost.call, message).hint(hint));
        }
        false
    }

    pub fn expand_expr(&mut self, expr: &mut Expr) {
        if self.enter() {
            match &mut expr.kind {
                ExprKind::Identifier(_) => self.identifier(expr),
                ExprKind::Call { .. } => self.call(expr),
                ExprKind::Offsetof { of, path } => {
                    self.in_type_context(of);
                    self.substitute_path(path);
                    self.renumber(&mut expr.id);
                }
                _ => walk_expr(self, expr),
            }
        }
        self.height -= 1;
    }

    /// A parameter, a macro without arguments, or something that is no macro's business.
    fn identifier(&mut self, expr: &mut Expr) {
        let ExprKind::Identifier(name) = &expr.kind else { return };
        if let Some(bound) = self.bound(name).cloned() {
            match self.copy(bound) {
                TypeOrExpr::Expr(copy) => *expr = copy,
                TypeOrExpr::Type(passed) => {
                    let message = format!("{name} stands for a type, but a value is needed here");
                    let diagnostic = Diagnostic::error("type-as-value", expr.span, message);
                    self.report(diagnostic.also(passed.span, "this was passed"));
                }
            }
            return;
        }
        let name = Ident { name: name.clone(), span: expr.span };
        self.renumber(&mut expr.id);
        self.invoke(expr, &name, &[]);
    }

    fn call(&mut self, expr: &mut Expr) {
        self.renumber(&mut expr.id);
        let ExprKind::Call { name, arguments } = &mut expr.kind else { return };
        for argument in arguments.iter_mut() {
            self.argument(argument);
        }
        let (name, arguments) = (name.clone(), std::mem::take(arguments));
        self.invoke(expr, &name, &arguments);
        if let ExprKind::Call { arguments: kept, .. } = &mut expr.kind {
            *kept = arguments;
        }
    }

    /// Replaces an expression by the body of the macro that is meant, if one is.
    fn invoke(&mut self, expr: &mut Expr, name: &Ident, arguments: &[TypeOrExpr]) {
        let definition = match self.table.find(&name.name, arguments) {
            Found::Nothing => return,
            Found::Macro(definition) => definition,
            // A macro does not hide a function of the same name that takes other arguments.
            Found::Mismatch(_) if stdlib::find(&name.name).is_some() => return,
            Found::Mismatch(nearest) => return self.report(mismatch(nearest, arguments, expr.span)),
        };
        if let Some(start) = self.frames.iter().position(|frame| std::ptr::eq(frame.definition, definition)) {
            let chain = self.frames.iter().skip(start).map(|frame| frame.definition).chain([definition]);
            let chain: Vec<&str> = chain.map(|one| one.name.name.as_str()).collect();
            let message = format!("the macro {} calls itself: {}", name.name, chain.join(" > "));
            return self.report(Diagnostic::error("recursive-macro", expr.span, message));
        }
        let frame = self.frame(definition, arguments, expr.span);
        let mut body = definition.body.clone();
        self.frames.push(frame);
        self.block(&mut body);
        self.frames.pop();
        expr.kind = ExprKind::Block(body);
    }

    fn frame(&mut self, definition: &'a Macro, arguments: &[TypeOrExpr], call: Span) -> Frame<'a> {
        self.expansions += 1;
        let (mut expressions, mut variables, mut maps) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (parameter, argument) in definition.parameters.iter().zip(arguments) {
            let name = ident(parameter).name.as_str();
            match (parameter, argument) {
                (MacroParameter::Variable(_), TypeOrExpr::Expr(Expr { kind: ExprKind::Variable(passed), .. })) => {
                    variables.insert(name, passed.clone());
                }
                (MacroParameter::Map(_), TypeOrExpr::Expr(Expr { kind: ExprKind::Map { name: passed, .. }, .. })) => {
                    maps.insert(name, passed.clone());
                }
                _ => _ = expressions.insert(name, as_value(argument)),
            }
        }
        Frame { definition, call, number: self.expansions, expressions, variables, maps }
    }
}

/// Variables and maps are passed to expression parameters as values: `{ $x }`, which cannot be
/// assigned to.
fn as_value(argument: &TypeOrExpr) -> TypeOrExpr {
    match argument {
        TypeOrExpr::Expr(expr) if matches!(expr.kind, ExprKind::Variable(_) | ExprKind::Map { key: None, .. }) => {
            let block = Block { span: expr.span, statements: Vec::new(), result: Some(Box::new(expr.clone())) };
            TypeOrExpr::Expr(Expr { id: expr.id, span: expr.span, kind: ExprKind::Block(block) })
        }
        other => other.clone(),
    }
}

impl Visitor for Expander<'_> {
    fn id(&mut self, id: &mut NodeId) {
        self.renumber(id);
    }

    fn variable(&mut self, name: &mut String, _: Span) {
        if let Some(frame) = self.frames.last() {
            *name = match frame.variables.get(name.as_str()) {
                Some(passed) => passed.clone(),
                None => names::marked(name, frame.number),
            };
        }
    }

    fn map(&mut self, name: &mut String, _: Span) {
        // A map that was not passed has been reported where the macro is defined.
        if let Some(passed) = self.frames.last().and_then(|frame| frame.maps.get(name.as_str())) {
            name.clone_from(passed);
        }
    }

    fn block(&mut self, block: &mut Block) {
        if self.enter() {
            walk_block(self, block);
        }
        self.height -= 1;
    }

    fn expr(&mut self, expr: &mut Expr) {
        self.expand_expr(expr);
    }

    fn type_name(&mut self, name: &mut TypeName) {
        self.substitute_type(name);
    }

    fn type_or_expr(&mut self, either: &mut TypeOrExpr) {
        self.in_type_context(either);
    }

    /// A parameter that stands for a type is passed on as a type.
    fn argument(&mut self, argument: &mut TypeOrExpr) {
        if let TypeOrExpr::Expr(Expr { kind: ExprKind::Identifier(name), .. }) = argument
            && let Some(bound @ TypeOrExpr::Type(_)) = self.bound(name).cloned()
        {
            *argument = self.copy(bound);
            return;
        }
        walk_type_or_expr(self, argument);
    }
}

/// Gives a copied argument ids of its own, and counts it.
struct Copier<'e, 'a> {
    expander: &'e mut Expander<'a>,
}

impl Visitor for Copier<'_, '_> {
    fn id(&mut self, id: &mut NodeId) {
        self.expander.renumber(id);
    }

    fn expr(&mut self, expr: &mut Expr) {
        if self.expander.enter() {
            walk_expr(self, expr);
        }
        self.expander.height -= 1;
    }

    fn block(&mut self, block: &mut Block) {
        if self.expander.enter() {
            walk_block(self, block);
        }
        self.expander.height -= 1;
    }
}
