//! Tracepoints, from tracefs: where it is mounted, or through a mount of our own that nobody sees.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use probebook_compiler::kernel_info::Unavailable;

use crate::loader::{mount, privilege};
use crate::text::reason;

/// Where tracefs usually is.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Format files by the tracepoint's number.
type Formats = HashMap<u64, Arc<str>>;

/// tracefs, found when it is first asked for.
#[derive(Default)]
pub struct Tracefs {
    root: OnceLock<Result<Root, Unavailable>>,
    tracepoints: OnceLock<Arc<Vec<(String, String)>>>,
    formats: Mutex<Formats>,
}

struct Root {
    path: PathBuf,
    /// What keeps our own mount there.
    _mount: Option<OwnedFd>,
}

impl Tracefs {
    /// The directory with `events` in it.
    pub fn root(&self) -> Result<&Path, Unavailable> {
        let root = self.root.get_or_init(find);
        root.as_ref().map(|root| root.path.as_path()).map_err(Clone::clone)
    }

    /// `(category, name)` of all tracepoints, sorted.
    pub fn tracepoints(&self) -> Result<Arc<Vec<(String, String)>>, Unavailable> {
        if let Some(known) = self.tracepoints.get() {
            return Ok(Arc::clone(known));
        }
        let events = self.root()?.join("events");
        let list = list(&events).map_err(|error| unreadable(&events, &error))?;
        Ok(Arc::clone(self.tracepoints.get_or_init(|| Arc::new(list))))
    }

    /// The text of a tracepoint's `format` file; `None` if there is no such tracepoint.
    pub fn format(&self, category: &str, name: &str) -> Result<Option<Arc<str>>, Unavailable> {
        // Reading it takes most of a millisecond. The number tells whether it is still the same
        // tracepoint: a module that is loaded again gets new ones.
        let Some(id) = self.tracepoint_id(category, name)? else { return Ok(None) };
        let known = |formats: &Formats| formats.get(&id).cloned();
        if let Some(text) = known(&self.formats.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(Some(text));
        }
        let text: Option<Arc<str>> = self.read(category, name, "format")?.map(Arc::from);
        if let Some(text) = &text {
            self.formats.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(text));
        }
        Ok(text)
    }

    /// The number by which `perf_event_open` knows a tracepoint.
    pub fn tracepoint_id(&self, category: &str, name: &str) -> Result<Option<u64>, Unavailable> {
        let text = self.read(category, name, "id")?;
        Ok(text.and_then(|text| text.trim().parse().ok()))
    }

    fn read(&self, category: &str, name: &str, file: &str) -> Result<Option<String>, Unavailable> {
        let is_plain = |part: &str| !part.is_empty() && !part.contains('/') && part != "..";
        if !is_plain(category) || !is_plain(name) {
            return Ok(None);
        }
        let path = self.root()?.join("events").join(category).join(name).join(file);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(&path, &error)),
        }
    }
}

fn find() -> Result<Root, Unavailable> {
    let mut denied = None;
    for place in PLACES {
        match fs::read_dir(Path::new(place).join("events")) {
            Ok(_) => return Ok(Root { path: place.into(), _mount: None }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => denied = Some(place),
            Err(_) => {}
        }
    }
    if let Some(place) = denied {
        return Err(Unavailable {
            reason: format!("{place} may not be read by this user"),
            remedy: Some("run as root, or with CAP_DAC_READ_SEARCH".into()),
        });
    }
    let mount = mount::detached(c"tracefs").map_err(|error| not_mounted(&error))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
    Ok(Root { path, _mount: Some(mount) })
}

fn not_mounted(error: &io::Error) -> Unavailable {
    let what = "tracefs, which describes the tracepoints, is not mounted";
    let why = match error.raw_os_error() {
        Some(libc::EPERM) if !privilege::is_administrator() => "mounting it needs CAP_SYS_ADMIN".to_owned(),
        Some(libc::ENODEV) => "this kernel has none (CONFIG_FTRACE)".to_owned(),
        _ => format!("it cannot be mounted: {}", reason(error)),
    };
    let remedy = Some("mount it as root: mount -t tracefs tracefs /sys/kernel/tracing".into());
    Unavailable { reason: format!("{what}, and {why}"), remedy }
}

fn list(events: &Path) -> io::Result<Vec<(String, String)>> {
    let mut tracepoints = Vec::new();
    for category in directories(events)? {
        // A category may vanish with its module.
        for name in directories(&events.join(&category)).unwrap_or_default() {
            tracepoints.push((category.clone(), name));
        }
    }
    tracepoints.sort();
    Ok(tracepoints)
}

fn directories(path: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(path)?.flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|ty| ty.is_dir()));
    Ok(directories.filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn unreadable(path: &Path, error: &io::Error) -> Unavailable {
    let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
    let remedy = is_denied.then(|| "run as root, or with CAP_DAC_READ_SEARCH".to_owned());
    Unavailable { reason: format!("{} cannot be read: {}", path.display(), reason(error)), remedy }
}
