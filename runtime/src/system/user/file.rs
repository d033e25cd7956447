//! Opens programs and libraries, also those that lie in an archive, without trusting them.
//!
//! Files are read, never mapped: one that is cut short meanwhile gives an error, not a signal.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use object::read::Object;
use object::{Architecture, ReadCache, ReadCacheRange, ReadRef};
use probebook_compiler::kernel_info::Unavailable;

use super::archive;
use crate::system::memory::total_memory;

/// Between an archive and the path of a file in it.
const IN_ARCHIVE: &str = "!/";

/// An open file, and which part of it is of interest.
pub struct Binary {
    cache: ReadCache<File>,
    /// Where the part starts: 0 unless it is in an archive.
    pub start: u64,
    size: u64,
}

impl Binary {
    /// Opens a regular file, or `archive.zip!/path`.
    pub fn open(path: &Path) -> Result<Binary, Unavailable> {
        let (file, inner) = split_archive(path);
        let metadata = fs::metadata(&file).map_err(|error| unreadable(path, &error))?;
        // Reading from a pipe or a device could take for ever.
        if !metadata.is_file() {
            return Err(not_a_program(path, "it is no regular file"));
        }
        let opened = File::open(&file).map_err(|error| unreadable(path, &error))?;
        let cache = ReadCache::new(opened);
        let (start, size) = match inner {
            None => (0, metadata.len()),
            Some(inner) => archive::find(&cache, &inner).map_err(|reason| not_a_program(path, &reason))?,
        };
        Ok(Binary { cache, start, size })
    }

    pub fn elf(&self, path: &Path) -> Result<object::File<'_, Bounded<'_>>, Unavailable> {
        let range = self.cache.range(self.start, self.size);
        object::File::parse(Bounded(range)).map_err(|error| not_a_program(path, &error.to_string()))
    }

    /// Bytes at an offset into the whole file; fewer at its end.
    pub fn bytes(&self, offset: u64, length: u64) -> Option<&[u8]> {
        let end = self.start.checked_add(self.size)?;
        let length = length.min(end.checked_sub(offset)?);
        (&self.cache).read_bytes_at(offset, length).ok()
    }
}

/// Files may have holes, and then announce tables that are larger than any memory. 4 GiB are more than any
/// program's tables, and where there is less memory, no more than a quarter of it is taken.
pub fn room() -> u64 {
    static ROOM: OnceLock<u64> = OnceLock::new();
    *ROOM.get_or_init(|| total_memory().map_or(1 << 30, |memory| memory / 4).min(4 << 30))
}

/// A file's part of interest, of which nothing is read that there is no room for.
#[derive(Clone, Copy)]
pub struct Bounded<'a>(ReadCacheRange<'a, File>);

impl<'a> ReadRef<'a> for Bounded<'a> {
    fn len(self) -> Result<u64, ()> {
        self.0.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        if size > room() { Err(()) } else { self.0.read_bytes_at(offset, size) }
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        self.0.read_bytes_at_until(range, delimiter)
    }
}

/// The file to open, and the path within it if it is an archive.
pub fn split_archive(path: &Path) -> (PathBuf, Option<String>) {
    match path.to_str().and_then(|text| text.split_once(IN_ARCHIVE)) {
        Some((file, inner)) => (file.into(), Some(inner.to_owned())),
        None => (path.to_owned(), None),
    }
}

pub fn unreadable(path: &Path, error: &io::Error) -> Unavailable {
    Unavailable { reason: format!("{} cannot be read: {}", path.display(), crate::text::reason(error)), remedy: None }
}

/// Refuses programs that this machine's kernel runs in no mode: nothing would ever fire.
pub fn check_machine<'data, R: ReadRef<'data>>(path: &Path, elf: &object::File<'data, R>) -> Result<(), Unavailable> {
    let runs: &[Architecture] = if cfg!(target_arch = "aarch64") {
        &[Architecture::Aarch64, Architecture::Arm]
    } else {
        &[Architecture::X86_64, Architecture::X86_64_X32, Architecture::I386]
    };
    let machine = elf.architecture();
    if runs.contains(&machine) {
        return Ok(());
    }
    let name = match machine {
        Architecture::Unknown => "another kind of machine".to_owned(),
        known => format!("{known:?}").to_lowercase(),
    };
    let here = std::env::consts::ARCH;
    Err(Unavailable { reason: format!("{} is for {name}, and this machine is {here}", path.display()), remedy: None })
}

fn not_a_program(path: &Path, reason: &str) -> Unavailable {
    Unavailable { reason: format!("{} is not a program or library: {reason}", path.display()), remedy: None }
}
