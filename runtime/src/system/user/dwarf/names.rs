//! What has a name in a unit: types, and functions by their addresses.

use std::collections::HashMap;

use gimli::{UnitOffset, constants};

use super::sections::Dwarf;
use super::units::{self, Entry, Unit, Value};

/// Scopes that are nested deeper are not looked into.
const DEEPEST: usize = 32;

/// A unit's types and functions.
#[derive(Default)]
pub struct Names {
    /// By `struct name`, `union name`, `enum name`, and a typedef's name alone; names in a scope are known
    /// with it and, if no other type has it, without.
    pub types: HashMap<String, UnitOffset>,
    /// Names with their scopes, of types that are in one.
    pub qualified: HashMap<UnitOffset, String>,
    /// Where the code of functions starts.
    pub functions: HashMap<u64, UnitOffset>,
    /// Units whose entries count as this one's own: what `dwz` has found in several.
    pub imports: Vec<Value>,
}

/// Names of the types that have a unit of their own, beside a split one, and their signatures.
pub fn of_type_units(dwarf: &Dwarf) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for header in units::headers(dwarf) {
        let Some((signature, offset)) = units::type_signature(&header) else { continue };
        let Ok(unit) = dwarf.unit(header) else { continue };
        let names = Names::read(dwarf, &unit).types;
        found.extend(names.into_iter().filter(|(_, at)| *at == offset).map(|(name, _)| (name, signature)));
    }
    found
}

/// Where a walk through a unit is.
struct Walk<'a> {
    dwarf: &'a Dwarf,
    unit: &'a Unit,
    /// Depth and name of the scopes around.
    scopes: Vec<(isize, String)>,
    names: Names,
}

impl Names {
    /// One walk through the whole unit; it ends early where the unit is damaged.
    pub fn read(dwarf: &Dwarf, unit: &Unit) -> Names {
        let mut walk = Walk { dwarf, unit, scopes: Vec::new(), names: Names::default() };
        let mut cursor = unit.entries();
        // What is below this depth is skipped.
        let mut skipped: Option<isize> = None;
        while let Ok(true) = cursor.next_entry() {
            let Some(entry) = cursor.current() else { continue };
            let depth = entry.depth();
            if skipped.is_some_and(|skipped| depth > skipped) {
                continue;
            }
            skipped = if walk.enter(entry, depth) { None } else { Some(depth) };
        }
        walk.names
    }
}

impl Walk<'_> {
    /// Takes note of an entry; `false` if what is below it is of no interest.
    fn enter(&mut self, entry: &Entry, depth: isize) -> bool {
        while self.scopes.last().is_some_and(|(outer, _)| *outer >= depth) {
            self.scopes.pop();
        }
        match entry.tag() {
            constants::DW_TAG_compile_unit
            | constants::DW_TAG_partial_unit
            | constants::DW_TAG_type_unit
            | constants::DW_TAG_variant_part
            | constants::DW_TAG_variant => true,
            constants::DW_TAG_namespace | constants::DW_TAG_module => {
                let name = self.name(entry).unwrap_or_else(|| "(anonymous namespace)".to_owned());
                self.open(depth, name)
            }
            constants::DW_TAG_structure_type | constants::DW_TAG_class_type => self.structure(entry, "struct ", depth),
            constants::DW_TAG_union_type => self.structure(entry, "union ", depth),
            constants::DW_TAG_imported_unit => {
                self.names.imports.extend(entry.attr_value(constants::DW_AT_import));
                false
            }
            constants::DW_TAG_enumeration_type => {
                self.add_type(entry, "enum ");
                false
            }
            constants::DW_TAG_typedef | constants::DW_TAG_base_type => {
                self.add_type(entry, "");
                false
            }
            constants::DW_TAG_subprogram => {
                let start = units::ranges(self.dwarf, self.unit, entry, 1).first().map(|(start, _)| *start);
                if let Some(start) = start.filter(|start| *start != 0) {
                    self.names.functions.entry(start).or_insert(entry.offset());
                }
                false
            }
            _ => false,
        }
    }

    fn structure(&mut self, entry: &Entry, keyword: &str, depth: isize) -> bool {
        match self.add_type(entry, keyword) {
            Some(name) => self.open(depth, name),
            None => true,
        }
    }

    fn open(&mut self, depth: isize, name: String) -> bool {
        if self.scopes.len() >= DEEPEST {
            return false;
        }
        let name = self.within(&name);
        self.scopes.push((depth, name));
        true
    }

    /// Returns the entry's own name.
    fn add_type(&mut self, entry: &Entry, keyword: &str) -> Option<String> {
        let name = self.name(entry)?;
        let qualified = self.within(&name);
        if !self.scopes.is_empty() {
            self.names.qualified.insert(entry.offset(), qualified.clone());
        }
        // A declaration says nothing but the name.
        if entry.attr(constants::DW_AT_declaration).is_none() {
            self.names.types.entry(format!("{keyword}{qualified}")).or_insert(entry.offset());
            self.names.types.entry(format!("{keyword}{name}")).or_insert(entry.offset());
        }
        Some(name)
    }

    fn within(&self, name: &str) -> String {
        match self.scopes.last() {
            Some((_, scope)) if scope.len() + name.len() <= units::LONGEST_NAME => format!("{scope}::{name}"),
            _ => name.to_owned(),
        }
    }

    fn name(&self, entry: &Entry) -> Option<String> {
        let value = entry.attr_value(constants::DW_AT_name)?;
        units::text(self.dwarf, self.unit, value).filter(|name| !name.is_empty())
    }
}
