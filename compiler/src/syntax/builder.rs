//! What the tree builder's files share: node ids, spans, the depth limits and the diagnostics.

use super::ast::{Expr, ExprKind, Ident, NodeId, Script, SourceId, Span};
use super::errors;
use super::grammar::{Pair, Pairs, Rule};
use crate::diagnostics::Diagnostic;

/// Brackets, blocks and conditionals that may be open at once.
pub(super) const MAX_NESTING: usize = 200;

/// Height of the tree. Later passes recurse over it on whatever stack they run on, and so does
/// dropping it; `a + b + c …` is as high as it has operators.
pub(super) const MAX_HEIGHT: usize = 1000;

/// Building ended early; the diagnostic that says why has been recorded.
#[derive(Debug)]
pub(super) struct Halt;

pub(super) type Built<T> = Result<T, Halt>;

/// Turns pest's pairs into the tree. Complaints that leave a sensible tree are only recorded, so
/// that a script's further errors are found as well.
pub(super) struct Builder<'i> {
    pub(super) text: &'i str,
    source: SourceId,
    /// Where the text begins in its source.
    base: usize,
    next_id: u32,
    nesting: usize,
    /// Height of what has been built in the current [`Builder::nested`] or [`Builder::child`].
    height: usize,
    diagnostics: Vec<Diagnostic>,
}

impl<'i> Builder<'i> {
    pub(super) fn new(text: &'i str, source: SourceId, base: usize, next_id: u32) -> Self {
        Self { text, source, base, next_id, nesting: 0, height: 0, diagnostics: Vec::new() }
    }

    /// The tree of a whole parse.
    pub(super) fn script(mut self, pairs: Pairs<'i>) -> Result<Script, Vec<Diagnostic>> {
        let mut script = Script::default();
        let halted = self.items(pairs, &mut script).is_err();
        if halted || !self.diagnostics.is_empty() {
            return Err(self.diagnostics);
        }
        script.next_id = self.next_id;
        Ok(script)
    }

    /// The tree of one expression, and the next free node number.
    pub(super) fn lone_expression(mut self, pairs: Pairs<'i>) -> Option<(Expr, u32)> {
        let whole = pairs.flat_map(parts).next()?;
        let expression = self.expression(whole).ok()?;
        self.diagnostics.is_empty().then_some((expression, self.next_id))
    }

    pub(super) fn complain(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Records why building ends here.
    pub(super) fn halt<T>(&mut self, diagnostic: Diagnostic) -> Built<T> {
        self.complain(diagnostic);
        Err(Halt)
    }

    pub(super) fn id(&mut self) -> NodeId {
        let id = NodeId(self.next_id);
        self.next_id += 1;
        id
    }

    /// A new expression on top of what has been built in the current scope.
    pub(super) fn node(&mut self, span: Span, kind: ExprKind) -> Built<Expr> {
        self.grow(span)?;
        Ok(Expr { id: self.id(), span, kind })
    }

    /// Adds a level to the tree's height.
    pub(super) fn grow(&mut self, span: Span) -> Built<()> {
        self.height += 1;
        if self.height > MAX_HEIGHT {
            return self.halt(errors::too_deep(span));
        }
        Ok(())
    }

    /// Builds a part whose height counts beside, not on top of, what the scope has so far.
    pub(super) fn child<T>(&mut self, build: impl FnOnce(&mut Self) -> Built<T>) -> Built<T> {
        let beside = std::mem::take(&mut self.height);
        let built = build(self);
        self.height = self.height.max(beside);
        built
    }

    /// Builds a part through which the builder may come back to itself.
    pub(super) fn nested<T>(&mut self, span: Span, build: impl FnOnce(&mut Self) -> Built<T>) -> Built<T> {
        if self.nesting >= MAX_NESTING {
            return self.halt(errors::too_deep(span));
        }
        self.nesting += 1;
        let built = self.child(build);
        self.nesting -= 1;
        built
    }

    // ---- pairs ----

    /// Where a pair stands. Exact for atomic rules and for those that end in a bracket; others may
    /// reach over the layout behind them.
    pub(super) fn span(&self, pair: &Pair<'i>) -> Span {
        let span = pair.as_span();
        self.range(span.start(), span.end())
    }

    pub(super) fn range(&self, start: usize, end: usize) -> Span {
        // `parse` refuses texts that 32 bits cannot address.
        let (start, end) = (self.base + start, self.base + end);
        Span { source: self.source, start: start as u32, end: end as u32 }
    }

    /// The next pair, which the grammar promises.
    pub(super) fn next(&mut self, pairs: &mut impl Iterator<Item = Pair<'i>>) -> Built<Pair<'i>> {
        match pairs.next() {
            Some(pair) => Ok(pair),
            None => {
                let end = self.text.len();
                let span = self.range(end, end);
                self.halt(errors::incoherent(span, "something is missing"))
            }
        }
    }

    /// A pair that the grammar does not allow here: a fault of this program.
    pub(super) fn unexpected<T>(&mut self, pair: &Pair<'i>) -> Built<T> {
        let span = self.span(pair);
        let rule = format!("{:?} is out of place", pair.as_rule());
        self.halt(errors::incoherent(span, &rule))
    }

    /// A name without its sigil.
    pub(super) fn ident(&self, pair: &Pair<'i>) -> Ident {
        let text = pair.as_str();
        let name = match pair.as_rule() {
            Rule::variable | Rule::map_name => text.get(1..).unwrap_or_default(),
            _ => text,
        };
        Ident { name: name.to_owned(), span: self.span(pair) }
    }

    /// The next pair as a name.
    pub(super) fn next_ident(&mut self, pairs: &mut impl Iterator<Item = Pair<'i>>) -> Built<Ident> {
        let pair = self.next(pairs)?;
        Ok(self.ident(&pair))
    }
}

/// Whether a rule is a mere mark: a keyword or a piece of punctuation.
pub(super) fn is_mark(rule: Rule) -> bool {
    use Rule::*;
    matches!(
        rule,
        kw_break
            | kw_config
            | kw_continue
            | kw_else
            | kw_fn
            | kw_for
            | kw_if
            | kw_import
            | kw_let
            | kw_macro
            | kw_offsetof
            | kw_return
            | kw_sizeof
            | kw_typedef
            | kw_typeinfo
            | kw_typeof
            | kw_unroll
            | kw_while
            | semicolon
            | slash
            | colon
            | equals
            | close_parenthesis
            | close_bracket
            | close_brace
            | qualifier
            | EOI
            | shebang
    )
}

/// The parts of a pair without keywords and punctuation.
pub(super) fn parts<'i>(pair: Pair<'i>) -> impl Iterator<Item = Pair<'i>> {
    pair.into_inner().filter(|part| !is_mark(part.as_rule()))
}
