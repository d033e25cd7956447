//! Reads the sections of a file that hold debug information. Files are read, never mapped: one that is
//! cut short meanwhile gives an error, not a signal.

use std::borrow::Cow;
use std::cell::Cell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gimli::{EndianArcSlice, RunTimeEndian, SectionId};
use object::ReadRef;
use object::read::{Object, ObjectSection};
use probebook_compiler::kernel_info::Unavailable;

use crate::system::user::cache::LookedAt;
use crate::system::user::compressed;
use crate::system::user::debug_files::DebugFiles;
use crate::system::user::file::{self, Binary};

/// A section's bytes, or a part of them.
pub type Bytes = EndianArcSlice<RunTimeEndian>;
pub type Dwarf = gimli::Dwarf<Bytes>;
pub type Package = gimli::DwarfPackage<Bytes>;

/// The debug information that is in a file itself, with what it shares with other files; `None` if it has none.
pub fn read(path: &Path, files: &DebugFiles, looked_at: &mut LookedAt) -> Result<Option<Dwarf>, Unavailable> {
    let binary = Binary::open(path)?;
    let elf = binary.elf(path)?;
    let sections = Sections::of(&elf);
    if !has(&elf, SectionId::DebugInfo.name()) {
        return Ok(None);
    }
    let mut dwarf = Dwarf::load(|id| sections.read(id.name())).map_err(|reason| damaged(path, &reason))?;
    if let Some((name, build_id)) = supplement(&elf, &sections) {
        let found = files.supplement(path, &name, &build_id, looked_at).and_then(|file| read_supplement(&file));
        dwarf.set_sup(found.ok_or_else(|| no_supplement(path, &name))?);
    }
    Ok(Some(dwarf))
}

/// Name and build id of the file that has what `dwz` found in several files: in `.gnu_debugaltlink`, or
/// from DWARF 5 on (section 7.3.6) in `.debug_sup`.
fn supplement<'data, R: ReadRef<'data>>(
    elf: &object::File<'data, R>,
    sections: &Sections<'_, 'data, R>,
) -> Option<(PathBuf, Vec<u8>)> {
    let path = |name: &[u8]| PathBuf::from(OsStr::from_bytes(name));
    if let Ok(Some((name, build_id))) = elf.gnu_debugaltlink() {
        return Some((path(name), build_id.to_owned()));
    }
    let section = sections.read(".debug_sup").ok()?;
    // A version of two bytes, and whether this is the supplement itself.
    let (header, rest) = section.bytes().split_at_checked(3)?;
    let name = rest.split(|byte| *byte == 0).next()?;
    let build_id = rest.get(name.len() + 2..)?;
    (header.last() == Some(&0)).then(|| (path(name), build_id.to_owned()))
}

fn read_supplement(path: &Path) -> Option<Dwarf> {
    let binary = Binary::open(path).ok()?;
    let elf = binary.elf(path).ok()?;
    let sections = Sections::of(&elf);
    Dwarf::load(|id| sections.read(id.name())).ok()
}

fn no_supplement(path: &Path, name: &Path) -> Unavailable {
    Unavailable {
        reason: format!(
            "the debug information of {} goes on in {}, which is not there",
            path.display(),
            name.display()
        ),
        remedy: Some("install that file with the debug symbols, or name its folder with --debuginfo".into()),
    }
}

/// The other half of split debug information: a `.dwo` file.
pub fn read_split(path: &Path, parent: &Dwarf) -> Option<Dwarf> {
    let binary = Binary::open(path).ok()?;
    let elf = binary.elf(path).ok()?;
    let sections = Sections::of(&elf);
    let mut dwarf = Dwarf::load(|id| sections.read(id.dwo_name().unwrap_or_default())).ok()?;
    dwarf.make_dwo(parent);
    Some(dwarf)
}

/// The other halves of all units together: a `.dwp` file.
pub fn read_package(path: &Path) -> Option<Package> {
    let binary = Binary::open(path).ok()?;
    let elf = binary.elf(path).ok()?;
    let sections = Sections::of(&elf);
    let empty = Bytes::new(Arc::default(), endian(&elf));
    Package::load(|id| sections.read(id.dwo_name().unwrap_or_default()).map_err(|_| gimli::Error::Io), empty).ok()
}

fn has<'data, R: ReadRef<'data>>(elf: &object::File<'data, R>, name: &str) -> bool {
    elf.section_by_name(name).is_some_and(|section| section.size() > 0)
}

fn endian<'data, R: ReadRef<'data>>(elf: &object::File<'data, R>) -> RunTimeEndian {
    if elf.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big }
}

/// Reads the sections of one file, all of them together not larger than there is room for.
struct Sections<'a, 'data, R: ReadRef<'data>> {
    elf: &'a object::File<'data, R>,
    left: Cell<u64>,
}

impl<'a, 'data, R: ReadRef<'data>> Sections<'a, 'data, R> {
    fn of(elf: &'a object::File<'data, R>) -> Sections<'a, 'data, R> {
        Sections { elf, left: Cell::new(file::room()) }
    }

    /// A section's bytes, decompressed; none if there is no such section. In a `.dwo` file each type unit has
    /// a section of its own, all of one name: references between them are by signature.
    fn read(&self, name: &str) -> Result<Bytes, String> {
        let several = self.elf.sections().filter(|section| section.name() == Ok(name)).skip(1).count() > 0;
        let bytes: Arc<[u8]> = match self.elf.section_by_name(name).filter(|_| !name.is_empty()) {
            None => Arc::default(),
            Some(section) if !several => self.contents(&section)?.into(),
            Some(_) => {
                let mut all = Vec::new();
                for section in self.elf.sections().filter(|section| section.name() == Ok(name)) {
                    all.extend_from_slice(&self.contents(&section)?);
                }
                all.into()
            }
        };
        Ok(Bytes::new(bytes, endian(self.elf)))
    }

    fn contents(&self, section: &impl ObjectSection<'data>) -> Result<Cow<'data, [u8]>, String> {
        let contents = compressed::contents(section, self.left.get())?;
        self.left.set(self.left.get().saturating_sub(contents.len() as u64));
        Ok(contents)
    }
}

fn damaged(path: &Path, reason: &str) -> Unavailable {
    Unavailable {
        reason: format!("the debug information of {} cannot be read: {reason}", path.display()),
        remedy: Some("read arguments by number (arg0, arg1, …) instead".into()),
    }
}
