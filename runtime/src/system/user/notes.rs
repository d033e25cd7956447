//! Static tracepoints: the notes that `<sys/sdt.h>` leaves in a program
//! (`https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation`).

use std::collections::BTreeMap;
use std::path::Path;

use object::read::{Object, ObjectSection};
use object::{Endianness, ReadRef};
use probebook_compiler::kernel_info::Unavailable;
use probebook_compiler::user_info::{UsdtLocation, UsdtProbe};

use super::binary::{Segment, file_offset, segments};
use super::compressed;
use super::file::{self, Binary};

const SECTION: &str = ".note.stapsdt";
/// Moves with the code when a program is prelinked; notes tell where it was before.
const BASE: &str = ".stapsdt.base";
const OWNER: &[u8] = b"stapsdt\0";
const KIND: u32 = 3;

/// One note.
#[derive(Debug, PartialEq, Eq)]
struct Note {
    address: u64,
    base: u64,
    semaphore: u64,
    provider: String,
    name: String,
    arguments: String,
}

/// How numbers are written in a file.
#[derive(Clone, Copy)]
struct Layout {
    endianness: Endianness,
    /// Bytes of an address.
    word: usize,
}

/// The probes of a binary, sorted by provider and name.
pub fn read(path: &Path) -> Result<Vec<UsdtProbe>, Unavailable> {
    let binary = Binary::open(path)?;
    let elf = binary.elf(path)?;
    file::check_machine(path, &elf)?;
    let segments = segments(&elf, binary.start);
    Ok(probes(&elf, &segments))
}

fn probes<'data, R: ReadRef<'data>>(elf: &object::File<'data, R>, segments: &[Segment]) -> Vec<UsdtProbe> {
    let layout = Layout { endianness: elf.endianness(), word: if elf.is_64() { 8 } else { 4 } };
    let base = elf.section_by_name(BASE).map(|section| section.address());
    let mut found: BTreeMap<(String, String), Vec<UsdtLocation>> = BTreeMap::new();
    for section in elf.sections().filter(|section| section.name() == Ok(SECTION)) {
        let Ok(data) = compressed::contents(&section, file::room()) else { continue };
        for note in notes(&data, layout) {
            let moved = base.map_or(0, |base| base.wrapping_sub(note.base));
            let address = note.address.wrapping_add(moved);
            let Some(place) = file_offset(segments, address) else { continue };
            let semaphore = match note.semaphore {
                0 => 0,
                semaphore => file_offset(segments, semaphore.wrapping_add(moved)).unwrap_or(0),
            };
            let location = UsdtLocation { file_offset: place, address, semaphore, arguments: note.arguments };
            found.entry((note.provider, note.name)).or_default().push(location);
        }
    }
    let probe = |((provider, name), locations)| UsdtProbe { provider, name, locations };
    found.into_iter().map(probe).collect()
}

/// The notes of a section, up to the first that is cut off.
fn notes(data: &[u8], layout: Layout) -> Vec<Note> {
    let mut result = Vec::new();
    let mut rest = data;
    while let Some(raw) = split(rest, layout) {
        if raw.owner == OWNER && raw.kind == KIND {
            result.extend(parse(raw.description, layout));
        }
        rest = raw.behind;
    }
    result
}

/// A note of any kind, and what follows it.
struct Raw<'a> {
    owner: &'a [u8],
    kind: u32,
    description: &'a [u8],
    behind: &'a [u8],
}

fn split(data: &[u8], layout: Layout) -> Option<Raw<'_>> {
    let word = |at: usize| layout.u32(data.get(at..at + 4)?);
    let (owner_size, size, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
    let start = 12usize;
    let owner = data.get(start..start.checked_add(owner_size)?)?;
    let start = start + owner_size.checked_next_multiple_of(4)?;
    let description = data.get(start..start.checked_add(size)?)?;
    let behind = start.checked_add(size.checked_next_multiple_of(4)?)?;
    Some(Raw { owner, kind, description, behind: data.get(behind..).unwrap_or_default() })
}

/// Three addresses and three texts.
fn parse(description: &[u8], layout: Layout) -> Option<Note> {
    let address = |index: usize| layout.address(description.get(index * layout.word..(index + 1) * layout.word)?);
    let mut texts = description.get(3 * layout.word..)?.split(|byte| *byte == 0);
    let mut text = || texts.next().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let (provider, name, arguments) = (text()?, text()?, text().unwrap_or_default());
    let note = Note { address: address(0)?, base: address(1)?, semaphore: address(2)?, provider, name, arguments };
    (!note.name.is_empty()).then_some(note)
}

impl Layout {
    fn u32(self, bytes: &[u8]) -> Option<u32> {
        let bytes = bytes.try_into().ok()?;
        Some(match self.endianness {
            Endianness::Little => u32::from_le_bytes(bytes),
            Endianness::Big => u32::from_be_bytes(bytes),
        })
    }

    fn address(self, bytes: &[u8]) -> Option<u64> {
        if self.word == 4 {
            return self.u32(bytes).map(u64::from);
        }
        let bytes = bytes.try_into().ok()?;
        Some(match self.endianness {
            Endianness::Little => u64::from_le_bytes(bytes),
            Endianness::Big => u64::from_be_bytes(bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout { endianness: Endianness::Little, word: 8 };

    fn note(owner: &[u8], description: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [owner.len() as u32, description.len() as u32, KIND] {
            bytes.extend(word.to_le_bytes());
        }
        for part in [owner, description] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn described(texts: &[u8]) -> Vec<u8> {
        let mut description: Vec<u8> = [0x1234u64, 0x2000, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
        description.extend(texts);
        description
    }

    #[test]
    fn notes_tell_places_and_texts() {
        let mut section = note(b"other\0", b"whatever");
        section.extend(note(OWNER, &described(b"mine\0start\0-4@%eax 8@-8(%rbp)\0")));
        let found = notes(&section, LAYOUT);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].address, found[0].base, found[0].semaphore), (0x1234, 0x2000, 0));
        assert_eq!((found[0].provider.as_str(), found[0].name.as_str()), ("mine", "start"));
        assert_eq!(found[0].arguments, "-4@%eax 8@-8(%rbp)");
    }

    #[test]
    fn damaged_notes_are_left_out() {
        let good = note(OWNER, &described(b"mine\0start\0\0"));
        for length in 0..good.len() - 4 {
            notes(&good[..length], LAYOUT);
        }
        for at in 0..good.len() {
            for value in [0, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                notes(&bad, LAYOUT);
            }
        }
        assert_eq!(notes(&note(OWNER, &described(b"mine\0\0\0")), LAYOUT), []);
        assert_eq!(notes(&note(OWNER, b"short"), LAYOUT), []);
    }
}
