//! C macros in scripts: a name that `#define` gave a meaning becomes what it stands for.
//!
//! What a macro stands for is read as an expression of the language, as bpftrace does it; where it is
//! none, as a constant of C. Arguments of macros with parameters are put in as expressions, not as
//! text. Builtins and functions of the language are never replaced.

use std::collections::BTreeMap;

use crate::diagnostics::Diagnostic;
use crate::kernel_info::KernelInfo;
use crate::semantics::c_types::{CTypes, Macro, MacroValue};
use crate::semantics::macros::visit::{self, Visitor};
use crate::stdlib;
use crate::syntax;
use crate::syntax::ast::{Block, Expr, ExprKind, Item, NodeId, Script, Span, TypeOrExpr, UnaryOp};

/// How high a tree may become: as much as the parser allows.
const MOST_HEIGHT: usize = 1000;
/// Expressions that all macros of a script may come to.
const MOST_NODES: usize = 100_000;

/// Expands every C macro in what runs and in the sizes of map declarations.
pub fn expand(script: &mut Script, types: &CTypes, info: &dyn KernelInfo) -> Vec<Diagnostic> {
    if !types.has_macros() {
        return Vec::new();
    }
    let next_id = script.next_id;
    let mut expander = Expander {
        types,
        info,
        next_id,
        active: Vec::new(),
        outermost: Span::default(),
        nodes: 0,
        diagnostics: Vec::new(),
    };
    visit::walk_script(&mut expander, script);
    for item in &mut script.items {
        if let Item::MapDeclaration(declaration) = item
            && let Some(size) = &mut declaration.max_entries
        {
            expander.expr(size);
        }
    }
    script.next_id = expander.next_id;
    expander.diagnostics
}

struct Expander<'a> {
    types: &'a CTypes,
    info: &'a dyn KernelInfo,
    next_id: u32,
    /// The macros that are being replaced, with their parameters; the innermost last.
    active: Vec<(String, Vec<String>)>,
    /// Where the outermost of them is used.
    outermost: Span,
    nodes: usize,
    diagnostics: Vec<Diagnostic>,
}

impl Visitor for Expander<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        visit::walk_expr(self, expr);
        let expanded = match &mut expr.kind {
            ExprKind::Identifier(name) => {
                let name = name.clone();
                self.find(&name, None).and_then(|found| self.value(&name, found, &[], expr.span))
            }
            ExprKind::Call { name, arguments } => {
                let name = name.name.clone();
                let found = self.find(&name, Some(arguments.len()));
                found.and_then(|found| self.value(&name, found, &arguments.clone(), expr.span))
            }
            _ => None,
        };
        if let Some(expanded) = expanded {
            *expr = expanded;
        }
    }
}

impl<'a> Expander<'a> {
    /// The macro that a name with so many arguments means.
    fn find(&self, name: &str, arguments: Option<usize>) -> Option<&'a Macro> {
        let found = self.types.find_macro(name)?;
        let is_parameter = self.active.last().is_some_and(|(_, parameters)| parameters.iter().any(|it| it == name));
        let fits = found.parameters.as_ref().map(Vec::len) == arguments && !found.text.is_empty();
        // Headers define constants of enumerations as themselves.
        let is_itself = found.text == name;
        (fits && !is_itself && !is_parameter && stdlib::find(name).is_none()).then_some(found)
    }

    /// What a macro stands for; `None` if it was reported why it stands for nothing.
    fn value(&mut self, name: &str, found: &Macro, arguments: &[TypeOrExpr], used: Span) -> Option<Expr> {
        if self.active.is_empty() {
            self.outermost = used;
        }
        if self.active.iter().any(|(active, _)| active == name) {
            let chain: Vec<&str> = self.active.iter().map(|(active, _)| active.as_str()).chain([name]).collect();
            let message = format!("the macro {name} is defined by itself: {}", chain.join(" > "));
            return self.refuse("recursive-macro", message, found);
        }
        let Some(mut body) = syntax::parse_expression(&found.text, found.span, &mut self.next_id) else {
            return self.constant(name, found, arguments, used);
        };
        let parameters = found.parameters.clone().unwrap_or_default();
        self.active.push((name.to_owned(), parameters.clone()));
        self.expr(&mut body);
        self.active.pop();
        let passed = parameters.into_iter().zip(arguments.iter().cloned()).collect();
        Substitute { passed, next_id: &mut self.next_id }.expr(&mut body);
        let mut size = Size { nodes: 0, height: 0, highest: 0 };
        size.expr(&mut body);
        self.nodes += size.nodes;
        if size.highest > MOST_HEIGHT || self.nodes > MOST_NODES {
            // Once is enough.
            if self.nodes < usize::MAX / 2 {
                self.nodes = usize::MAX / 2;
                let message = format!("expanding the macro {name} gives too much code");
                return self.refuse("macro-too-large", message, found);
            }
            return None;
        }
        Some(self.placed(body, found, used))
    }

    /// A literal stands where the macro's name is; of something larger both places are told.
    fn placed(&mut self, mut body: Expr, found: &Macro, used: Span) -> Expr {
        // A header's text is not among the sources.
        if is_plain(&body) || found.place.is_some() {
            Place(used).expr(&mut body);
            return body;
        }
        let id = self.id();
        let block = Block { span: found.span, statements: Vec::new(), result: Some(Box::new(body)) };
        Expr { id, span: used, kind: ExprKind::Block(block) }
    }

    fn constant(&mut self, name: &str, found: &Macro, arguments: &[TypeOrExpr], used: Span) -> Option<Expr> {
        let value = arguments.is_empty().then(|| self.types.macro_value(name, self.info)).flatten();
        let kind = match value {
            Some(Ok(MacroValue::Text(text))) => ExprKind::String(text),
            Some(Ok(MacroValue::Integer(value))) => match u64::try_from(value) {
                Ok(value) => ExprKind::Integer(value),
                Err(_) => {
                    let value = u64::try_from(-value).unwrap_or(u64::MAX);
                    let operand = Box::new(Expr { id: self.id(), span: used, kind: ExprKind::Integer(value) });
                    ExprKind::Unary { operator: UnaryOp::Negate, operand }
                }
            },
            // Names of types are macros too, and mean something where types stand.
            Some(Err(_)) if self.types.names_type(name, self.info) => return None,
            _ => {
                let message = format!("unable to expand the macro {name} as an expression: {}", found.text);
                return self.refuse("invalid-macro", message, found);
            }
        };
        Some(Expr { id: self.id(), span: used, kind })
    }

    fn refuse<T>(&mut self, id: &'static str, message: String, found: &Macro) -> Option<T> {
        let diagnostic = Diagnostic::error(id, self.outermost, message);
        self.diagnostics.push(match &found.place {
            Some(place) => diagnostic.label(format!("defined at {place}")),
            None => diagnostic.also(found.span, "it is defined here"),
        });
        None
    }

    fn id(&mut self) -> NodeId {
        let id = NodeId(self.next_id);
        self.next_id += 1;
        id
    }
}

/// Whether an expression is a name or a constant, in which nothing can be wrong but its use.
fn is_plain(expr: &Expr) -> bool {
    use ExprKind::*;
    match &expr.kind {
        Variable(_) | Map { .. } | Identifier(_) | Positional(_) => true,
        _ => is_constant(expr),
    }
}

fn is_constant(expr: &Expr) -> bool {
    use ExprKind::*;
    match &expr.kind {
        Integer(_) | String(_) | Bool(_) | Sizeof(_) => true,
        Unary { operand, .. } | Cast { operand, .. } => is_constant(operand),
        Binary { left, right, .. } => is_constant(left) && is_constant(right),
        _ => false,
    }
}

/// Puts arguments in the place of parameters; each copy gets numbers of its own.
struct Substitute<'a> {
    passed: BTreeMap<String, TypeOrExpr>,
    next_id: &'a mut u32,
}

impl Substitute<'_> {
    fn copy(&mut self, name: &str) -> Option<TypeOrExpr> {
        let mut copy = self.passed.get(name)?.clone();
        visit::walk_type_or_expr(&mut Renumber(self.next_id), &mut copy);
        Some(copy)
    }
}

impl Visitor for Substitute<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        if let ExprKind::Identifier(name) = &expr.kind
            && let Some(TypeOrExpr::Expr(passed)) = self.copy(name)
        {
            *expr = passed;
            return;
        }
        visit::walk_expr(self, expr);
    }

    fn argument(&mut self, argument: &mut TypeOrExpr) {
        if let TypeOrExpr::Expr(Expr { kind: ExprKind::Identifier(name), .. }) = argument
            && let Some(passed) = self.copy(name)
        {
            *argument = passed;
            return;
        }
        visit::walk_type_or_expr(self, argument);
    }
}

struct Renumber<'a>(&'a mut u32);

impl Visitor for Renumber<'_> {
    fn id(&mut self, id: &mut NodeId) {
        *id = NodeId(*self.0);
        *self.0 += 1;
    }
}

/// Gives a whole expression one place.
struct Place(Span);

impl Visitor for Place {
    fn expr(&mut self, expr: &mut Expr) {
        expr.span = self.0;
        visit::walk_expr(self, expr);
    }
}

/// Counts nodes and levels.
struct Size {
    nodes: usize,
    height: usize,
    highest: usize,
}

impl Visitor for Size {
    fn expr(&mut self, expr: &mut Expr) {
        self.nodes += 1;
        self.height += 1;
        self.highest = self.highest.max(self.height);
        visit::walk_expr(self, expr);
        self.height -= 1;
    }
}
