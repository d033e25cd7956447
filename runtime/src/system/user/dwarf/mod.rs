//! Debug information (DWARF) of user programs: what functions take, what types look like, where the code
//! of source lines is.
//!
//! It is looked for in the binary, in the file that holds what was stripped off it, and in the `.dwo` and
//! `.dwp` files beside it. Nothing in it is trusted: what makes no sense is not known.

mod c_names;
mod lines;
mod members;
mod names;
mod passing;
mod places;
mod reader;
mod sections;
#[cfg(test)]
mod tests;
mod units;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gimli::{UnitOffset, constants};
use probebook_compiler::kernel_info::Unavailable;
use probebook_compiler::types::{EnumType, StructType, Type};
use probebook_compiler::user_info::{AtEntry, Parameter, UserPrototype};

use super::cache::LookedAt;
use super::debug_files::DebugFiles;
use super::file::Binary;
pub use lines::Line;
use reader::TypeReader;
use units::{Die, Entry, Loaded, Units};

/// The debug information of one binary.
pub struct DebugInfo {
    units: Units,
    /// Types of all units by their names. Made when one is looked for that the unit at hand does not have.
    types: OnceLock<HashMap<String, (usize, TypePlace)>>,
    prototypes: Mutex<HashMap<u64, Option<Arc<UserPrototype>>>>,
}

/// Where a type is, as its unit knows it.
#[derive(Clone, Copy)]
enum TypePlace {
    Here(UnitOffset),
    /// In a unit of its own.
    Signed(u64),
}

impl DebugInfo {
    /// The debug information of a binary, in its own file or in that which `debug_files` finds.
    pub fn open(path: &Path, debug_files: &DebugFiles, looked_at: &mut LookedAt) -> Result<DebugInfo, Unavailable> {
        let mut beside = vec![path.to_owned()];
        let dwarf = match sections::read(path, debug_files, looked_at)? {
            Some(dwarf) => Some(dwarf),
            None => {
                let binary = Binary::open(path)?;
                match debug_files.find(path, &binary.elf(path)?, looked_at) {
                    Some(file) => {
                        beside.push(file.clone());
                        sections::read(&file, debug_files, looked_at)?
                    }
                    None => None,
                }
            }
        };
        let units = dwarf.and_then(|dwarf| Units::read(dwarf, beside)).ok_or_else(|| missing(path))?;
        Ok(DebugInfo { units, types: OnceLock::new(), prototypes: Mutex::default() })
    }

    /// What the function at an address takes and returns.
    pub fn prototype(&self, address: u64) -> Option<Arc<UserPrototype>> {
        let mut known = self.prototypes.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(address).or_insert_with(|| self.read_prototype(address).map(Arc::new)).clone()
    }

    fn read_prototype(&self, address: u64) -> Option<UserPrototype> {
        let unit = self.units.load(self.units.at_address(address)?)?;
        let offset = *unit.names(&self.units).functions.get(&address)?;
        let function = Die { unit, offset };
        let entry = function.entry()?;
        let reader = TypeReader::new(&self.units);
        let mut parameters = Vec::new();
        function.each_child(|child| {
            if child.tag() == constants::DW_TAG_formal_parameter {
                let die = function.at(child.offset());
                let at_entry = places::at_entry(&self.units, &entry, address, &die);
                parameters.push(Parameter { at_entry, ..parameter(&reader, &die) });
            }
            reader.spend(1)
        });
        let result = attribute(&reader, &function, |die, entry| reader.type_of(die, entry));
        let is_called_otherwise = places::is_called_otherwise(&entry);
        Some(UserPrototype { parameters, result: reader.passing(result.as_ref()), is_called_otherwise })
    }

    /// A structure or union; the unit whose code is at `near` is asked first.
    pub fn structure(&self, near: u64, name: &str) -> Option<Arc<StructType>> {
        let reader = TypeReader::new(&self.units);
        if let Some(die) = reader.unnamed(name) {
            return reader.structure(&die, None);
        }
        let die = self.find(near, name)?;
        let (target, _) = reader.resolve(&die);
        // A typedef names a structure that has no name.
        reader.structure(&target, Some(name))
    }

    /// A type whose name stands alone: a typedef, or a class of C++.
    pub fn typedef(&self, near: u64, name: &str) -> Option<Type> {
        let find = |keyword: &str| self.find(near, &format!("{keyword}{name}"));
        let die = find("").or_else(|| find("struct ")).or_else(|| find("union ")).or_else(|| find("enum "))?;
        let ty = TypeReader::new(&self.units).ty(&die);
        (ty != Type::Void).then_some(ty)
    }

    pub fn enumeration(&self, near: u64, name: &str) -> Option<Arc<EnumType>> {
        let die = self.find(near, &format!("enum {name}"))?;
        let entry = die.entry()?;
        Some(Arc::new(TypeReader::new(&self.units).enumeration(&die, &entry)))
    }

    /// The address of the first instruction of a source line.
    pub fn line(&self, line: Line) -> Result<u64, String> {
        lines::address(&self.units, line)
    }

    fn find(&self, near: u64, name: &str) -> Option<Die> {
        let unit = self.units.at_address(near).and_then(|number| self.units.load(number));
        if let Some(found) = unit.and_then(|unit| self.find_in(unit, name)) {
            return Some(found);
        }
        let (unit, place) = *self.types.get_or_init(|| self.all_types()).get(name)?;
        let unit = self.units.load(unit)?;
        match place {
            TypePlace::Here(offset) => Some(Die { unit, offset }),
            TypePlace::Signed(signature) => self.units.by_signature(&unit, signature),
        }
    }

    /// A type of a unit, or of those that it imports.
    fn find_in(&self, unit: Arc<Loaded>, name: &str) -> Option<Die> {
        const MOST: usize = 4096;
        let mut seen = HashSet::from([unit.number]);
        let mut waiting = vec![unit];
        while let Some(unit) = waiting.pop() {
            let names = unit.names(&self.units);
            if let Some(offset) = names.types.get(name).copied() {
                return Some(Die { unit, offset });
            }
            let imported = names.imports.iter().filter_map(|import| self.units.follow(&unit, import.clone()));
            let imported: Vec<Arc<Loaded>> = imported.map(|die| die.unit).collect();
            waiting.extend(imported.into_iter().filter(|unit| seen.len() < MOST && seen.insert(unit.number)));
        }
        None
    }

    /// The first of several types of a name has it.
    fn all_types(&self) -> HashMap<String, (usize, TypePlace)> {
        let mut types: HashMap<String, (usize, TypePlace)> = HashMap::new();
        for number in 0..self.units.count() {
            let Some(unit) = self.units.read_unit(number) else { continue };
            for (name, offset) in &unit.names(&self.units).types {
                if !types.contains_key(name) {
                    types.insert(name.clone(), (number, TypePlace::Here(*offset)));
                }
            }
            if unit.is_split() {
                for (name, signature) in names::of_type_units(unit.dwarf(&self.units)) {
                    types.entry(name).or_insert((number, TypePlace::Signed(signature)));
                }
            }
        }
        types
    }
}

fn parameter(reader: &TypeReader, die: &Die) -> Parameter {
    let name = attribute(reader, die, |die, entry| reader.name(die, entry)).unwrap_or_default();
    let ty = attribute(reader, die, |die, entry| reader.type_of(die, entry));
    Parameter {
        name,
        ty: ty.as_ref().map_or(Type::Void, |ty| reader.ty(ty)),
        c_type: reader.c_name(ty.as_ref()),
        passing: reader.passing(ty.as_ref()),
        at_entry: AtEntry::default(),
    }
}

/// What an entry says, or the one that it was made of: an instance of an inlined function refers to the
/// function, the definition of a method to its declaration.
fn attribute<T>(reader: &TypeReader, die: &Die, read: impl Fn(&Die, &Entry) -> Option<T>) -> Option<T> {
    const LONGEST_CHAIN: usize = 8;
    let mut die = die.clone();
    for _ in 0..LONGEST_CHAIN {
        let entry = die.entry()?;
        if let Some(found) = read(&die, &entry) {
            return Some(found);
        }
        let origin = entry
            .attr_value(constants::DW_AT_abstract_origin)
            .or_else(|| entry.attr_value(constants::DW_AT_specification))?;
        die = reader.units().follow(&die.unit, origin)?;
    }
    None
}

fn missing(path: &Path) -> Unavailable {
    Unavailable {
        reason: format!("no debuginfo found for {}", path.display()),
        remedy: Some(
            "install its debug symbols, name their folder with --debuginfo, or compile it with -g; arg0, arg1, … need none"
                .into(),
        ),
    }
}
