//! Files that scripts name in `import` and `#include`, as the compiler may ask for them. `runtime`
//! reads them; tests fake them.

use std::path::{Path, PathBuf};

/// A file or a folder that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The one path by which it is known, links followed.
    pub path: PathBuf,
    pub is_folder: bool,
    /// Whether everybody on the machine may change it.
    pub world_writable: bool,
}

/// The file system as far as scripts name parts of it. The empty path is the current folder.
pub trait Files: Send + Sync {
    /// What is at a path, if anything.
    fn find(&self, path: &Path) -> Option<Found>;

    /// The names in a folder, sorted.
    ///
    /// # Errors
    ///
    /// The text says why it cannot be read.
    fn list(&self, folder: &Path) -> Result<Vec<String>, String>;

    /// A whole file of text.
    ///
    /// # Errors
    ///
    /// The text says why it cannot be read.
    fn read(&self, path: &Path) -> Result<String, String>;
}

/// A machine without files.
#[derive(Clone, Copy, Debug)]
pub struct NoFiles;

impl Files for NoFiles {
    fn find(&self, _: &Path) -> Option<Found> {
        None
    }

    fn list(&self, _: &Path) -> Result<Vec<String>, String> {
        Err("there are no files here".to_owned())
    }

    fn read(&self, _: &Path) -> Result<String, String> {
        Err("there are no files here".to_owned())
    }
}
