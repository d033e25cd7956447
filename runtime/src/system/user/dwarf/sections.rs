//! Reads the sections of a file that hold debug information. Files are read, never mapped: one that is
//! cut short meanwhile gives an error, not a signal.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use gimli::{EndianArcSlice, RunTimeEndian, SectionId};
use object::read::{Object, ObjectSection};
use object::{CompressionFormat, ReadRef};
use probebook_compiler::kernel_info::Unavailable;

use crate::system::user::file::Binary;

/// A section's bytes, or a part of them.
pub type Bytes = EndianArcSlice<RunTimeEndian>;
pub type Dwarf = gimli::Dwarf<Bytes>;
pub type Package = gimli::DwarfPackage<Bytes>;

/// More than any program has.
const LARGEST: u64 = 8 << 30;
/// zlib cannot make more than 1,032 bytes of one (`https://zlib.net/zlib_tech.html`).
const LARGEST_RATIO: u64 = 1100;

/// The debug information that is in a file itself; `None` if it has none.
pub fn read(path: &Path) -> Result<Option<Dwarf>, Unavailable> {
    let binary = Binary::open(path)?;
    let elf = binary.elf(path)?;
    if !has(&elf, SectionId::DebugInfo.name()) {
        return Ok(None);
    }
    let dwarf = Dwarf::load(|id| section(&elf, id.name())).map_err(|reason| damaged(path, &reason))?;
    Ok(Some(dwarf))
}

/// The other half of split debug information: a `.dwo` file.
pub fn read_split(path: &Path, parent: &Dwarf) -> Option<Dwarf> {
    let binary = Binary::open(path).ok()?;
    let elf = binary.elf(path).ok()?;
    let mut dwarf = Dwarf::load(|id| section(&elf, id.dwo_name().unwrap_or_default())).ok()?;
    dwarf.make_dwo(parent);
    Some(dwarf)
}

/// The other halves of all units together: a `.dwp` file.
pub fn read_package(path: &Path) -> Option<Package> {
    let binary = Binary::open(path).ok()?;
    let elf = binary.elf(path).ok()?;
    let empty = Bytes::new(Arc::default(), endian(&elf));
    Package::load(|id| section(&elf, id.dwo_name().unwrap_or_default()).map_err(|_| gimli::Error::Io), empty).ok()
}

fn has<'data, R: ReadRef<'data>>(elf: &object::File<'data, R>, name: &str) -> bool {
    elf.section_by_name(name).is_some_and(|section| section.size() > 0)
}

fn endian<'data, R: ReadRef<'data>>(elf: &object::File<'data, R>) -> RunTimeEndian {
    if elf.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big }
}

/// A section's bytes, decompressed; none if there is no such section. In a `.dwo` file each type unit has
/// a section of its own, all of one name: references between them are by signature.
fn section<'data, R: ReadRef<'data>>(elf: &object::File<'data, R>, name: &str) -> Result<Bytes, String> {
    let several = elf.sections().filter(|section| section.name() == Ok(name)).skip(1).count() > 0;
    let bytes: Arc<[u8]> = match elf.section_by_name(name).filter(|_| !name.is_empty()) {
        None => Arc::default(),
        Some(section) if !several => contents(&section, name)?.into(),
        Some(_) => {
            let mut all = Vec::new();
            for section in elf.sections().filter(|section| section.name() == Ok(name)) {
                all.extend_from_slice(&contents(&section, name)?);
                if all.len() as u64 > LARGEST {
                    return Err(format!("{name} is larger than any program's"));
                }
            }
            all.into()
        }
    };
    Ok(Bytes::new(bytes, endian(elf)))
}

fn contents<'data>(section: &impl ObjectSection<'data>, name: &str) -> Result<Cow<'data, [u8]>, String> {
    let text = |error: object::Error| format!("{name}: {error}");
    let data = section.compressed_data().map_err(text)?;
    let bound = (data.data.len() as u64).saturating_mul(LARGEST_RATIO).saturating_add(1 << 12);
    if data.uncompressed_size > LARGEST.min(bound) {
        return Err(format!("{name} announces {} bytes, more than it can hold", data.uncompressed_size));
    }
    if data.format == CompressionFormat::Zstandard {
        return Err(format!("{name} is compressed by zstd; `objcopy --decompress-debug-sections` writes it plainly"));
    }
    data.decompress().map_err(text)
}

fn damaged(path: &Path, reason: &str) -> Unavailable {
    Unavailable {
        reason: format!("the debug information of {} cannot be read: {reason}", path.display()),
        remedy: Some("read arguments by number (arg0, arg1, …) instead".into()),
    }
}
