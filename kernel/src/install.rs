//! `probebook install`: writes the kernelspec where Jupyter finds it.
//!
//! Where that is: <https://docs.jupyter.org/en/latest/use/jupyter-directories.html>

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use probebook_runtime::text::reason;
use serde_json::{Value, json};

/// The kernel's name: that of its directory, and what notebooks refer to.
pub const KERNEL_NAME: &str = "probebook";

const TEMPLATE: &str = include_str!("../../kernelspec/kernel.json");

const LOGOS: [(&str, &[u8]); 3] = [
    ("logo-svg.svg", include_bytes!("../../kernelspec/logo-svg.svg")),
    ("logo-32x32.png", include_bytes!("../../kernelspec/logo-32x32.png")),
    ("logo-64x64.png", include_bytes!("../../kernelspec/logo-64x64.png")),
];

/// For whom the kernel is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The user's own Jupyter directory.
    User,
    /// `share/jupyter` under this directory.
    Prefix(PathBuf),
    /// `share/jupyter` of the Python environment that this program was installed in, else of the
    /// active one.
    SysPrefix,
}

/// Why the kernel could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Neither `JUPYTER_DATA_DIR`, `XDG_DATA_HOME` nor `HOME` says where the user's data is.
    #[error("no home directory: set HOME or JUPYTER_DATA_DIR, or use --prefix")]
    NoHome,
    /// `--sys-prefix` outside any Python environment.
    #[error(
        "no Python environment: activate one, or use --user or --prefix (looked beside this \
         program, and at VIRTUAL_ENV and CONDA_PREFIX)"
    )]
    NoEnvironment,
    /// This program's own path is unknown or not valid UTF-8.
    #[error("cannot tell where this program is: {}", reason(.0))]
    NoExecutable(io::Error),
    /// The template that was compiled in is not JSON.
    #[error("the kernelspec template is broken: {0}")]
    Template(#[from] serde_json::Error),
    /// Whoever owns the directory decides what is run as those who open notebooks.
    #[error(
        "{} belongs to another user (uid {owner}), who could change what is started: install as that user, remove it \
         first, or choose a folder of your own with --prefix, or --user", path.display()
    )]
    Foreign {
        /// The kernel's own directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// A file could not be written.
    #[error("cannot write {}: {}; choose a folder of your own with --prefix, or --user", path.display(), reason(.source))]
    Write {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The environment variables and paths that decide where to install.
struct Surroundings<'a> {
    variable: &'a dyn Fn(&str) -> Option<OsString>,
    executable: &'a Path,
}

/// Installs the kernelspec, replacing an earlier one. Returns its directory.
///
/// # Errors
/// [`InstallError`].
pub fn install(destination: &Destination) -> Result<PathBuf, InstallError> {
    let executable = std::env::current_exe().map_err(InstallError::NoExecutable)?;
    let surroundings = Surroundings {
        variable: &|name| std::env::var_os(name).filter(|value| !value.is_empty()),
        executable: &executable,
    };
    install_in(&surroundings.data_directory(destination)?, &executable)
}

impl Surroundings<'_> {
    fn data_directory(&self, destination: &Destination) -> Result<PathBuf, InstallError> {
        let prefix = match destination {
            Destination::User => return self.user_directory(),
            Destination::Prefix(prefix) => prefix.clone(),
            Destination::SysPrefix => self.environment()?,
        };
        Ok(prefix.join("share").join("jupyter"))
    }

    fn user_directory(&self) -> Result<PathBuf, InstallError> {
        if let Some(directory) = self.path("JUPYTER_DATA_DIR") {
            return Ok(directory);
        }
        let data = self.path("XDG_DATA_HOME");
        let data = data.or_else(|| Some(self.path("HOME")?.join(".local").join("share")));
        Ok(data.ok_or(InstallError::NoHome)?.join("jupyter"))
    }

    fn environment(&self) -> Result<PathBuf, InstallError> {
        let beside = self.executable.parent().and_then(Path::parent);
        let is_environment =
            |directory: &&Path| directory.join("pyvenv.cfg").exists() || directory.join("conda-meta").exists();
        let beside = beside.filter(is_environment).map(Path::to_owned);
        beside
            .or_else(|| self.path("VIRTUAL_ENV"))
            .or_else(|| self.path("CONDA_PREFIX"))
            .ok_or(InstallError::NoEnvironment)
    }

    fn path(&self, variable: &str) -> Option<PathBuf> {
        (self.variable)(variable).map(PathBuf::from)
    }
}

fn install_in(data_directory: &Path, executable: &Path) -> Result<PathBuf, InstallError> {
    let directory = data_directory.join("kernels").join(KERNEL_NAME);
    let made = DirBuilder::new().recursive(true).mode(0o755).create(&directory);
    made.map_err(|source| InstallError::Write { path: directory.clone(), source })?;
    guard(&directory)?;
    for (name, content) in LOGOS {
        write(&directory.join(name), content)?;
    }
    // Last, for with this file the kernel is there.
    let spec = kernelspec(executable)?;
    write(&directory.join("kernel.json"), spec.as_bytes())?;
    Ok(directory)
}

/// Lets nobody else put files into a directory that was there already.
fn guard(directory: &Path) -> Result<(), InstallError> {
    let failed = |source| InstallError::Write { path: directory.to_owned(), source };
    let found = fs::metadata(directory).map_err(failed)?;
    // A link counts for as much as what it leads to.
    let link = fs::symlink_metadata(directory).map_err(failed)?;
    let is_foreign = |owner: &u32| *owner != 0 && *owner != nix::unistd::geteuid().as_raw();
    if let Some(owner) = [link.uid(), found.uid()].into_iter().find(is_foreign) {
        return Err(InstallError::Foreign { path: directory.to_owned(), owner });
    }
    let mode = found.permissions().mode();
    match mode & 0o022 {
        0 => Ok(()),
        _ => fs::set_permissions(directory, Permissions::from_mode(mode & !0o022)).map_err(failed),
    }
}

/// The kernelspec that starts this very program, whatever `PATH` is when a notebook is opened.
fn kernelspec(executable: &Path) -> Result<String, InstallError> {
    let path = executable.to_str().ok_or_else(|| {
        let problem = format!("{} is not valid UTF-8", executable.display());
        InstallError::NoExecutable(io::Error::new(io::ErrorKind::InvalidData, problem))
    })?;
    let mut spec: Value = serde_json::from_str(TEMPLATE)?;
    if let Some(program) = spec.pointer_mut("/argv/0") {
        *program = json!(path);
    }
    Ok(serde_json::to_string_pretty(&spec)? + "\n")
}

/// Replaces a file. Whoever may write to it decides what runs as those who open notebooks: nobody else may,
/// whatever the umask is and whatever was there.
fn write(path: &Path, content: &[u8]) -> Result<(), InstallError> {
    let replace = || {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?.write_all(content)
    };
    replace().map_err(|source| InstallError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(destination: &Destination, set: &[(&str, &str)], exe: &str) -> Option<PathBuf> {
        let variable = |name: &str| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let surroundings = Surroundings { variable: &variable, executable: Path::new(exe) };
        surroundings.data_directory(destination).ok()
    }

    #[test]
    fn the_users_directory_is_jupyters() {
        let user = |set: &[(&str, &str)]| directory(&Destination::User, set, "/bin/probebook");
        let home = ("HOME", "/home/u");
        assert_eq!(user(&[home]), Some("/home/u/.local/share/jupyter".into()));
        assert_eq!(user(&[home, ("XDG_DATA_HOME", "/data")]), Some("/data/jupyter".into()));
        assert_eq!(user(&[home, ("JUPYTER_DATA_DIR", "/j")]), Some("/j".into()));
        assert_eq!(user(&[]), None);
    }

    #[test]
    fn a_prefix_is_taken_as_it_is() {
        let destination = Destination::Prefix("/opt/x".into());
        let found = directory(&destination, &[], "/bin/probebook");
        assert_eq!(found, Some("/opt/x/share/jupyter".into()));
    }

    #[test]
    fn the_environment_beside_the_program_comes_first() {
        let environment = tempfile::tempdir().unwrap();
        fs::write(environment.path().join("pyvenv.cfg"), "").unwrap();
        let program = environment.path().join("bin/probebook");
        let active = [("VIRTUAL_ENV", "/active")];
        let sys = &Destination::SysPrefix;
        let found = directory(sys, &active, program.to_str().unwrap());
        assert_eq!(found, Some(environment.path().join("share/jupyter")));
        let found = directory(sys, &active, "/nowhere/bin/probebook");
        assert_eq!(found, Some("/active/share/jupyter".into()));
        assert_eq!(directory(sys, &[], "/nowhere/bin/probebook"), None);
    }

    #[test]
    fn a_complete_kernelspec_is_written_and_can_be_replaced() {
        let data = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let written = install_in(data.path(), Path::new("/opt/bin/probebook")).unwrap();
            assert_eq!(written, data.path().join("kernels/probebook"));
            let spec = fs::read_to_string(written.join("kernel.json")).unwrap();
            let spec: Value = serde_json::from_str(&spec).unwrap();
            let argv = json!(["/opt/bin/probebook", "kernel", "--connection-file", "{connection_file}"]);
            assert_eq!(spec["argv"], argv);
            assert_eq!(spec["interrupt_mode"], "message");
            assert_eq!(spec["language"], "bpftrace");
            for (name, content) in LOGOS {
                assert_eq!(fs::read(written.join(name)).unwrap(), content);
            }
        }
    }

    #[test]
    fn nobody_else_may_change_what_is_started() {
        let data = tempfile::tempdir().unwrap();
        let written = install_in(data.path(), Path::new("/opt/bin/probebook")).unwrap();
        let spec = written.join("kernel.json");
        fs::set_permissions(&spec, Permissions::from_mode(0o666)).unwrap();
        fs::set_permissions(&written, Permissions::from_mode(0o777)).unwrap();
        install_in(data.path(), Path::new("/opt/bin/probebook")).unwrap();
        for path in [&spec, &written.join("logo-svg.svg"), &written] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o022, 0, "{}", path.display());
        }
    }

    #[test]
    fn a_directory_of_somebody_else_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let written = install_in(data.path(), Path::new("/opt/bin/probebook")).unwrap();
        if let Err(error) = std::os::unix::fs::chown(&written, Some(1234), None) {
            return println!("skipped: directories cannot be given away: {error}");
        }
        let error = install_in(data.path(), Path::new("/opt/bin/probebook")).unwrap_err();
        assert!(error.to_string().contains("belongs to another user (uid 1234)"), "{error}");
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = install_in(file.path(), Path::new("/bin/probebook")).unwrap_err();
        assert!(error.to_string().contains(file.path().to_str().unwrap()));
    }
}
