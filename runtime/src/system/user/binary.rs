//! Symbols of user binaries, with the file offsets that uprobes want.

use std::path::Path;

use object::read::{Object, ObjectSegment, ObjectSymbol};
use object::{ReadRef, SymbolKind};
use probebook_compiler::kernel_info::Unavailable;
use probebook_compiler::user_info::{UserBinary, UserSymbol};

use super::cache::LookedAt;
use super::compressed;
use super::debug_files::DebugFiles;
use super::dynamic;
use super::file::{self, Binary};

/// A loaded part of a file.
pub struct Segment {
    address: u64,
    size: u64,
    file_offset: u64,
}

/// The symbols of a binary; those that were stripped off are taken from its debug file, or from the small
/// copy that some distributions leave in the binary itself.
pub fn read(path: &Path, debug_files: &DebugFiles, looked_at: &mut LookedAt) -> Result<UserBinary, Unavailable> {
    let binary = Binary::open(path)?;
    let elf = binary.elf(path)?;
    file::check_machine(path, &elf)?;
    let segments = segments(&elf, binary.start);
    let mut symbols = Vec::new();
    add_symbols(&elf, &segments, &mut symbols);
    if elf.sections().next().is_none() {
        dynamic::add_symbols(&elf, &segments, &mut symbols);
    }
    add_put_aside(path, &elf, &segments, debug_files, looked_at, &mut symbols);
    symbols.sort_by(|a, b| a.name.cmp(&b.name).then(a.address.cmp(&b.address)).then(b.size.cmp(&a.size)));
    symbols.dedup_by(|a, b| a.name == b.name && a.address == b.address);
    let (file, _) = file::split_archive(path);
    Ok(UserBinary { path: path.to_owned(), file, symbols, is_32_bit: !elf.is_64() })
}

/// Only the symbols that were stripped off.
pub fn read_put_aside(
    path: &Path,
    debug_files: &DebugFiles,
    looked_at: &mut LookedAt,
) -> Result<Vec<UserSymbol>, Unavailable> {
    let binary = Binary::open(path)?;
    let elf = binary.elf(path)?;
    let mut symbols = Vec::new();
    add_put_aside(path, &elf, &segments(&elf, binary.start), debug_files, looked_at, &mut symbols);
    symbols.retain(|symbol| symbol.is_function);
    symbols.sort_by_key(|symbol| symbol.file_offset);
    Ok(symbols)
}

fn add_put_aside<'data, R: ReadRef<'data>>(
    path: &Path,
    elf: &object::File<'data, R>,
    segments: &[Segment],
    debug_files: &DebugFiles,
    looked_at: &mut LookedAt,
    symbols: &mut Vec<UserSymbol>,
) {
    if elf.symbol_table().is_some() {
        return;
    }
    match debug_files.find(path, elf, looked_at) {
        Some(debug_file) => add_debug_symbols(&debug_file, segments, symbols),
        None => add_embedded_symbols(elf, segments, symbols),
    }
}

/// The loaded parts of a binary that starts at `start` in its file.
pub fn segments<'data, R: ReadRef<'data>>(elf: &object::File<'data, R>, start: u64) -> Vec<Segment> {
    let segment = |segment: object::read::Segment<'data, '_, R>| {
        let (file_offset, size) = segment.file_range();
        Segment { address: segment.address(), size, file_offset: file_offset.saturating_add(start) }
    };
    elf.segments().map(segment).collect()
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
    let Ok(binary) = Binary::open(path) else { return };
    if let Ok(elf) = binary.elf(path) {
        add_symbols(&elf, segments, symbols);
    }
}

/// `.gnu_debugdata`: an ELF file in the ELF file, of symbols alone, compressed by `xz`
/// (`https://sourceware.org/gdb/current/onlinedocs/gdb.html/MiniDebugInfo.html`).
fn add_embedded_symbols<'data, R: ReadRef<'data>>(
    elf: &object::File<'data, R>,
    segments: &[Segment],
    symbols: &mut Vec<UserSymbol>,
) {
    let Some(section) = elf.section_by_name(".gnu_debugdata") else { return };
    let data = compressed::contents(&section, file::room()).and_then(|data| compressed::xz(&data, file::room()));
    if let Ok(data) = data
        && let Ok(embedded) = object::File::parse(data.as_slice())
    {
        add_symbols(&embedded, segments, symbols);
    }
}

/// Static symbol tables write versions into names: `memcpy@@GLIBC_2.14`.
fn without_version(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// Where in the file a loaded address lies.
pub fn file_offset(segments: &[Segment], address: u64) -> Option<u64> {
    let inside = |segment: &&Segment| address >= segment.address && address - segment.address < segment.size;
    segments.iter().find(inside).map(|segment| (address - segment.address).saturating_add(segment.file_offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[unsafe(no_mangle)]
    #[inline(never)]
    extern "C" fn probebook_elf_test_function() -> u32 {
        7
    }

    #[test]
    fn our_own_functions_lie_where_they_are_in_the_file() {
        assert_eq!(probebook_elf_test_function(), 7);
        let path = std::env::current_exe().unwrap();
        let binary = read(&path, &DebugFiles::default(), &mut LookedAt::new()).unwrap();
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
    }

    #[test]
    fn other_files_are_refused() {
        let text = tempfile::NamedTempFile::new().unwrap();
        fs::write(text.path(), "not a program").unwrap();
        let error = read(text.path(), &DebugFiles::default(), &mut LookedAt::new()).unwrap_err();
        assert!(error.reason.contains("is not a program"), "{error}");
        for path in ["/no/such/file", "/dev/zero", "/"] {
            assert!(read(Path::new(path), &DebugFiles::default(), &mut LookedAt::new()).is_err(), "{path}");
        }
    }

    #[test]
    fn versions_are_no_part_of_names() {
        assert_eq!(without_version("memcpy@@GLIBC_2.14"), "memcpy");
        assert_eq!(without_version("main"), "main");
    }
}
