//! The files that scripts name.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use probebook_compiler::files::{Files, Found};

use crate::text::reason;

/// The write permission of others (inode(7)).
const OTHERS_WRITE: u32 = 0o002;
/// More than any header or script has: what is larger is none.
const LARGEST: u64 = 16 << 20;

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn find(&self, path: &Path) -> Option<Found> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let metadata = fs::metadata(path).ok()?;
        Some(Found {
            path: fs::canonicalize(path).ok()?,
            is_folder: metadata.is_dir(),
            world_writable: metadata.mode() & OTHERS_WRITE != 0,
        })
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>, String> {
        let entries = fs::read_dir(folder).map_err(|error| reason(&error))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        let metadata = fs::metadata(path).map_err(|error| reason(&error))?;
        if !metadata.is_file() {
            return Err("it is no file".to_owned());
        }
        if metadata.len() > LARGEST {
            return Err(format!("it is larger than {} MiB", LARGEST >> 20));
        }
        fs::read_to_string(path).map_err(|error| reason(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_tell_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.bt");
        fs::write(&file, "begin { }").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        let found = Disk.find(&file).unwrap();
        assert!(found.world_writable && !found.is_folder);
        assert!(Disk.find(folder.path()).unwrap().is_folder);
        assert_eq!(Disk.list(folder.path()).unwrap(), ["x.bt"]);
        assert_eq!(Disk.read(&file).unwrap(), "begin { }");
        assert!(Disk.find(&folder.path().join("none")).is_none());
        assert!(Disk.read(folder.path()).is_err());
        assert!(Disk.find(Path::new("")).unwrap().is_folder);
    }
}
