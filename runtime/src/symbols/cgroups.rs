//! Paths of cgroups by id, in every hierarchy that is mounted.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Finds cgroups by walking the hierarchies; what was found is checked again before it is reused.
#[derive(Default)]
pub(super) struct Cgroups {
    known: Mutex<HashMap<(u64, PathBuf), PathBuf>>,
}

/// A mounted hierarchy.
struct Hierarchy {
    /// `unified` for version 2, else the directory's name: `memory`.
    name: String,
    version: u8,
    root: PathBuf,
}

impl Cgroups {
    /// `unified:/user.slice,memory:/x`: the paths in each hierarchy that matches the filter.
    pub fn path(&self, id: u64, filter: &str) -> String {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let found = hierarchies(&mounts).into_iter().filter(|hierarchy| matches(&hierarchy.name, filter));
        let paths = found.filter_map(|hierarchy| {
            let path = self.find(id, &hierarchy.root)?;
            let below = path.strip_prefix(&hierarchy.root).unwrap_or(&path);
            Some(format!("{}:/{}", hierarchy.name, below.display()))
        });
        paths.collect::<Vec<_>>().join(",")
    }

    fn find(&self, id: u64, root: &Path) -> Option<PathBuf> {
        let key = (id, root.to_owned());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(path) = known.filter(|path| has_inode(path, id)) {
            return Some(path);
        }
        let path = search(root, id)?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, path.clone());
        Some(path)
    }
}

/// Version 2 first, then version 1 by name.
fn hierarchies(mounts: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = mounts.lines().filter_map(hierarchy).collect();
    found.sort_by(|left, right| right.version.cmp(&left.version).then_with(|| left.name.cmp(&right.name)));
    found
}

fn hierarchy(line: &str) -> Option<Hierarchy> {
    let mut words = line.split(' ').skip(1);
    let (root, kind) = (PathBuf::from(words.next()?), words.next()?);
    match kind {
        "cgroup2" => Some(Hierarchy { name: "unified".into(), version: 2, root }),
        "cgroup" => Some(Hierarchy { name: root.file_name()?.to_str()?.into(), version: 1, root }),
        _ => None,
    }
}

/// The directory whose inode number is the id: so the kernel numbers cgroups.
fn search(root: &Path, id: u64) -> Option<PathBuf> {
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        if has_inode(&directory, id) {
            return Some(directory);
        }
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        open.extend(entries.filter(|entry| entry.file_type().is_ok_and(|ty| ty.is_dir())).map(|entry| entry.path()));
    }
    None
}

fn has_inode(path: &Path, id: u64) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.ino() == id)
}

/// `*` stands for anything.
fn matches(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(position) => rest = rest.get(position + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "cgroup /sys/fs/cgroup/memory cgroup rw 0 0\n\
        cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
        cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\nproc /proc proc rw 0 0\n";

    #[test]
    fn the_newer_hierarchy_comes_first() {
        let names: Vec<String> = hierarchies(MOUNTS).into_iter().map(|hierarchy| hierarchy.name).collect();
        assert_eq!(names, ["unified", "cpu", "memory"]);
    }

    #[test]
    fn filters_have_wildcards() {
        for (name, pattern) in [("unified", "*"), ("unified", "uni*"), ("cpuset", "*set"), ("memory", "m*o*y")] {
            assert!(matches(name, pattern), "{name} {pattern}");
        }
        for (name, pattern) in [("unified", "uni"), ("cpu", "cpuset"), ("memory", "m*x*y"), ("aa", "a*aa")] {
            assert!(!matches(name, pattern), "{name} {pattern}");
        }
    }

    #[test]
    fn a_directory_is_found_by_its_inode() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let id = fs::metadata(&inner).unwrap().ino();
        assert_eq!(Cgroups::default().find(id, root.path()), Some(inner));
        assert_eq!(search(root.path(), u64::MAX), None);
    }
}
