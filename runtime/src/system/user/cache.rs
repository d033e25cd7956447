//! What was read of files, remembered until they change.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use probebook_compiler::kernel_info::Unavailable;

use super::file;
use super::stamp::Stamp;

/// How long a failure is remembered.
const FAILURE_HOLDS: Duration = Duration::from_secs(10);

/// Files that an answer depends on beside the one that was asked for, also those that are not there.
pub type LookedAt = Vec<PathBuf>;

/// One kind of knowledge, by path.
pub struct Cache<T> {
    known: Mutex<HashMap<PathBuf, Known<T>>>,
}

struct Known<T> {
    stamp: Stamp,
    /// What else was looked at, and what it was like; `None` if it was not there.
    others: Vec<(PathBuf, Option<Stamp>)>,
    /// Failures are remembered too, for a while: a file that is no program stays one, but it may have been memory or
    /// descriptors that were wanting.
    result: Result<Arc<T>, Unavailable>,
    read_at: Instant,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Cache { known: Mutex::default() }
    }
}

impl<T> Cache<T> {
    /// What is known of a file, read by `read` if need be.
    pub fn get(&self, path: &Path, read: impl FnOnce(&Path) -> Result<T, Unavailable>) -> Result<Arc<T>, Unavailable> {
        self.get_with_others(path, |path, _| read(path))
    }

    /// As [`Cache::get`], where `read` tells which other files it has looked at: once one of them has come,
    /// gone or changed, the answer may be another.
    pub fn get_with_others(
        &self,
        path: &Path,
        read: impl FnOnce(&Path, &mut LookedAt) -> Result<T, Unavailable>,
    ) -> Result<Arc<T>, Unavailable> {
        let stamp = stamp(path)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.get(path).filter(|entry| entry.stamp == stamp && entry.holds()) {
            return entry.result.clone();
        }
        let mut others = LookedAt::new();
        let result = read(path, &mut others).map(Arc::new);
        let others = others.into_iter().map(|path| (path.clone(), stamp_of(&path))).collect();
        known.insert(path.to_owned(), Known { stamp, others, result: result.clone(), read_at: Instant::now() });
        result
    }

    /// Makes whoever asks next read files again.
    pub fn clear(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl<T> Known<T> {
    fn holds(&self) -> bool {
        let is_fresh = self.result.is_ok() || self.read_at.elapsed() < FAILURE_HOLDS;
        is_fresh && self.others.iter().all(|(path, stamp)| stamp_of(path) == *stamp)
    }
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    stamp(path).ok()
}

fn stamp(path: &Path) -> Result<Stamp, Unavailable> {
    let (file, _) = file::split_archive(path);
    Stamp::of(&file).map_err(|error| file::unreadable(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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

    #[test]
    fn failures_are_remembered_until_something_that_was_looked_at_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("file"), folder.path().join("other"));
        fs::write(&file, "").unwrap();
        let cache = Cache::<u32>::default();
        let mut reads = 0;
        let mut get = || {
            let _ = cache.get_with_others(&file, |_, others| {
                reads += 1;
                others.push(other.clone());
                Err(Unavailable { reason: "damaged".into(), remedy: None })
            });
            reads
        };
        assert_eq!([get(), get()], [1, 1]);
        fs::write(&other, "").unwrap();
        assert_eq!([get(), get()], [2, 2]);
        fs::remove_file(&other).unwrap();
        assert_eq!([get(), get()], [3, 3]);
        fs::write(&file, "longer").unwrap();
        assert_eq!([get(), get()], [4, 4]);
        cache.clear();
        assert_eq!(get(), 5);
    }
}
