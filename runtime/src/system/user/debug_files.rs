//! Finds the file that holds what was stripped off a program: symbols and debug information.
//!
//! The places are those that debuggers look at
//! (`https://sourceware.org/gdb/current/onlinedocs/gdb.html/Separate-Debug-Files.html`).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use object::ReadRef;
use object::read::Object;

use super::cache::LookedAt;
use super::compressed;
use super::file::Binary;

/// Where distributions put them.
const SYSTEM: &str = "/usr/lib/debug";

/// Where to look.
#[derive(Default)]
pub struct DebugFiles {
    /// Folders that the user named, looked at first.
    directories: Mutex<Vec<PathBuf>>,
}

impl DebugFiles {
    /// Returns whether they are others than before.
    pub fn set_directories(&self, directories: Vec<PathBuf>) -> bool {
        let mut known = self.directories.lock().unwrap_or_else(PoisonError::into_inner);
        let are_new = *known != directories;
        *known = directories;
        are_new
    }

    /// The debug file of a program: by its build id, or by the name that the program gives.
    pub fn find<'data, R: ReadRef<'data>>(
        &self,
        path: &Path,
        elf: &object::File<'data, R>,
        looked_at: &mut LookedAt,
    ) -> Option<PathBuf> {
        let build_id = elf.build_id().ok().flatten();
        let name = elf.gnu_debuglink().ok().flatten().map(|(name, _)| Path::new(OsStr::from_bytes(name)).to_owned());
        let candidates = self.candidates(path, build_id, name.as_deref());
        first(candidates, looked_at, |candidate| is_of(candidate, path, build_id))
    }

    /// The file with what the debug information in `path` shares with that of others, by the name that it
    /// gives: relative to itself, or by its build id.
    pub fn supplement(&self, path: &Path, name: &Path, build_id: &[u8], looked_at: &mut LookedAt) -> Option<PathBuf> {
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut candidates = vec![real.parent().unwrap_or(Path::new("/")).join(name)];
        let named = self.directories.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for root in named.iter().map(PathBuf::as_path).chain([Path::new(SYSTEM)]) {
            candidates.extend(by_build_id(root, build_id));
            candidates
                .extend(name.file_name().into_iter().flat_map(|name| [root.join(name), root.join(".dwz").join(name)]));
        }
        first(candidates, looked_at, |candidate| has_build_id(candidate, build_id))
    }

    fn candidates(&self, path: &Path, build_id: Option<&[u8]>, link: Option<&Path>) -> Vec<PathBuf> {
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let beside = real.parent().unwrap_or(Path::new("/")).to_owned();
        // Without a link, the name that tools give by default.
        let link = link.map_or_else(
            || {
                let mut name = real.file_name().unwrap_or_default().to_owned();
                name.push(".debug");
                PathBuf::from(name)
            },
            |link| link.file_name().unwrap_or_default().into(),
        );
        let named = self.directories.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // A relative folder is looked for from here, and beside the program.
        let named: Vec<PathBuf> =
            named.iter().flat_map(|directory| [directory.clone(), beside.join(directory)]).collect();
        let mut candidates = Vec::new();
        for root in named.iter().map(PathBuf::as_path).chain([Path::new(SYSTEM)]) {
            candidates.extend(build_id.and_then(|id| by_build_id(root, id)));
        }
        candidates.extend(named.iter().map(|directory| directory.join(&link)));
        candidates.push(beside.join(&link));
        candidates.push(beside.join(".debug").join(&link));
        candidates.push(Path::new(SYSTEM).join(beside.strip_prefix("/").unwrap_or(&beside)).join(&link));
        candidates.retain(|candidate| *candidate != real);
        candidates
    }
}

/// `.build-id/ab/cdef….debug`
fn by_build_id(root: &Path, build_id: &[u8]) -> Option<PathBuf> {
    let (first, rest) = build_id.split_first()?;
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(root.join(".build-id").join(format!("{first:02x}")).join(format!("{rest}.debug")))
}

/// The first that is accepted; those that were looked at are noted.
fn first(candidates: Vec<PathBuf>, looked_at: &mut LookedAt, accept: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    candidates.into_iter().find(|candidate| {
        looked_at.push(candidate.clone());
        accept(candidate)
    })
}

/// A supplement says in `.debug_sup` which it is, an older one by a build id like that of programs.
fn has_build_id(candidate: &Path, build_id: &[u8]) -> bool {
    let Ok(binary) = Binary::open(candidate) else { return false };
    let Ok(elf) = binary.elf(candidate) else { return false };
    let said = || elf.section_by_name(".debug_sup").and_then(|section| compressed::contents(&section, 1 << 16).ok());
    match elf.build_id().ok().flatten() {
        Some(own) => own == build_id,
        None => said().is_some_and(|said| !build_id.is_empty() && said.ends_with(build_id)),
    }
}

/// Whether a file is there and was built together with the program.
fn is_of(candidate: &Path, path: &Path, build_id: Option<&[u8]>) -> bool {
    let Ok(binary) = Binary::open(candidate) else { return false };
    let Ok(elf) = binary.elf(candidate) else { return false };
    let own = elf.build_id().ok().flatten();
    let same_build = own.zip(build_id).is_none_or(|(own, wanted)| own == wanted);
    same_build && !same_file(candidate, path)
}

fn same_file(left: &Path, right: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (std::fs::metadata(left), std::fs::metadata(right)) {
        (Ok(left), Ok(right)) => (left.dev(), left.ino()) == (right.dev(), right.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debuggers_places_are_looked_at() {
        let files = DebugFiles::default();
        files.set_directories(vec!["/named".into()]);
        let found = files.candidates(Path::new("/no/program"), Some(&[0xab, 0xcd, 0xef]), None);
        for expected in [
            "/named/.build-id/ab/cdef.debug",
            "/usr/lib/debug/.build-id/ab/cdef.debug",
            "/named/program.debug",
            "/no/program.debug",
            "/no/.debug/program.debug",
            "/usr/lib/debug/no/program.debug",
        ] {
            assert!(found.contains(&PathBuf::from(expected)), "{expected} {found:?}");
        }
        let linked = files.candidates(Path::new("/no/program"), None, Some(Path::new("other.dbg")));
        assert!(linked.contains(&PathBuf::from("/no/.debug/other.dbg")), "{linked:?}");
    }
}
