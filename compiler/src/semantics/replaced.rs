//! What a cell defines anew: from now on the new definition holds, and the cell is told so.

use crate::diagnostics::{Diagnostic, Sources};
use crate::semantics::c_types::CTypes;
use crate::semantics::environment::Declaration;
use crate::semantics::macros;
use crate::syntax::ast::{CDefinition, Ident, Item, Macro, Script, Span, Subprogram};

/// What earlier cells have defined.
pub struct Earlier<'a> {
    pub macros: &'a [Macro],
    pub functions: &'a [Subprogram],
    pub c_types: &'a CTypes,
    pub declarations: &'a [(String, Declaration)],
}

/// A warning for each definition of an earlier cell that this script replaces by another.
pub fn warnings(
    script: &Script,
    earlier: &Earlier,
    c_types: &CTypes,
    declarations: &[(String, Declaration)],
    sources: &Sources,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for item in &script.items {
        match item {
            Item::Macro(one) => {
                let old = earlier.macros.iter().find(|old| macros::same_signature(old, one));
                let old = old.map(|old| (&old.name, old.span));
                found.extend(replaced("macro", (&one.name, one.span), old, sources));
            }
            Item::Subprogram(one) => {
                let old = earlier.functions.iter().find(|old| old.name.name == one.name.name);
                let old = old.map(|old| (&old.name, old.span));
                found.extend(replaced("function", (&one.name, one.span), old, sources));
            }
            Item::MapDeclaration(one) => {
                let of =
                    |list: &[(String, Declaration)]| list.iter().find(|(name, _)| *name == one.map.name).map(|it| it.1);
                if let (Some(old), Some(new)) = (of(earlier.declarations), of(declarations))
                    && old != new
                {
                    found.push(warning(one.span, &format!("@{} was declared otherwise", one.map.name)));
                }
            }
            _ => {}
        }
    }
    for name in c_types.replaced(earlier.c_types) {
        if let Some(span) = place_of(&name, &script.c_definitions) {
            found.push(warning(span, &format!("{name} was defined otherwise")));
        }
    }
    found
}

fn warning(span: Span, what: &str) -> Diagnostic {
    let message = format!("{what} in an earlier cell; this definition replaces it here and in later cells");
    Diagnostic::warning("replaced-definition", span, message)
}

/// A name, and all of its definition.
type Definition<'a> = (&'a Ident, Span);

fn replaced(kind: &str, new: Definition, old: Option<Definition>, sources: &Sources) -> Option<Diagnostic> {
    let (name, span) = new;
    let (old_name, old_span) = old?;
    let text = |span: Span| {
        let text = &sources.get(span.source)?.text;
        text.get(span.start as usize..span.end as usize).map(str::trim_end)
    };
    if text(old_span) == text(span) {
        return None;
    }
    let what = format!("the {kind} {} was defined otherwise", name.name);
    Some(warning(name.span, &what).also(old_name.span, "the earlier definition"))
}

/// The definition that tells of a name: `struct x`, or a word alone. What a header defines is told at
/// the first definition.
fn place_of(name: &str, definitions: &[CDefinition]) -> Option<Span> {
    let word = name.rsplit(' ').next().unwrap_or(name);
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let tells = |definition: &&CDefinition| definition.text.split(|c| !is_word(c)).any(|part| part == word);
    definitions.iter().find(tells).or_else(|| definitions.first()).map(|definition| definition.span)
}
