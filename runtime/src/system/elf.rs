//! Symbols of user binaries, with the file offsets that uprobes want.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use object::read::{Object, ObjectSegment, ObjectSymbol};
use object::{ReadCache, ReadRef, SymbolKind};
use probebook_compiler::kernel_info::{Unavailable, UserBinary, UserSymbol};

/// Where distributions put symbols that were stripped off.
const DEBUG_DIRECTORY: &str = "/usr/lib/debug/.build-id";

/// Binaries that were read, until they change.
#[derive(Default)]
pub struct Binaries {
    known: Mutex<HashMap<PathBuf, Known>>,
}

struct Known {
    modified: SystemTime,
    binary: Arc<UserBinary>,
}

/// A loaded part of a file.
struct Segment {
    address: u64,
    size: u64,
    file_offset: u64,
}

impl Binaries {
    pub fn get(&self, path: &Path) -> Result<Arc<UserBinary>, Unavailable> {
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        let modified = modified.map_err(|error| unreadable(path, &error))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.get(path).filter(|entry| entry.modified == modified) {
            return Ok(Arc::clone(&entry.binary));
        }
        let binary = Arc::new(read(path)?);
        known.insert(path.to_owned(), Known { modified, binary: Arc::clone(&binary) });
        Ok(binary)
    }
}

fn read(path: &Path) -> Result<UserBinary, Unavailable> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let cache = ReadCache::new(file);
    let elf = object::File::parse(&cache).map_err(|error| not_elf(path, &error))?;
    let segments: Vec<Segment> = elf.segments().map(|segment| segment_of(&segment)).collect();
    let mut symbols = Vec::new();
    add_symbols(&elf, &segments, &mut symbols);
    if elf.symbol_table().is_none() {
        elf.build_id().ok().flatten().and_then(debug_file).into_iter().for_each(|path| {
            add_debug_symbols(&path, &segments, &mut symbols);
        });
    }
    symbols.sort_by(|a, b| a.name.cmp(&b.name).then(a.address.cmp(&b.address)).then(b.size.cmp(&a.size)));
    symbols.dedup_by(|a, b| a.name == b.name && a.address == b.address);
    Ok(UserBinary { path: path.to_owned(), symbols })
}

fn segment_of<'data>(segment: &impl ObjectSegment<'data>) -> Segment {
    let (file_offset, size) = segment.file_range();
    Segment { address: segment.address(), size, file_offset }
}

fn add_symbols<'data, R: ReadRef<'data>>(
    elf: &object::File<'data, R>,
    segments: &[Segment],
    symbols: &mut Vec<UserSymbol>,
) {
    for symbol in elf.symbols().chain(elf.dynamic_symbols()) {
        let is_function = symbol.kind() == SymbolKind::Text;
        let is_wanted = symbol.is_definition() && (is_function || symbol.kind() == SymbolKind::Data);
        let Some(name) = symbol.name().ok().filter(|name| is_wanted && !name.is_empty()) else { continue };
        let Some(file_offset) = file_offset(segments, symbol.address()) else { continue };
        symbols.push(UserSymbol {
            name: without_version(name).to_owned(),
            file_offset,
            address: symbol.address(),
            size: symbol.size(),
            is_function,
        });
    }
}

/// A file of symbols alone has the addresses of the binary, but not its contents.
fn add_debug_symbols(path: &Path, segments: &[Segment], symbols: &mut Vec<UserSymbol>) {
    let Ok(file) = File::open(path) else { return };
    let cache = ReadCache::new(file);
    if let Ok(elf) = object::File::parse(&cache) {
        add_symbols(&elf, segments, symbols);
    }
}

fn debug_file(build_id: &[u8]) -> Option<PathBuf> {
    let (first, rest) = build_id.split_first()?;
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(Path::new(DEBUG_DIRECTORY).join(format!("{first:02x}")).join(format!("{rest}.debug")))
}

/// Static symbol tables write versions into names: `memcpy@@GLIBC_2.14`.
fn without_version(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

fn file_offset(segments: &[Segment], address: u64) -> Option<u64> {
    let inside = |segment: &&Segment| address >= segment.address && address - segment.address < segment.size;
    segments.iter().find(inside).map(|segment| address - segment.address + segment.file_offset)
}

fn unreadable(path: &Path, error: &io::Error) -> Unavailable {
    Unavailable { reason: format!("{} cannot be read: {error}", path.display()), remedy: None }
}

fn not_elf(path: &Path, error: &object::Error) -> Unavailable {
    Unavailable { reason: format!("{} is not a program or library: {error}", path.display()), remedy: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[unsafe(no_mangle)]
    #[inline(never)]
    extern "C" fn probebook_elf_test_function() -> u32 {
        7
    }

    #[test]
    fn our_own_functions_lie_where_they_are_in_the_file() {
        assert_eq!(probebook_elf_test_function(), 7);
        let path = std::env::current_exe().unwrap();
        let binaries = Binaries::default();
        let binary = binaries.get(&path).unwrap();
        let symbol = binary.symbols.iter().find(|symbol| symbol.name == "probebook_elf_test_function").unwrap();
        assert!(symbol.is_function && symbol.size > 0);
        // The bytes in the file are those in memory.
        let address = probebook_elf_test_function as extern "C" fn() -> u32 as usize;
        let file = fs::read(&path).unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|line| {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            (usize::from_str_radix(start, 16).unwrap()..usize::from_str_radix(end, 16).unwrap()).contains(&address)
        });
        let words: Vec<&str> = line.unwrap().split(' ').collect();
        let start = usize::from_str_radix(words[0].split_once('-').unwrap().0, 16).unwrap();
        let mapped = u64::from_str_radix(words[2], 16).unwrap();
        assert_eq!(symbol.file_offset, (address - start) as u64 + mapped);
        assert!(symbol.file_offset < file.len() as u64);
        assert!(Arc::ptr_eq(&binary, &binaries.get(&path).unwrap()));
    }

    #[test]
    fn other_files_are_refused() {
        let text = tempfile::NamedTempFile::new().unwrap();
        fs::write(text.path(), "not a program").unwrap();
        let error = Binaries::default().get(text.path()).unwrap_err();
        assert!(error.reason.contains("is not a program"), "{error}");
        assert!(Binaries::default().get(Path::new("/no/such/file")).is_err());
    }

    #[test]
    fn versions_are_no_part_of_names() {
        assert_eq!(without_version("memcpy@@GLIBC_2.14"), "memcpy");
        assert_eq!(without_version("main"), "main");
    }
}
