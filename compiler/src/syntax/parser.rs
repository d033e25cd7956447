//! The one entry: a script's text in, its tree or what is wrong with it out.

use std::thread;

use pest::Parser;

use super::ast::{Script, SourceId};
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
    if text.len() > u32::MAX as usize {
        return Err(vec![errors::too_long(source)]);
    }
    if nesting_estimate(text) <= SHALLOW {
        return parse_here(text, source);
    }
    thread::scope(|scope| {
        let deep = thread::Builder::new().name("parse".into()).stack_size(DEEP_STACK_BYTES);
        match deep.spawn_scoped(scope, || parse_here(text, source)) {
            Ok(handle) => handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // No thread to be had: pest checks the stack that is left and gives up in time.
            Err(_) => parse_here(text, source),
        }
    })
}

fn parse_here(text: &str, source: SourceId) -> Result<Script, Vec<Diagnostic>> {
    let pairs = match ScriptParser::parse(Rule::script, text) {
        Ok(pairs) => pairs,
        Err(error) => return Err(vec![errors::explain(text, source, &error)]),
    };
    Builder::new(text, source).script(pairs)
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
