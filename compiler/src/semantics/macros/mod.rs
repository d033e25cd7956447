//! Macros: calls are replaced by the macros' bodies before anything is typed.
//!
//! Macros are hygienic. A body sees what was passed to it and the variables it makes itself; its
//! caller sees none of these. An expansion is a block expression whose span is the call and whose
//! block has the span of the macro's body; that is how a diagnostic finds its way back
//! ([`trace_back`]).

mod definitions;
mod expander;
mod names;
mod table;
#[cfg(test)]
mod tests;
mod types;
pub mod visit;

pub use table::same_signature;

use crate::diagnostics::Diagnostic;
use crate::syntax::ast::{Item, Macro, Script, Span};

/// What stands beside a call whose expansion is wrong.
const IN_EXPANSION: &str = "in the expansion of this call";

/// Checks the script's macros and expands every call in what runs. `earlier` are the macros of
/// earlier cells; the script's replace those of the same name and kinds of parameters.
pub fn expand(script: &mut Script, earlier: &[Macro]) -> Vec<Diagnostic> {
    let own = own(script);
    let mut diagnostics = definitions::check(&own);
    let table = table::Table::new(&own, earlier);
    if table.is_empty() {
        return diagnostics;
    }
    let mut expander = expander::Expander::new(table, script.next_id);
    visit::walk_script(&mut expander, script);
    let (next_id, errors) = expander.finish();
    script.next_id = next_id;
    diagnostics.extend(errors);
    diagnostics
}

/// The macros that hold for later cells: the script's, and those of earlier cells that it does not
/// replace.
pub fn defined(script: &Script, earlier: &[Macro]) -> Vec<Macro> {
    let mut macros = own(script);
    for one in earlier {
        if !macros.iter().any(|other| table::same_signature(one, other)) {
            macros.push(one.clone());
        }
    }
    macros
}

fn own(script: &Script) -> Vec<Macro> {
    let own = script.items.iter().filter_map(|item| match item {
        Item::Macro(one) => Some(one.clone()),
        _ => None,
    });
    own.collect()
}

/// Tells diagnostics from inside an expansion which call they come from, and gives the macro's
/// variables back the names that they were written with. Does nothing for other blocks.
pub fn trace_back(diagnostics: &mut [Diagnostic], call: Span, body: Span) {
    if body.is_within(call) {
        return;
    }
    for diagnostic in diagnostics {
        // Of nested expansions the innermost comes first; its call stands in the next one's body.
        let last = diagnostic.secondary.iter().rfind(|label| label.text == IN_EXPANSION);
        let place = last.map_or(diagnostic.primary.span, |label| label.span);
        if place.is_within(body) {
            *diagnostic = diagnostic.clone().also(call, IN_EXPANSION);
        }
        diagnostic.message = names::unmarked(&diagnostic.message);
        diagnostic.hint = diagnostic.hint.take().map(|hint| names::unmarked(&hint));
        for label in std::iter::once(&mut diagnostic.primary).chain(&mut diagnostic.secondary) {
            label.text = names::unmarked(&label.text);
        }
    }
}
