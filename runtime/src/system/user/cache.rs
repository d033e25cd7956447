//! What was read of files, remembered until they change.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use probebook_compiler::kernel_info::Unavailable;

use super::file;

/// One kind of knowledge, by path.
pub struct Cache<T> {
    known: Mutex<HashMap<PathBuf, Known<T>>>,
}

struct Known<T> {
    stamp: Stamp,
    /// Failures are remembered too: a file that is no program stays one until it changes.
    result: Result<Arc<T>, Unavailable>,
}

/// Which file it was, and which state of it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Cache { known: Mutex::default() }
    }
}

impl<T> Cache<T> {
    /// What is known of a file, read by `read` if need be.
    pub fn get(&self, path: &Path, read: impl FnOnce(&Path) -> Result<T, Unavailable>) -> Result<Arc<T>, Unavailable> {
        let stamp = stamp(path)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.get(path).filter(|entry| entry.stamp == stamp) {
            return entry.result.clone();
        }
        let result = read(path).map(Arc::new);
        known.insert(path.to_owned(), Known { stamp, result: result.clone() });
        result
    }

    /// Makes the next one who asks read the file again.
    pub fn forget(&self, path: &Path) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }
}

fn stamp(path: &Path) -> Result<Stamp, Unavailable> {
    let (file, _) = file::split_archive(path);
    let metadata = fs::metadata(file).map_err(|error| file::unreadable(path, &error))?;
    Ok(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        length: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_only_after_it_has_changed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = Cache::default();
        let get = |value: u32| *cache.get(file.path(), |_| Ok(value)).unwrap();
        assert_eq!((get(1), get(2)), (1, 1));
        fs::write(file.path(), "longer").unwrap();
        assert_eq!(get(3), 3);
        assert!(cache.get(Path::new("/no/such/file"), |_| Ok(4)).is_err());
    }
}
