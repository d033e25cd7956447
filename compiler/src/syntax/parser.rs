//! The one entry: a script's text in, its tree or what is wrong with it out.

use std::thread;

use pest::Parser;

use super::ast::{Expr, Script, SourceId, Span};
use super::builder::Builder;
use super::errors;
use super::grammar::{Rule, ScriptParser};
use crate::diagnostics::Diagnostic;

/// Brackets and conditional operators that may be open at once before parsing moves to a thread
/// with a stack of its own: what fits into the smallest stack a caller is likely to have.
const SHALLOW: usize = 24;

/// Stack of that thread. It is reserved, not used, for anything but hostile input.
const DEEP_STACK_BYTES: usize = 16 << 20;

/// Parses a whole script; spans in the tree and in the diagnostics point into `source`.
///
/// # Errors
///
/// The grammar's first complaint, or everything that is wrong with literals, targets and the
/// order of the sections in a text that the grammar accepts. All are of severity error.
pub fn parse(text: &str, source: SourceId) -> Result<Script, Vec<Diagnostic>> {
    parse_after(text, source, 0)
}

/// Parses a script that becomes a part of another, whose nodes have the numbers below `first_id`.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_after(text: &str, source: SourceId, first_id: u32) -> Result<Script, Vec<Diagnostic>> {
    if text.len() > u32::MAX as usize {
        return Err(vec![errors::too_long(source)]);
    }
    // Some editors begin a file with a byte order mark. With blanks for it places stay what they are.
    let unmarked = text.strip_prefix('\u{feff}').map(|script| format!("   {script}"));
    let text = unmarked.as_deref().unwrap_or(text);
    with_stack_for(text, || {
        let pairs = match ScriptParser::parse(Rule::script, text) {
            Ok(pairs) => pairs,
            Err(error) => return Err(vec![errors::explain(text, source, &error)]),
        };
        Builder::new(text, source, 0, first_id).script(pairs)
    })
}

/// Parses an expression that stands alone, such as what a C macro stands for. `at` is where the text
/// lies. Nodes get numbers from `next_id` on, which is moved behind them. `None`: it is no expression.
pub fn parse_expression(text: &str, at: Span, next_id: &mut u32) -> Option<Expr> {
    let first_id = *next_id;
    let (expression, free) = with_stack_for(text, || {
        let pairs = ScriptParser::parse(Rule::lone_expression, text).ok()?;
        Builder::new(text, at.source, at.start as usize, first_id).lone_expression(pairs)
    })?;
    *next_id = free;
    Some(expression)
}

/// Runs a parse where the stack suffices for its text.
fn with_stack_for<T: Send>(text: &str, parse: impl Fn() -> T + Send + Sync) -> T {
    if nesting_estimate(text) <= SHALLOW {
        return parse();
    }
    thread::scope(|scope| {
        let deep = thread::Builder::new().name("parse".into()).stack_size(DEEP_STACK_BYTES);
        match deep.spawn_scoped(scope, &parse) {
            Ok(handle) => handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // No thread to be had: pest checks the stack that is left and gives up in time.
            Err(_) => parse(),
        }
    })
}

/// How deep the text may nest, counted without regard to strings and comments, so never too low
/// by more than what those hide.
fn nesting_estimate(text: &str) -> usize {
    let (mut depth, mut deepest, mut conditionals) = (0_usize, 0, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'?' => conditionals += 1,
            b';' => conditionals = 0,
            _ => continue,
        }
        deepest = deepest.max(depth + conditionals);
    }
    deepest
}
