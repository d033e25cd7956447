//! Builds what stands outside of blocks: C definitions, config, imports, macros, subprograms, map
//! declarations and probes, and checks that they come in the language's order.

use super::ast::{
    CDefinition, CDefinitionKind, Config, ConfigEntry, ConfigValue, Import, Item, Macro, MacroParameter,
    MapDeclaration, Probe, Script, Span, Subprogram,
};
use super::builder::{Builder, Built, parts};
use super::grammar::{Pair, Pairs, Rule};
use crate::diagnostics::Diagnostic;

/// The sections of a script, in the order in which they have to appear.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Section {
    CDefinitions,
    Preamble,
    Main,
}

impl<'i> Builder<'i> {
    /// Everything in a script.
    pub(super) fn items(&mut self, pairs: Pairs<'i>, script: &mut Script) -> Built<()> {
        let mut reached = Section::CDefinitions;
        for item in pairs.flat_map(parts) {
            let section = match item.as_rule() {
                Rule::directive | Rule::c_definition => Section::CDefinitions,
                Rule::config | Rule::root_import => Section::Preamble,
                _ => Section::Main,
            };
            if section < reached {
                self.misplaced(&item, section);
            } else {
                reached = section;
            }
            self.item(item, script)?;
        }
        Ok(())
    }

    fn misplaced(&mut self, item: &Pair<'i>, section: Section) {
        let (what, place) = match (section, item.as_rule()) {
            (Section::CDefinitions, _) => ("C definitions", "config, imports, probes, macros and functions"),
            (_, Rule::config) => ("the config block", "probes, macros and map declarations"),
            _ => ("imports", "probes, macros and map declarations"),
        };
        let span = self.first_word(item);
        let message = format!("{what} must come before {place}");
        let diagnostic = Diagnostic::error("misplaced-definition", span, message)
            .hint("the order is: C definitions; config and imports; everything else");
        self.complain(diagnostic);
    }

    /// An item's keyword: enough to point at.
    fn first_word(&self, item: &Pair<'i>) -> Span {
        let span = item.as_span();
        let length = item.as_str().find(char::is_whitespace).unwrap_or(item.as_str().len());
        self.range(span.start(), span.start() + length)
    }

    fn item(&mut self, item: Pair<'i>, script: &mut Script) -> Built<()> {
        let made = match item.as_rule() {
            Rule::directive => {
                script.c_definitions.push(self.directive(&item));
                return Ok(());
            }
            Rule::c_definition => {
                let definition = self.c_definition(item)?;
                script.c_definitions.push(definition);
                return Ok(());
            }
            Rule::config => return self.config(item, script),
            Rule::root_import => {
                let import = self.import(item)?;
                script.imports.push(import);
                return Ok(());
            }
            Rule::macro_definition => Item::Macro(self.macro_definition(item)?),
            Rule::subprogram => Item::Subprogram(self.subprogram(item)?),
            Rule::map_declaration => Item::MapDeclaration(self.map_declaration(item)?),
            Rule::probe => Item::Probe(self.probe(item)?),
            _ => return self.unexpected(&item),
        };
        script.items.push(made);
        Ok(())
    }

    fn directive(&mut self, pair: &Pair<'i>) -> CDefinition {
        let text = pair.as_str().trim_end();
        let start = pair.as_span().start();
        let name = text.trim_start_matches('#').trim_start();
        let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
        let kind = CDefinitionKind::Preprocessor(name.get(..end).unwrap_or_default().to_owned());
        CDefinition { span: self.range(start, start + text.len()), kind, text: text.to_owned() }
    }

    fn c_definition(&mut self, pair: Pair<'i>) -> Built<CDefinition> {
        let (span, text) = (self.span(&pair), pair.as_str().to_owned());
        let Some(form) = pair.into_inner().next() else {
            return self.halt(super::errors::incoherent(span, "an empty C definition"));
        };
        if form.as_rule() == Rule::c_typedef {
            return Ok(CDefinition { span, kind: CDefinitionKind::Typedef, text });
        }
        let mut inner = form.into_inner();
        let keyword = self.next(&mut inner)?;
        let name = inner.find(|part| part.as_rule() == Rule::word);
        let name = name.map_or_else(String::new, |word| word.as_str().to_owned());
        let kind = match keyword.as_str() {
            "struct" => CDefinitionKind::Struct(name),
            "union" => CDefinitionKind::Union(name),
            _ => CDefinitionKind::Enum(name),
        };
        Ok(CDefinition { span, kind, text })
    }

    fn config(&mut self, pair: Pair<'i>, script: &mut Script) -> Built<()> {
        let span = self.span(&pair);
        let keyword = self.first_word(&pair);
        let mut entries = Vec::new();
        for entry in parts(pair) {
            entries.push(self.config_entry(entry)?);
        }
        if let Some(first) = &script.config {
            let diagnostic = Diagnostic::error("duplicate-config", keyword, "a script has one config block")
                .also(first.span, "the first one is here");
            self.complain(diagnostic);
            return Ok(());
        }
        script.config = Some(Config { span, entries });
        Ok(())
    }

    fn config_entry(&mut self, pair: Pair<'i>) -> Built<ConfigEntry> {
        let mut inner = parts(pair);
        let name = self.next_ident(&mut inner)?;
        let wrapper = self.next(&mut inner)?;
        let value = self.next(&mut wrapper.into_inner())?;
        let value_span = self.span(&value);
        let value = match value.as_rule() {
            Rule::string => ConfigValue::String(self.string(&value)),
            Rule::boolean => ConfigValue::Bool(value.as_str() == "true"),
            Rule::integer => ConfigValue::Integer(self.integer(&value)),
            _ => ConfigValue::Word(value.as_str().to_owned()),
        };
        Ok(ConfigEntry { span: name.span.to(value_span), name, value, value_span })
    }

    fn import(&mut self, pair: Pair<'i>) -> Built<Import> {
        let span = self.span(&pair);
        let path = self.next(&mut parts(pair))?;
        Ok(Import { span, path: self.string(&path) })
    }

    fn macro_definition(&mut self, pair: Pair<'i>) -> Built<Macro> {
        let span = self.span(&pair);
        let mut inner = parts(pair);
        let name = self.next_ident(&mut inner)?;
        let mut part = self.next(&mut inner)?;
        let mut parameters = Vec::new();
        if part.as_rule() == Rule::macro_parameters {
            for parameter in parts(part) {
                let ident = self.ident(&parameter);
                parameters.push(match parameter.as_rule() {
                    Rule::variable => MacroParameter::Variable(ident),
                    Rule::map_name => MacroParameter::Map(ident),
                    _ => MacroParameter::Expression(ident),
                });
            }
            part = self.next(&mut inner)?;
        }
        Ok(Macro { span, name, parameters, body: self.value_block(part)? })
    }

    fn subprogram(&mut self, pair: Pair<'i>) -> Built<Subprogram> {
        let span = self.span(&pair);
        let mut inner = parts(pair);
        let name = self.next_ident(&mut inner)?;
        let mut part = self.next(&mut inner)?;
        let mut parameters = Vec::new();
        while part.as_rule() == Rule::parameter {
            let mut halves = parts(part);
            let ident = self.next_ident(&mut halves)?;
            let type_name = self.next(&mut halves)?;
            parameters.push((ident, self.type_name(type_name)?));
            part = self.next(&mut inner)?;
        }
        let returns = self.type_name(part)?;
        let body = self.next(&mut inner)?;
        Ok(Subprogram { span, name, parameters, returns, body: self.statement_block(body)? })
    }

    fn map_declaration(&mut self, pair: Pair<'i>) -> Built<MapDeclaration> {
        let start = pair.as_span().start();
        let text = pair.as_str().trim_end().trim_end_matches(';');
        // The rule's end may lie behind layout, but the bracket is its last sign.
        let end = text.rfind(')').map_or(text.len(), |at| at + 1);
        let span = self.range(start, start + end);
        let mut inner = parts(pair);
        let map = self.next_ident(&mut inner)?;
        let kind = self.next_ident(&mut inner)?;
        let max_entries = inner.next().map(|size| self.expression(size)).transpose()?;
        Ok(MapDeclaration { span, map, kind, max_entries })
    }

    fn probe(&mut self, pair: Pair<'i>) -> Built<Probe> {
        let span = self.span(&pair);
        let mut inner = parts(pair);
        let mut part = self.next(&mut inner)?;
        let mut attach_points = Vec::new();
        while part.as_rule() == Rule::attach_point {
            attach_points.push(self.attach_point(&part));
            part = self.next(&mut inner)?;
        }
        let mut predicate = None;
        if part.as_rule() == Rule::predicate {
            let expression = self.next(&mut parts(part))?;
            predicate = Some(self.expression(expression)?);
            part = self.next(&mut inner)?;
        }
        Ok(Probe { span, attach_points, predicate, body: self.statement_block(part)? })
    }
}
