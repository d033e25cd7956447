//! Opens programs and libraries, also those that lie in an archive, without trusting them.
//!
//! Files are read, never mapped: one that is cut short meanwhile gives an error, not a signal.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use object::{ReadCache, ReadCacheRange, ReadRef};
use probebook_compiler::kernel_info::Unavailable;

use super::archive;

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

    pub fn elf(&self, path: &Path) -> Result<object::File<'_, ReadCacheRange<'_, File>>, Unavailable> {
        let range = self.cache.range(self.start, self.size);
        object::File::parse(range).map_err(|error| not_a_program(path, &error.to_string()))
    }

    /// Bytes at an offset into the whole file; fewer at its end.
    pub fn bytes(&self, offset: u64, length: u64) -> Option<&[u8]> {
        let end = self.start.checked_add(self.size)?;
        let length = length.min(end.checked_sub(offset)?);
        (&self.cache).read_bytes_at(offset, length).ok()
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

fn not_a_program(path: &Path, reason: &str) -> Unavailable {
    Unavailable { reason: format!("{} is not a program or library: {reason}", path.display()), remedy: None }
}
