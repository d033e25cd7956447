//! Which files a process has mapped, remembered beyond its end.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use object::{Object, ObjectSegment};

use crate::system::user::file::Binary;
use crate::system::user::stamp::Stamp;

/// One executable mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub start: u64,
    pub end: u64,
    /// Where in the file the mapping starts.
    pub file_offset: u64,
    /// As the process sees it; `[vdso]` and the like have no file.
    pub path: PathBuf,
    device: String,
    inode: u64,
    /// The path does not lead to it any more: it was deleted, or replaced.
    is_deleted: bool,
    /// What the path led to when the mapping was looked at; `None` if that was not the mapped file.
    stamp: Option<Stamp>,
}

/// Identifies what runs as a process: the number may be given to another, and `exec` replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    start_time: String,
    executable: Option<PathBuf>,
}

/// A process as it was when it was last looked at.
struct Process {
    identity: Identity,
    mappings: Vec<Mapping>,
    first_looked: Instant,
    looked: Instant,
}

impl Process {
    /// Whether there is no need to look again. A process that was met only now is likely to be
    /// still loading its libraries.
    fn is_fresh(&self) -> bool {
        self.looked.elapsed() < (self.first_looked.elapsed() / 2).clamp(PATIENCE, FRESH)
    }
}

/// Processes that were seen.
#[derive(Default)]
pub(super) struct Processes {
    seen: HashMap<u32, Process>,
    files: Files,
    /// Programs that always lie at the same addresses, by path, with these as mappings.
    fixed: Vec<Mapping>,
}

/// A place in a file that can be opened now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What to open.
    pub file: PathBuf,
    /// What to show.
    pub path: PathBuf,
    pub offset: u64,
}

/// Where an address lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    File(Place),
    /// Mapped, but from no file: vDSO, generated code.
    Anonymous,
    Unknown,
}

/// Mappings are read again after this at the latest, if they are asked for.
const FRESH: Duration = Duration::from_millis(500);
/// An unknown address makes us look again, but not more often than this.
const PATIENCE: Duration = Duration::from_millis(5);

/// Where user addresses end, and above which the kernel maps libraries (`arch/x86/mm/mmap.c`); programs
/// lie below.
const USER_END: u64 = 1 << 47;
const LIBRARIES: u64 = 0x7000_0000_0000;

impl Processes {
    /// Looks at a process while it lives, so that its addresses mean something later.
    pub fn observe(&mut self, pid: u32) {
        if !self.seen.get(&pid).is_some_and(Process::is_fresh) {
            self.refresh(pid);
        }
    }

    /// Where an address of a process lies.
    pub fn find(&mut self, pid: u32, address: u64) -> Found {
        self.observe(pid);
        let mut found = self.mapping(pid, address);
        if found.is_none() && self.seen.get(&pid).is_none_or(|process| process.looked.elapsed() > PATIENCE) {
            self.refresh(pid);
            found = self.mapping(pid, address);
        }
        let Some(mapping) = found else { return self.in_fixed(pid, address) };
        if !mapping.path.is_absolute() {
            return Found::Anonymous;
        }
        let offset = address - mapping.start + mapping.file_offset;
        // Names from another file than the one that was mapped would be wrong ones.
        match self.openable(pid, &mapping) {
            Some(file) => Found::File(Place { file, path: mapping.path, offset }),
            None => Found::Unknown,
        }
    }

    /// Start and size of two ranges that hold the code of a process: that of the program, and that of its
    /// libraries, which lie far from it.
    pub fn code_ranges(&self, pid: u32) -> [u64; 4] {
        let mappings = self.seen.get(&pid).map(|process| process.mappings.as_slice()).unwrap_or_default();
        let (near, far): (Vec<_>, Vec<_>) =
            mappings.iter().filter(|mapping| mapping.end < USER_END).partition(|mapping| mapping.start < LIBRARIES);
        let range = |mappings: &[&Mapping]| {
            let start = mappings.iter().map(|mapping| mapping.start).min().unwrap_or(0);
            let end = mappings.iter().map(|mapping| mapping.end).max().unwrap_or(0);
            [start, end - start]
        };
        let ([start, size], [other_start, other_size]) = (range(&near), range(&far));
        [start, size, other_start, other_size]
    }

    /// Notes a program that is traced. One that always lies at the same addresses tells of a process
    /// that was never seen alive.
    pub fn note_binary(&mut self, path: &Path) {
        let Ok(stamp) = Stamp::of(path) else { return };
        if !self.fixed.iter().any(|mapping| mapping.path == path && mapping.stamp == Some(stamp)) {
            self.fixed.retain(|mapping| mapping.path != path);
            self.fixed.extend(fixed_segments(path, stamp).unwrap_or_default());
        }
    }

    /// What to open for a mapping: its path, as long as that leads to the same file in the same state, or what
    /// is held or can be had through the process.
    fn openable(&mut self, pid: u32, mapping: &Mapping) -> Option<PathBuf> {
        if mapping.stamp.is_some_and(|stamp| Stamp::of(&mapping.path).is_ok_and(|now| now == stamp)) {
            return Some(mapping.path.clone());
        }
        if let Some(held) = self.files.held(mapping) {
            return Some(held);
        }
        // The file may have been replaced since the process was looked at.
        let looked = self.seen.get(&pid).map(|process| process.looked.elapsed());
        if mapping.stamp.is_some() || looked.is_some_and(|elapsed| elapsed > PATIENCE) {
            self.refresh(pid);
        }
        let now = self.mapping(pid, mapping.start)?;
        let is_there = now.stamp.is_none() && !now.is_deleted && now.inode == mapping.inode;
        self.files.held(mapping).or_else(|| is_there.then(|| within_root(pid, &mapping.path)))
    }

    fn in_fixed(&self, pid: u32, address: u64) -> Found {
        let holds = |mapping: &&Mapping| (mapping.start..mapping.end).contains(&address);
        match self.fixed.iter().find(holds) {
            Some(mapping) if !self.seen.contains_key(&pid) && mapping.stamp == Stamp::of(&mapping.path).ok() => {
                Found::File(Place {
                    file: mapping.path.clone(),
                    path: mapping.path.clone(),
                    offset: address - mapping.start + mapping.file_offset,
                })
            }
            _ => Found::Unknown,
        }
    }

    fn mapping(&self, pid: u32, address: u64) -> Option<Mapping> {
        let mappings = &self.seen.get(&pid)?.mappings;
        let index = mappings.partition_point(|mapping| mapping.end <= address);
        mappings.get(index).filter(|mapping| mapping.start <= address).cloned()
    }

    /// Reads a process's mappings anew.
    pub fn refresh(&mut self, pid: u32) {
        let Some(identity) = identity(pid) else { return };
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/maps")) else { return };
        let mut mappings = parse(&text);
        let now = Instant::now();
        let before = self.seen.get(&pid).filter(|before| before.identity == identity);
        if let Some(before) = before {
            keep_unmapped(&mut mappings, &before.mappings);
        }
        let first_looked = before.map_or(now, |before| before.first_looked);
        for mapping in mappings.iter_mut().filter(|mapping| mapping.stamp.is_none() && mapping.inode != 0) {
            let stamp = Stamp::of(&mapping.path).ok();
            mapping.stamp = stamp.filter(|stamp| stamp.inode == mapping.inode && !mapping.is_deleted);
            if mapping.stamp.is_none() {
                self.files.hold(pid, mapping);
            }
        }
        // A process that is ending has no mappings any more; what was known of it stays.
        if !mappings.is_empty() {
            self.seen.insert(pid, Process { identity, mappings, first_looked, looked: now });
        }
    }
}

/// Keeps what was unmapped meanwhile (`dlclose`), where nothing new lies.
fn keep_unmapped(mappings: &mut Vec<Mapping>, before: &[Mapping]) {
    let gone = before.iter().filter(|old| !mappings.iter().any(|new| new.start < old.end && old.start < new.end));
    let gone: Vec<Mapping> = gone.cloned().collect();
    mappings.extend(gone);
    mappings.sort_by_key(|mapping| mapping.start);
}

/// The segments of a program that is not position-independent.
fn fixed_segments(path: &Path, stamp: Stamp) -> Option<Vec<Mapping>> {
    let binary = Binary::open(path).ok()?;
    let file = binary.elf(path).ok()?;
    (file.kind() == object::ObjectKind::Executable && file.segments().next()?.address() > 0).then_some(())?;
    let segments = file.segments().map(|segment| {
        let (file_offset, size) = segment.file_range();
        let start = segment.address();
        let path = path.to_owned();
        let end = start.saturating_add(size);
        Mapping {
            start,
            end,
            file_offset,
            path,
            device: String::new(),
            inode: 0,
            is_deleted: false,
            stamp: Some(stamp),
        }
    });
    Some(segments.collect())
}

/// `None` if there is no such process.
fn identity(pid: u32) -> Option<Identity> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything; the start time is the 20th field behind it.
    let start_time = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.to_owned();
    Some(Identity { start_time, executable: fs::read_link(format!("/proc/{pid}/exe")).ok() })
}

/// What the kernel writes behind the path of a file that has it no more (`fs/d_path.c`).
const DELETED: &str = " (deleted)";

/// The executable mappings in the text of `/proc/PID/maps`, sorted.
fn parse(text: &str) -> Vec<Mapping> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Mapping> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let permissions = words.next()?;
    let file_offset = words.next()?;
    let device = words.next()?;
    let inode = words.next()?;
    let path = words.next().unwrap_or_default().trim_start();
    let mapping = Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        file_offset: u64::from_str_radix(file_offset, 16).ok()?,
        path: PathBuf::from(path.strip_suffix(DELETED).unwrap_or(path)),
        is_deleted: path.ends_with(DELETED),
        device: device.to_owned(),
        inode: inode.parse().ok()?,
        stamp: None,
    };
    permissions.contains('x').then_some(mapping)
}

/// Files that are held open because their path does not lead to them from here: those of
/// containers, and those that were deleted or replaced.
#[derive(Default)]
struct Files {
    held: HashMap<(String, u64), File>,
}

/// No more files than this are held open.
const MOST_HELD: usize = 256;

impl Files {
    fn hold(&mut self, pid: u32, mapping: &Mapping) {
        let key = (mapping.device.clone(), mapping.inode);
        if mapping.inode == 0 || self.held.contains_key(&key) || self.held.len() >= MOST_HELD {
            return;
        }
        self.held.extend(mapped_file(pid, mapping).map(|file| (key, file)));
    }

    fn held(&self, mapping: &Mapping) -> Option<PathBuf> {
        let file = self.held.get(&(mapping.device.clone(), mapping.inode))?;
        Some(PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())))
    }
}

/// The very file that is mapped.
fn mapped_file(pid: u32, mapping: &Mapping) -> Option<File> {
    let link = format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end);
    let by_path = || if mapping.is_deleted { None } else { File::open(within_root(pid, &mapping.path)).ok() };
    File::open(link).ok().or_else(by_path)
}

/// A path as a process sees it, seen from here.
fn within_root(pid: u32, path: &Path) -> PathBuf {
    let mut whole = format!("/proc/{pid}/root").into_bytes();
    whole.extend_from_slice(path.as_os_str().as_encoded_bytes());
    PathBuf::from(String::from_utf8_lossy(&whole).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const MAPS: &str = "\
        55e0c0000000-55e0c0002000 r--p 00000000 fe:00 12345 /usr/bin/with space\n\
        55e0c0002000-55e0c0007000 r-xp 00002000 fe:00 12345 /usr/bin/with space\n\
        7ffd0000-7ffd2000 r-xp 00000000 00:00 0                          [vdso]\n\
        7ffe0000-7ffe2000 rwxp 00000000 00:00 0 \n\
        7fff0000-7fff2000 r-xp 00001000 fe:00 99 /tmp/gone (deleted)\n";

    #[test]
    fn executable_mappings_are_kept() {
        let mappings = parse(MAPS);
        let paths: Vec<&str> = mappings.iter().filter_map(|mapping| mapping.path.to_str()).collect();
        assert_eq!(paths, ["/usr/bin/with space", "[vdso]", "", "/tmp/gone"]);
        assert_eq!(mappings[0].file_offset, 0x2000);
    }

    #[test]
    fn what_was_unmapped_stays_known_unless_something_else_lies_there() {
        let before = parse("1000-2000 r-xp 0 fe:00 1 /a\n3000-4000 r-xp 0 fe:00 2 /b\n");
        let mut now = parse("3800-5000 r-xp 0 fe:00 3 /c\n");
        keep_unmapped(&mut now, &before);
        let paths: Vec<&str> = now.iter().filter_map(|mapping| mapping.path.to_str()).collect();
        assert_eq!(paths, ["/a", "/c"]);
    }

    #[test]
    fn a_process_is_known_after_its_end() {
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        let pid = child.id();
        let mut processes = Processes::default();
        // Just after its start it may not have been loaded yet.
        let mapping = (0..20)
            .find_map(|_| {
                processes.observe(pid);
                let found =
                    processes.seen.get(&pid)?.mappings.iter().find(|mapping| mapping.path.is_absolute()).cloned();
                found.or_else(|| {
                    std::thread::sleep(FRESH);
                    None
                })
            })
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        std::thread::sleep(FRESH);
        assert!(matches!(processes.find(pid, mapping.start + 1), Found::File(place) if place.path == mapping.path));
        assert_eq!(processes.find(pid, 1), Found::Unknown);
    }

    /// A program that sleeps, in a folder of its own.
    fn sleeper() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("sleeper");
        fs::copy(fs::canonicalize("/bin/sleep").unwrap(), &program).unwrap();
        (folder, program)
    }

    /// The place of the program's own code in a process that runs it.
    fn place(processes: &mut Processes, pid: u32, program: &Path) -> (u64, Found) {
        let mapping = (0..100).find_map(|_| {
            processes.refresh(pid);
            std::thread::sleep(PATIENCE);
            processes.seen.get(&pid)?.mappings.iter().find(|mapping| mapping.path == program).cloned()
        });
        let address = mapping.unwrap().start + 1;
        (address, processes.find(pid, address))
    }

    fn same_contents(found: &Found, program: &[u8]) -> bool {
        matches!(found, Found::File(place) if fs::read(&place.file).unwrap() == program)
    }

    #[test]
    fn a_file_that_was_replaced_is_not_taken_for_the_one_that_is_mapped() {
        let (_folder, program) = sleeper();
        let original = fs::read(&program).unwrap();
        let mut child = Command::new(&program).arg("30").spawn().unwrap();
        let mut processes = Processes::default();
        let (address, found) = place(&mut processes, child.id(), &program);
        assert!(same_contents(&found, &original), "{found:?}");
        fs::remove_file(&program).unwrap();
        fs::write(&program, "another program").unwrap();
        // While the process lives, the kernel has the file.
        let found = processes.find(child.id(), address);
        assert!(same_contents(&found, &original), "{found:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(same_contents(&processes.find(child.id(), address), &original));
    }

    #[test]
    fn a_file_that_is_gone_with_its_process_is_not_known() {
        let (_folder, program) = sleeper();
        let mut child = Command::new(&program).arg("30").spawn().unwrap();
        let mut processes = Processes::default();
        let (address, _) = place(&mut processes, child.id(), &program);
        child.kill().unwrap();
        child.wait().unwrap();
        // In place: it keeps its number.
        let mut replaced = fs::OpenOptions::new().append(true).open(&program).unwrap();
        std::io::Write::write_all(&mut replaced, b"more").unwrap();
        assert_eq!(processes.find(child.id(), address), Found::Unknown);
        // Another process of the new one is known by it.
        drop(replaced);
        let mut child = Command::new(&program).arg("30").spawn().unwrap();
        let (_, found) = place(&mut processes, child.id(), &program);
        assert!(same_contents(&found, &fs::read(&program).unwrap()), "{found:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
