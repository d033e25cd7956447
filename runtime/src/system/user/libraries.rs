//! Which files a name in a probe stands for: paths, programs on `PATH`, libraries.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

const CACHE: &str = "/etc/ld.so.cache";
/// What the newer format starts with (`sysdeps/generic/dl-cache.h` of glibc).
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// Flags of libraries for this architecture (`FLAG_X8664_LIB64`, `FLAG_AARCH64_LIB64`, each with
/// `FLAG_ELF_LIBC6`); elsewhere every library will do.
const FLAGS: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0x0303)
} else if cfg!(target_arch = "aarch64") {
    Some(0x0a03)
} else {
    None
};
/// Searched where there is no cache, as with musl.
const DIRECTORIES: [&str; 5] = ["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"];
/// Where Debian keeps the libraries of this architecture.
const DEBIAN: [&str; 2] = if cfg!(target_arch = "aarch64") {
    ["/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
} else {
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"]
};

/// The files that `name` stands for, as process `pid` sees them if one is given.
pub fn resolve(name: &str, pid: Option<u32>) -> Vec<PathBuf> {
    let root = pid.map(root_of).unwrap_or_default();
    if let (file, Some(inner)) = super::file::split_archive(Path::new(name)) {
        let archives = expand(&file.to_string_lossy(), root.as_deref());
        return archives.into_iter().map(|archive| format!("{}!/{inner}", archive.display()).into()).collect();
    }
    if name.contains('/') {
        return expand(name, root.as_deref());
    }
    if name.starts_with("lib") || name.contains(".so") {
        let found = library(name, pid, root.as_deref());
        if !found.is_empty() {
            return found;
        }
    }
    let found = on_path(name, root.as_deref());
    if found.is_empty() { library(&format!("lib{name}"), pid, root.as_deref()) } else { found }
}

/// Where a process's files are, if it has a root of its own or sees other mounts.
pub fn root_of(pid: u32) -> Option<PathBuf> {
    let link = PathBuf::from(format!("/proc/{pid}/root"));
    let has_our_root =
        fs::read_link(&link).is_ok_and(|target| target == Path::new("/")) && same_file(&link, Path::new("/"));
    let mounts = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let is_ours = has_our_root && mounts(&pid.to_string()) == mounts("self");
    (!is_ours && link.exists()).then_some(link)
}

fn same_file(left: &Path, right: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (fs::metadata(left), fs::metadata(right)) {
        (Ok(left), Ok(right)) => (left.dev(), left.ino()) == (right.dev(), right.ino()),
        _ => false,
    }
}

/// A path as a process with a root of its own sees it, seen from here.
pub fn within(root: Option<&Path>, path: &str) -> PathBuf {
    match root {
        Some(root) => shortest(root, root.join(path.trim_start_matches('/'))),
        None => PathBuf::from(path),
    }
}

/// A path below a process's root; without the root, where that is the same file from here.
fn shortest(root: &Path, path: PathBuf) -> PathBuf {
    let from_here = path.strip_prefix(root).ok().map(|rest| Path::new("/").join(rest));
    from_here.filter(|from_here| same_file(from_here, &path)).unwrap_or(path)
}

/// Paths that match one with wildcards; without wildcards the path itself, if it is there. They stay
/// relative if the pattern is, unless the process has a root of its own.
fn expand(pattern: &str, root: Option<&Path>) -> Vec<PathBuf> {
    let written = match root {
        Some(_) => std::path::absolute(pattern).unwrap_or_else(|_| pattern.into()),
        None => PathBuf::from(pattern),
    };
    // A process may be traced by paths that lead into its root from here.
    let root = root.filter(|root| !written.starts_with(root) && !written.starts_with("/proc"));
    let mut found = vec![PathBuf::new()];
    for component in written.components() {
        match component {
            Component::RootDir => found = vec![root.map_or_else(|| PathBuf::from("/"), Path::to_owned)],
            Component::Normal(part) => found = found.iter().flat_map(|folder| children(folder, part)).collect(),
            other => found.iter_mut().for_each(|path| path.push(other)),
        }
    }
    found.retain(|path| path.is_file());
    match root {
        Some(root) => found.into_iter().map(|path| shortest(root, path)).collect(),
        None => found,
    }
}

fn children(directory: &Path, part: &OsStr) -> Vec<PathBuf> {
    let pattern = part.to_string_lossy();
    if !pattern.contains(['*', '?']) {
        let path = directory.join(part);
        return if path.exists() { vec![path] } else { Vec::new() };
    }
    let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let entries = fs::read_dir(here).into_iter().flatten().flatten();
    let mut matching: Vec<PathBuf> = entries
        .filter(|entry| matches(entry.file_name().as_encoded_bytes(), pattern.as_bytes()))
        .map(|entry| directory.join(entry.file_name()))
        .collect();
    matching.sort();
    matching
}

/// `*` stands for any bytes, `?` for any one.
fn matches(name: &[u8], pattern: &[u8]) -> bool {
    let (Some((first, pattern_rest)), rest) = (pattern.split_first(), name.split_first()) else {
        return name.is_empty();
    };
    match (first, rest) {
        (b'*', _) => (0..=name.len()).any(|skipped| matches(name.get(skipped..).unwrap_or_default(), pattern_rest)),
        (b'?', Some((_, name_rest))) => matches(name_rest, pattern_rest),
        (wanted, Some((byte, name_rest))) => wanted == byte && matches(name_rest, pattern_rest),
        (_, None) => false,
    }
}

/// The first executable of a name on `PATH`; with wildcards, all.
fn on_path(name: &str, root: Option<&Path>) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_pattern = name.contains(['*', '?']);
    let mut found = Vec::new();
    for directory in env::split_paths(&path) {
        let programs = expand(&directory.join(name).to_string_lossy(), root);
        found.extend(programs.into_iter().filter(|path| is_executable(path)));
        if !is_pattern && !found.is_empty() {
            found.truncate(1);
            break;
        }
    }
    found
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// A library by `libc`, `libc.so` or `libc.so.6`.
fn library(name: &str, pid: Option<u32>, root: Option<&Path>) -> Vec<PathBuf> {
    let within = |path: &str| within(root, path);
    if let Some(path) = pid.and_then(|pid| mapped(pid, name)) {
        return vec![within(&path)];
    }
    let cache = fs::read(within(CACHE)).unwrap_or_default();
    let mut candidates: Vec<(String, PathBuf)> = entries(&cache)
        .into_iter()
        .filter(|(library, _)| is_version_of(library, name))
        .map(|(library, path)| (library.into_owned(), within(&path)))
        .collect();
    if candidates.is_empty() {
        candidates = in_directories(name, within);
    }
    candidates.retain(|(_, path)| path.is_file());
    best(candidates, name)
}

/// With wildcards, all; else the one that was named exactly, or the newest version.
fn best(mut candidates: Vec<(String, PathBuf)>, name: &str) -> Vec<PathBuf> {
    if name.contains(['*', '?']) {
        let all: BTreeSet<PathBuf> = candidates.into_iter().map(|(_, path)| path).collect();
        return all.into_iter().collect();
    }
    // The plain `.so` is for linking, and may not be an ELF file at all.
    candidates.sort_by_key(|(library, _)| {
        (library == name && library.contains(".so"), !library.ends_with(".so"), library.clone())
    });
    candidates.pop().map(|(_, path)| path).into_iter().collect()
}

fn in_directories(name: &str, within: impl Fn(&str) -> PathBuf) -> Vec<(String, PathBuf)> {
    let directories = DIRECTORIES.iter().chain(&DEBIAN);
    let entries = directories.flat_map(|directory| fs::read_dir(within(directory)).into_iter().flatten().flatten());
    let libraries = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    libraries.filter(|(library, _)| is_version_of(library, name)).collect()
}

/// The library of a name that a process has mapped.
fn mapped(pid: u32, name: &str) -> Option<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let paths = maps.lines().filter_map(|line| line.find('/').and_then(|at| line.get(at..)));
    let is_it = |path: &&str| path.rsplit('/').next().is_some_and(|file| is_version_of(file, name));
    paths.filter(is_it).map(str::to_owned).next()
}

/// Whether `libc.so.6` is what `libc`, `libc.so`, `libc.so.6` or a pattern means.
fn is_version_of(library: &str, name: &str) -> bool {
    if name.contains(['*', '?']) {
        let base = library.split(".so").next().unwrap_or(library);
        return matches(library.as_bytes(), name.as_bytes()) || matches(base.as_bytes(), name.as_bytes());
    }
    match library.strip_prefix(name) {
        Some("") => true,
        Some(rest) if name.ends_with(".so") => rest.starts_with('.'),
        Some(rest) => rest.starts_with(".so"),
        None => false,
    }
}

/// `(libc.so.6, /lib/…/libc.so.6)` for the libraries of this architecture in the linker's cache.
fn entries(cache: &[u8]) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    // An older format may come first.
    let Some(start) = cache.windows(MAGIC.len()).position(|window| window == MAGIC) else { return Vec::new() };
    let cache = cache.get(start..).unwrap_or_default();
    let word = |at: usize| cache.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
    let text = |at: u32| {
        let bytes = cache.get(at as usize..).unwrap_or_default();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
        String::from_utf8_lossy(bytes.get(..end).unwrap_or_default())
    };
    let count = word(MAGIC.len()).unwrap_or(0) as usize;
    let entry = |index: usize| {
        let at = HEADER + index * ENTRY;
        let flags = word(at)?;
        let is_ours = FLAGS.is_none_or(|wanted| flags & 0xffff == wanted);
        is_ours.then(|| Some((text(word(at + 4)?), text(word(at + 8)?))))?
    };
    (0..count).map_while(|index| word(HEADER + index * ENTRY).map(|_| index)).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_stand_for_any_version() {
        for (library, name) in [("libc.so.6", "libc"), ("libc.so.6", "libc.so.6"), ("libssl.so.3", "libssl.so")] {
            assert!(is_version_of(library, name), "{library} {name}");
        }
        for (library, name) in [("libcap.so.2", "libc"), ("libc.so.6", "libc.so.5"), ("libc.so.6", "lib")] {
            assert!(!is_version_of(library, name), "{library} {name}");
        }
        assert!(is_version_of("libssl.so.3", "libs?l*"));
    }

    #[test]
    fn without_the_linkers_cache_the_c_library_is_found_in_its_folder() {
        let found = best(in_directories("libc.so.6", |path| within(None, path)), "libc.so.6");
        // It may lie in several folders that are one.
        assert_eq!(found.first().map(fs::canonicalize).unwrap().unwrap(), canonical(&resolve("libc.so.6", None)));
    }

    fn canonical(paths: &[PathBuf]) -> PathBuf {
        fs::canonicalize(paths.first().unwrap()).unwrap()
    }

    #[test]
    fn the_c_library_and_programs_are_found() {
        let libraries = resolve("libc", None);
        assert_eq!(libraries.len(), 1);
        assert!(libraries[0].to_string_lossy().contains("libc"), "{libraries:?}");
        assert_eq!(resolve("libc.so.6", None), libraries);
        let shells = resolve("sh", None);
        assert!(matches!(&shells[..], [path] if path.is_absolute() && path.ends_with("sh")), "{shells:?}");
        assert!(resolve("no-such-program-here", None).is_empty());
    }

    #[test]
    fn a_process_sees_its_own_libraries() {
        let pid = std::process::id();
        assert!(resolve("libc", Some(pid))[0].to_string_lossy().contains("libc"));
    }

    #[test]
    fn paths_may_have_wildcards() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["one", "two", "other"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let pattern = directory.path().join("o*e?");
        assert_eq!(resolve(&pattern.to_string_lossy(), None), [directory.path().join("other")]);
        let plain = directory.path().join("two");
        assert_eq!(resolve(&plain.to_string_lossy(), None), [plain]);
        // Tests run in the folder of their crate.
        assert_eq!(resolve("./Cargo.t?ml", None), [Path::new("./Cargo.toml")]);
        assert_eq!(resolve("../runtime/Cargo.toml", None), [Path::new("../runtime/Cargo.toml")]);
    }
}
