//! Dynamic symbols of programs whose section headers were cut off, by way of what the dynamic linker reads
//! (`https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.dynamic.html`).

use object::elf::{DT_GNU_HASH, DT_HASH, DT_STRSZ, DT_STRTAB, DT_SYMTAB, STT_FUNC, STT_GNU_IFUNC, STT_OBJECT};
use object::read::elf::{Dyn, ElfFile, FileHeader, GnuHashTable, HashTable, ProgramHeader, Sym};
use object::{ReadRef, StringTable};
use probebook_compiler::user_info::UserSymbol;

use super::binary::{Segment, file_offset, segments};

/// Adds them to `symbols`, whose places in the whole file follow from `loaded`.
pub fn add_symbols<'data, R: ReadRef<'data>>(
    elf: &object::File<'data, R>,
    loaded: &[Segment],
    symbols: &mut Vec<UserSymbol>,
) {
    let own = segments(elf, 0);
    let found = match elf {
        object::File::Elf32(file) => read(file, &own, loaded),
        object::File::Elf64(file) => read(file, &own, loaded),
        _ => None,
    };
    symbols.extend(found.unwrap_or_default());
}

fn read<'data, Elf: FileHeader, R: ReadRef<'data>>(
    file: &ElfFile<'data, Elf, R>,
    own: &[Segment],
    loaded: &[Segment],
) -> Option<Vec<UserSymbol>> {
    let (endian, data) = (file.endian(), file.data());
    let dynamic = file.elf_program_headers().iter().find_map(|header| header.dynamic(endian, data).ok().flatten())?;
    let value = |tag: i64| Some(dynamic.iter().find(|entry| entry.d_tag(endian).into() == tag)?.d_val(endian).into());
    let table = |tag: i64| file_offset(own, value(tag)?);
    let count = count::<Elf, R>(endian, data, table(DT_GNU_HASH), table(DT_HASH))?;
    let entries: &[Elf::Sym] = data.read_slice_at(table(DT_SYMTAB)?, usize::try_from(count).ok()?).ok()?;
    let start = table(DT_STRTAB)?;
    let names = StringTable::new(data, start, start.checked_add(value(DT_STRSZ)?)?);
    let symbol = |entry: &Elf::Sym| {
        let is_function = matches!(entry.st_type(), STT_FUNC | STT_GNU_IFUNC);
        (!entry.is_undefined(endian) && (is_function || entry.st_type() == STT_OBJECT)).then_some(())?;
        let name = std::str::from_utf8(entry.name(endian, names).ok()?).ok().filter(|name| !name.is_empty())?;
        let address = entry.st_value(endian).into();
        let file_offset = file_offset(loaded, address)?;
        Some(UserSymbol { name: name.into(), file_offset, address, size: entry.st_size(endian).into(), is_function })
    };
    Some(entries.iter().filter_map(symbol).collect())
}

/// How many symbols there are, which only the hash tables tell; they have no size of their own.
fn count<'data, Elf: FileHeader, R: ReadRef<'data>>(
    endian: Elf::Endian,
    data: R,
    gnu: Option<u64>,
    old: Option<u64>,
) -> Option<u32> {
    let rest = |offset: u64| data.read_bytes_at(offset, data.len().ok()?.checked_sub(offset)?).ok();
    let by_gnu = || GnuHashTable::<Elf>::parse(endian, rest(gnu?)?).ok()?.symbol_table_length(endian);
    let by_old = || HashTable::<Elf>::parse(endian, rest(old?)?).ok().map(|table| table.symbol_table_length());
    by_gnu().or_else(by_old)
}
