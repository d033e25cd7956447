//! The kernel's symbols, from `/proc/kallsyms`.

use std::fs;
use std::ops::Range;
use std::sync::OnceLock;

/// All symbols of the kernel, its modules and BPF programs, by address and by name.
#[derive(Debug, Default)]
pub struct Kallsyms {
    /// Names, with their modules behind them; symbols refer to it.
    text: String,
    /// Sorted by address.
    symbols: Vec<Entry>,
    /// Indices into `symbols`, sorted by name; made when a name is first looked up.
    by_name: OnceLock<Vec<u32>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    address: u64,
    /// Where the name starts in the text; 121,000 symbols take 3 MB of text.
    name: u32,
    name_length: u16,
    /// Length of the module's name, which lies two bytes (`\t[`) behind the symbol's.
    module_length: u16,
    kind: u8,
}

/// A symbol and how far behind its start an address lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelSymbol<'a> {
    pub name: &'a str,
    /// Empty for the kernel proper.
    pub module: &'a str,
    pub address: u64,
    pub offset: u64,
    /// As `nm` says it: `T` and `t` are functions.
    pub kind: char,
}

impl Kallsyms {
    /// Reads the file. Without privilege all addresses are zero, and nothing is known.
    pub fn read() -> Kallsyms {
        Kallsyms::parse(&fs::read_to_string("/proc/kallsyms").unwrap_or_default())
    }

    fn parse(file: &str) -> Kallsyms {
        let mut symbols: Vec<Entry> = Vec::with_capacity(file.len() / 44);
        let mut text = String::with_capacity(file.len());
        symbols.extend(file.lines().filter_map(|line| parse_line(line, &mut text)));
        symbols.sort_by_key(|entry| entry.address);
        symbols.shrink_to_fit();
        text.shrink_to_fit();
        Kallsyms { text, symbols, by_name: OnceLock::new() }
    }

    fn by_name(&self) -> &[u32] {
        self.by_name.get_or_init(|| {
            let mut indices: Vec<u32> = (0..self.symbols.len()).filter_map(|index| index.try_into().ok()).collect();
            indices.sort_by_key(|index| self.name_at(*index));
            indices
        })
    }

    /// The symbol that an address lies in.
    pub fn lookup(&self, address: u64) -> Option<KernelSymbol<'_>> {
        let end = self.symbols.partition_point(|entry| entry.address <= address);
        let last = self.symbols.get(end.checked_sub(1)?)?;
        // Of several names for one place, the first in the file.
        let first = self.symbols.partition_point(|entry| entry.address < last.address);
        self.symbol(self.symbols.get(first)?, address)
    }

    /// The address of a symbol, the first one of that name.
    pub fn address(&self, name: &str) -> Option<u64> {
        let first = self.by_name().partition_point(|index| self.name_at(*index) < name);
        let index = *self.by_name().get(first)?;
        (self.name_at(index) == name).then_some(())?;
        self.symbols.get(index as usize).map(|entry| entry.address)
    }

    /// The addresses of all symbols of a name; in one module only, if it is given.
    pub fn addresses(&self, name: &str, module: Option<&str>) -> Vec<u64> {
        let first = self.by_name().partition_point(|index| self.name_at(*index) < name);
        let same = self.by_name().iter().skip(first).take_while(|index| self.name_at(**index) == name);
        let entries = same.filter_map(|index| self.symbols.get(*index as usize));
        let is_there = |entry: &&Entry| module.is_none_or(|module| self.text.get(entry.module_range()) == Some(module));
        entries.filter(is_there).map(|entry| entry.address).collect()
    }

    /// All symbols, by name.
    pub fn iter(&self) -> impl Iterator<Item = KernelSymbol<'_>> {
        self.by_name().iter().filter_map(|index| {
            let entry = self.symbols.get(*index as usize)?;
            self.symbol(entry, entry.address)
        })
    }

    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    fn symbol(&self, entry: &Entry, address: u64) -> Option<KernelSymbol<'_>> {
        Some(KernelSymbol {
            name: self.text.get(entry.name_range())?,
            module: self.text.get(entry.module_range())?,
            address: entry.address,
            offset: address - entry.address,
            kind: entry.kind.into(),
        })
    }

    fn name_at(&self, index: u32) -> &str {
        let entry = self.symbols.get(index as usize);
        entry.and_then(|entry| self.text.get(entry.name_range())).unwrap_or_default()
    }
}

impl Entry {
    fn name_range(&self) -> Range<usize> {
        let start = self.name as usize;
        start..start + self.name_length as usize
    }

    fn module_range(&self) -> Range<usize> {
        let start = self.name as usize + self.name_length as usize + if self.module_length > 0 { 2 } else { 0 };
        start..start + self.module_length as usize
    }
}

/// `ffffffff81000000 T _stext` or `ffffffffc0001000 t init\t[module]`; the name is added to `text`.
fn parse_line(line: &str, text: &mut String) -> Option<Entry> {
    let (address, rest) = line.split_once(' ')?;
    let (kind, rest) = rest.split_once(' ')?;
    let (name, module) = rest.split_once('\t').unwrap_or((rest, ""));
    let address = u64::from_str_radix(address, 16).ok().filter(|address| *address != 0)?;
    let module = module.trim_start_matches('[').trim_end_matches(']');
    let entry = Entry {
        address,
        name: u32::try_from(text.len()).ok()?,
        name_length: u16::try_from(name.len()).ok()?,
        module_length: u16::try_from(module.len()).ok()?,
        kind: *kind.as_bytes().first()?,
    };
    text.push_str(rest);
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ffffffff81000100 T vfs_read\nffffffff81000000 T _stext\n\
        ffffffff81000100 t alias\nffffffffc0001000 t init\t[module]\n0000000000000000 A hidden\n\
        ffffffff81000200 t twice\nffffffffc0001100 t twice\t[module]\n";

    #[test]
    fn an_address_lies_in_the_symbol_before_it() {
        let kallsyms = Kallsyms::parse(TEXT);
        let found = kallsyms.lookup(0xffff_ffff_8100_0105).unwrap();
        assert_eq!((found.name, found.offset, found.module), ("vfs_read", 5, ""));
        let found = kallsyms.lookup(0xffff_ffff_c000_1000).unwrap();
        assert_eq!((found.name, found.offset, found.module), ("init", 0, "module"));
        assert!(kallsyms.lookup(0x1000).is_none());
    }

    #[test]
    fn symbols_are_found_by_name() {
        let kallsyms = Kallsyms::parse(TEXT);
        assert_eq!(kallsyms.address("init"), Some(0xffff_ffff_c000_1000));
        assert_eq!(kallsyms.address("hidden"), None);
        assert_eq!(kallsyms.addresses("twice", None), [0xffff_ffff_8100_0200, 0xffff_ffff_c000_1100]);
        assert_eq!(kallsyms.addresses("twice", Some("module")), [0xffff_ffff_c000_1100]);
        assert_eq!(kallsyms.addresses("hidden", None), [0; 0]);
        let names: Vec<&str> = kallsyms.iter().map(|symbol| symbol.name).collect();
        assert_eq!(names, ["_stext", "alias", "init", "twice", "twice", "vfs_read"]);
    }
}
