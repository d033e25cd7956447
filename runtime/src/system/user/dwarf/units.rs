//! Compilation units: which there are, which code is whose, and the other halves of split ones.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use gimli::{AttributeValue, DebugInfoOffset, Reader, UnitHeader, UnitOffset, UnitType, constants};

use super::names::Names;
use super::sections::{self, Bytes, Dwarf, Package};

pub type Unit = gimli::Unit<Bytes>;
pub type Entry = gimli::DebuggingInformationEntry<Bytes>;
pub type Value = AttributeValue<Bytes>;

/// Damaged files can make reading take for ever; the largest programs take a few seconds.
const LONGEST: Duration = Duration::from_secs(20);
/// More address ranges than any program has.
const MOST_RANGES: usize = 4_000_000;

/// All units of a binary's debug information.
pub struct Units {
    dwarf: Dwarf,
    /// Those of `.debug_info`, by their place, those of `.debug_types`, then those of the supplement's `.debug_info`.
    headers: Vec<UnitHeader<Bytes>>,
    /// Which are of `.debug_info`.
    own: Range<usize>,
    /// Which are of the supplement: what several files have in common.
    shared: Range<usize>,
    ranges: Vec<Covered>,
    /// Type units by their signatures.
    signatures: HashMap<u64, usize>,
    /// Where the other halves of split units are looked for: the binary and its debug file.
    beside: Vec<PathBuf>,
    package: OnceLock<Option<Package>>,
    loaded: Mutex<HashMap<usize, Option<Arc<Loaded>>>>,
}

/// Code of a unit.
struct Covered {
    begin: u64,
    end: u64,
    unit: usize,
}

/// A unit that is read; of a split one, the half with the entries.
pub struct Loaded {
    pub unit: Unit,
    pub number: usize,
    /// Its sections, if they are not those of the binary.
    split: Option<Arc<Dwarf>>,
    names: OnceLock<Names>,
}

/// An entry in a unit.
#[derive(Clone)]
pub struct Die {
    pub unit: Arc<Loaded>,
    pub offset: UnitOffset,
}

impl Units {
    /// Reads what there is; `None` if nothing makes sense, or it takes too long.
    pub fn read(dwarf: Dwarf, beside: Vec<PathBuf>) -> Option<Units> {
        let deadline = Instant::now() + LONGEST;
        let mut units = Units {
            headers: Vec::new(),
            own: 0..0,
            shared: 0..0,
            ranges: Vec::new(),
            signatures: HashMap::new(),
            beside,
            package: OnceLock::new(),
            loaded: Mutex::default(),
            dwarf,
        };
        units.headers = info_headers(&units.dwarf).collect();
        units.own = 0..units.headers.len();
        units.headers = headers(&units.dwarf).collect();
        units.shared = units.headers.len()..units.headers.len();
        if let Some(supplement) = units.dwarf.sup() {
            let shared = info_headers(supplement).collect::<Vec<_>>();
            units.headers.extend(shared);
            units.shared.end = units.headers.len();
        }
        for number in 0..units.shared.start {
            units.index(number);
            if Instant::now() > deadline || units.ranges.len() > MOST_RANGES {
                return None;
            }
        }
        units.ranges.sort_by_key(|range| range.begin);
        (!units.headers.is_empty()).then_some(units)
    }

    fn index(&mut self, number: usize) {
        let Some(header) = self.headers.get(number) else { return };
        if let Some((signature, _)) = type_signature(header) {
            self.signatures.entry(signature).or_insert(number);
            return;
        }
        let Ok(unit) = self.dwarf.unit(header.clone()) else { return };
        let mut cursor = unit.entries();
        if !matches!(cursor.next_entry(), Ok(true)) {
            return;
        }
        let Some(root) = cursor.current() else { return };
        for (begin, end) in ranges(&self.dwarf, &unit, root, MOST_RANGES.saturating_sub(self.ranges.len()) + 1) {
            self.ranges.push(Covered { begin, end, unit: number });
        }
    }

    pub fn dwarf(&self) -> &Dwarf {
        &self.dwarf
    }

    pub fn count(&self) -> usize {
        self.headers.len()
    }

    /// Whether a unit has types and nothing else.
    pub fn is_type(&self, number: usize) -> bool {
        self.shared.contains(&number) || self.headers.get(number).is_some_and(|header| type_signature(header).is_some())
    }

    /// A unit as the binary itself has it: of a split one, the half with source lines.
    pub fn skeleton(&self, number: usize) -> Option<Unit> {
        self.dwarf_of(number).unit(self.headers.get(number)?.clone()).ok()
    }

    /// The sections that a unit is in.
    fn dwarf_of(&self, number: usize) -> &Dwarf {
        self.dwarf.sup().filter(|_| self.shared.contains(&number)).unwrap_or(&self.dwarf)
    }

    /// The unit whose code is at an address.
    pub fn at_address(&self, address: u64) -> Option<usize> {
        let behind = self.ranges.partition_point(|range| range.begin <= address);
        // Ranges hardly ever overlap; where they do, the nearest few are worth a look.
        let near = self.ranges.get(..behind)?.iter().rev().take(64);
        near.filter(|range| address < range.end).map(|range| range.unit).next()
    }

    /// A unit, remembered.
    pub fn load(&self, number: usize) -> Option<Arc<Loaded>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.entry(number).or_insert_with(|| self.read_unit(number).map(Arc::new)).clone()
    }

    /// A unit, not remembered: for a look at all of them.
    pub fn read_unit(&self, number: usize) -> Option<Loaded> {
        let unit = self.skeleton(number)?;
        match self.other_half(&unit) {
            Some((dwarf, unit)) => Some(Loaded { unit, number, split: Some(Arc::new(dwarf)), names: OnceLock::new() }),
            None => Some(Loaded { unit, number, split: None, names: OnceLock::new() }),
        }
    }

    /// The entries of a split unit, from a package or a file of its own.
    fn other_half(&self, skeleton: &Unit) -> Option<(Dwarf, Unit)> {
        let id = skeleton.dwo_id?;
        let name = skeleton.dwo_name().ok()??;
        if let Some(package) = self.package()
            && let Ok(Some(dwarf)) = package.find_cu(id, &self.dwarf)
        {
            return split_unit(dwarf, skeleton);
        }
        let name = self.dwarf.attr_string(skeleton, name).ok()?;
        let name = PathBuf::from(OsStr::from_bytes(&name.to_slice().ok()?));
        let compiled_in = skeleton.comp_dir.as_ref().and_then(|folder| folder.to_slice().ok());
        let compiled_in = compiled_in.map(|folder| PathBuf::from(OsStr::from_bytes(&folder))).unwrap_or_default();
        let mut candidates = vec![compiled_in.join(&name)];
        for file in &self.beside {
            let folder = file.parent().unwrap_or(Path::new("/"));
            candidates.push(folder.join(&name));
            candidates.extend(name.file_name().map(|name| folder.join(name)));
        }
        let halves = candidates.iter().filter_map(|candidate| sections::read_split(candidate, &self.dwarf));
        halves.filter_map(|dwarf| split_unit(dwarf, skeleton)).next()
    }

    fn package(&self) -> Option<&Package> {
        let read = || {
            let mut candidates = self.beside.iter().map(|file| {
                let mut name = file.as_os_str().to_owned();
                name.push(".dwp");
                PathBuf::from(name)
            });
            candidates.find_map(|candidate| sections::read_package(&candidate))
        };
        self.package.get_or_init(read).as_ref()
    }

    /// The entry that an attribute refers to.
    pub fn follow(&self, from: &Arc<Loaded>, value: Value) -> Option<Die> {
        match value {
            AttributeValue::UnitRef(offset) => Some(Die { unit: Arc::clone(from), offset }),
            AttributeValue::DebugInfoRef(offset) if from.split.is_none() => {
                self.at_offset(if self.shared.contains(&from.number) { &self.shared } else { &self.own }, offset)
            }
            AttributeValue::DebugInfoRefSup(offset) => self.at_offset(&self.shared, offset),
            AttributeValue::DebugInfoRef(offset) => {
                let offset = offset.to_unit_offset(&from.unit.header)?;
                Some(Die { unit: Arc::clone(from), offset })
            }
            AttributeValue::DebugTypesRef(signature) => self.by_signature(from, signature.0),
            _ => None,
        }
    }

    /// The entry at a place in the `.debug_info` that these units are of.
    fn at_offset(&self, units: &Range<usize>, offset: DebugInfoOffset) -> Option<Die> {
        let headers = self.headers.get(units.clone())?;
        let behind = headers.partition_point(|header| header.debug_info_offset().is_some_and(|start| start <= offset));
        let number = units.start + behind.checked_sub(1)?;
        let unit = self.load(number)?;
        // A split unit's own entries are elsewhere.
        if unit.split.is_some() {
            return None;
        }
        let offset = offset.to_unit_offset(&unit.unit.header)?;
        Some(Die { unit, offset })
    }

    /// The type that has a signature, as a unit knows it.
    pub fn by_signature(&self, from: &Arc<Loaded>, signature: u64) -> Option<Die> {
        if let Some(dwarf) = &from.split {
            return self.split_type(dwarf, signature);
        }
        let number = *self.signatures.get(&signature)?;
        let (_, offset) = type_signature(self.headers.get(number)?)?;
        Some(Die { unit: self.load(number)?, offset })
    }

    /// A type unit of a `.dwo` file is beside the unit that refers to it; a package has an index.
    fn split_type(&self, dwarf: &Arc<Dwarf>, signature: u64) -> Option<Die> {
        let from_package = self
            .package()
            .and_then(|package| package.find_tu(gimli::DebugTypeSignature(signature), &self.dwarf).ok().flatten())
            .map(Arc::new);
        let found = from_package.as_ref().and_then(|dwarf| type_unit(dwarf, signature));
        let (unit, offset) = found.or_else(|| type_unit(dwarf, signature))?;
        let split = Some(from_package.unwrap_or_else(|| Arc::clone(dwarf)));
        let unit = Loaded { unit, number: usize::MAX, split, names: OnceLock::new() };
        Some(Die { unit: Arc::new(unit), offset })
    }
}

impl Loaded {
    /// The sections that the unit's entries are in.
    pub fn dwarf<'a>(&'a self, units: &'a Units) -> &'a Dwarf {
        self.split.as_deref().unwrap_or_else(|| units.dwarf_of(self.number))
    }

    /// Whether its entries are in another file than its code.
    pub fn is_split(&self) -> bool {
        self.split.is_some()
    }

    /// What has a name in it.
    pub fn names(&self, units: &Units) -> &Names {
        self.names.get_or_init(|| Names::read(self.dwarf(units), &self.unit))
    }

    /// An attribute's text.
    pub fn text(&self, units: &Units, value: Value) -> Option<String> {
        text(self.dwarf(units), &self.unit, value)
    }
}

impl Die {
    pub fn entry(&self) -> Option<Entry> {
        self.unit.unit.entry(self.offset).ok()
    }

    /// Shows each entry directly below to `f` until it returns `false`.
    pub fn each_child(&self, mut f: impl FnMut(&Entry) -> bool) {
        let Ok(mut cursor) = self.unit.unit.entries_at_offset(self.offset) else { return };
        let has_children = matches!(cursor.next_entry(), Ok(true)) && cursor.current().is_some_and(Entry::has_children);
        if !has_children || !matches!(cursor.next_entry(), Ok(true)) {
            return;
        }
        while let Some(child) = cursor.current() {
            if !f(child) || !matches!(cursor.next_sibling(), Ok(Some(_))) {
                return;
            }
        }
    }

    pub fn at(&self, offset: UnitOffset) -> Die {
        Die { unit: Arc::clone(&self.unit), offset }
    }
}

/// Longer names are of no use to anybody, and many of them would fill the memory.
pub const LONGEST_NAME: usize = 1 << 12;

pub fn text(dwarf: &Dwarf, unit: &Unit, value: Value) -> Option<String> {
    let bytes = dwarf.attr_string(unit, value).ok().filter(|bytes| bytes.len() <= LONGEST_NAME)?;
    Some(bytes.to_string_lossy().ok()?.into_owned())
}

/// The address ranges of an entry, at most so many.
pub fn ranges(dwarf: &Dwarf, unit: &Unit, entry: &Entry, most: usize) -> Vec<(u64, u64)> {
    if let Some(list) = entry.attr_value(constants::DW_AT_ranges)
        && let Ok(Some(mut list)) = dwarf.attr_ranges(unit, list)
    {
        let mut found = Vec::new();
        while let Ok(Some(range)) = list.next()
            && found.len() < most
        {
            if range.begin < range.end {
                found.push((range.begin, range.end));
            }
        }
        return found;
    }
    let address = |name| dwarf.attr_address(unit, entry.attr_value(name)?).ok().flatten();
    let Some(begin) = address(constants::DW_AT_low_pc) else { return Vec::new() };
    let end = match entry.attr_value(constants::DW_AT_high_pc) {
        Some(AttributeValue::Udata(size)) => begin.checked_add(size),
        Some(value) => dwarf.attr_address(unit, value).ok().flatten(),
        None => None,
    };
    end.filter(|end| *end > begin).map(|end| (begin, end)).into_iter().collect()
}

/// The half of a unit that belongs to a skeleton.
fn split_unit(dwarf: Dwarf, skeleton: &Unit) -> Option<(Dwarf, Unit)> {
    let mut headers = dwarf.units();
    while let Ok(Some(header)) = headers.next() {
        if type_signature(&header).is_some() {
            continue;
        }
        let Ok(mut unit) = dwarf.unit(header) else { continue };
        if unit.dwo_id == skeleton.dwo_id {
            unit.copy_relocated_attributes(skeleton);
            return Some((dwarf, unit));
        }
    }
    None
}

fn type_unit(dwarf: &Dwarf, signature: u64) -> Option<(Unit, UnitOffset)> {
    let found = |header: UnitHeader<Bytes>| {
        let (_, offset) = type_signature(&header).filter(|(own, _)| *own == signature)?;
        Some((dwarf.unit(header).ok()?, offset))
    };
    headers(dwarf).find_map(found)
}

/// Headers of all units, up to the first that makes no sense.
pub fn headers(dwarf: &Dwarf) -> impl Iterator<Item = UnitHeader<Bytes>> {
    let mut in_types = dwarf.type_units();
    info_headers(dwarf).chain(std::iter::from_fn(move || in_types.next().ok().flatten()))
}

/// Those of `.debug_info`.
fn info_headers(dwarf: &Dwarf) -> impl Iterator<Item = UnitHeader<Bytes>> {
    let mut headers = dwarf.units();
    std::iter::from_fn(move || headers.next().ok().flatten())
}

/// The signature of a type unit, and where in it the type is.
pub fn type_signature(header: &UnitHeader<Bytes>) -> Option<(u64, UnitOffset)> {
    match header.type_() {
        UnitType::Type { type_signature, type_offset } | UnitType::SplitType { type_signature, type_offset } => {
            Some((type_signature.0, type_offset))
        }
        _ => None,
    }
}
