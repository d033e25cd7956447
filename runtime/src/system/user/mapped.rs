//! Which programs and libraries processes have mapped.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::libraries::{root_of, within};

/// Paths of what a process executes code of, as seen from here; of all processes without a number.
pub fn binaries(pid: Option<u32>) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    let mut result = Vec::new();
    let processes = pid.map_or_else(all_processes, |pid| vec![pid]);
    for pid in processes {
        let Ok(maps) = fs::read_to_string(format!("/proc/{pid}/maps")) else { continue };
        let mut root = None;
        for mapping in maps.lines().filter_map(parse) {
            // The same file has other paths in other containers.
            if seen.insert(mapping.file.clone()) {
                let root = root.get_or_insert_with(|| root_of(pid)).as_deref();
                result.push(openable(pid, &mapping, root));
            }
        }
    }
    result.sort();
    result.dedup();
    result
}

/// The program that a process runs.
pub fn program(pid: u32) -> Option<PathBuf> {
    let link = PathBuf::from(format!("/proc/{pid}/exe"));
    let target = fs::read_link(&link).ok()?;
    let path = within(root_of(pid).as_deref(), &target.to_string_lossy());
    // A deleted program can still be reached through the link.
    Some(if path.is_file() { path } else { link })
}

struct Mapping<'a> {
    range: &'a str,
    /// Device and inode.
    file: (String, String),
    path: &'a str,
}

fn openable(pid: u32, mapping: &Mapping<'_>, root: Option<&Path>) -> PathBuf {
    match mapping.path.strip_suffix(" (deleted)") {
        Some(_) => PathBuf::from(format!("/proc/{pid}/map_files/{}", mapping.range)),
        None => within(root, mapping.path),
    }
}

/// An executable mapping of a file.
fn parse(line: &str) -> Option<Mapping<'_>> {
    let mut words = line.splitn(6, ' ');
    let (range, permissions, _, device, inode) =
        (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let path = words.next()?.trim_start();
    let is_code = permissions.contains('x') && path.starts_with('/');
    is_code.then(|| Mapping { range, file: (device.to_owned(), inode.to_owned()), path })
}

fn all_processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_program_and_libraries_are_mapped() {
        let own = std::env::current_exe().unwrap();
        let pid = std::process::id();
        let mapped = binaries(Some(pid));
        assert!(mapped.contains(&own), "{mapped:?}");
        assert!(mapped.iter().any(|path| path.to_string_lossy().contains("libc")), "{mapped:?}");
        assert_eq!(program(pid), Some(own.clone()));
        assert!(binaries(None).contains(&own));
        assert_eq!(binaries(Some(u32::MAX)), Vec::<PathBuf>::new());
    }

    #[test]
    fn only_code_of_files_counts() {
        assert!(parse("7fff0000-7fff2000 r-xp 00001000 fe:00 99 /tmp/a b").is_some_and(|it| it.path == "/tmp/a b"));
        assert!(parse("7fff0000-7fff2000 r--p 00001000 fe:00 99 /tmp/a").is_none());
        assert!(parse("7ffd0000-7ffd2000 r-xp 00000000 00:00 0                          [vdso]").is_none());
    }
}
