//! What the machine offers the cases: rights, test programs, tools.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::case::Case;

/// The machine as the cases see it.
pub struct Place {
    /// Where the test programs were built; an explanation if they could not be.
    pub programs: Result<PathBuf, String>,
    root: bool,
    /// Whether the kernel lets programs hang on its functions by trampoline; tried when first asked.
    fentry: OnceLock<bool>,
    copies: AtomicUsize,
}

impl Place {
    /// Builds the C programs of a folder with the compiler that also links Rust programs, unless
    /// `CONFORMANCE_PROGRAMS` says where they are: a machine without a compiler gets them built.
    pub fn prepare(sources: &Path) -> Self {
        let built = std::env::var_os("CONFORMANCE_PROGRAMS").map(|folder| Ok(PathBuf::from(folder)));
        Self {
            programs: built.unwrap_or_else(|| build_programs(sources)),
            root: is_root(),
            fentry: OnceLock::new(),
            copies: AtomicUsize::new(0),
        }
    }

    /// Why a case cannot run here.
    pub fn why_not(&self, case: &Case) -> Option<String> {
        // A script with an error in it is refused before anything is loaded.
        let loads = !case.refused();
        if loads && !self.root {
            return Some("needs root".into());
        }
        case.needs.iter().find_map(|need| self.lacks(need))
    }

    /// Gives a case its own copies of the programs, so that no other case sees their events:
    /// `{{NAME}}` is the path of a copy, `{{NAME.comm}}` its name, which no other process has.
    pub fn programs_for(&self, case: &Case, folder: &Path) -> Result<Vec<(String, String)>, String> {
        let mut blanks = Vec::new();
        let Ok(programs) = &self.programs else { return Ok(blanks) };
        if !case.needs.iter().any(|need| need == "programs") {
            return Ok(blanks);
        }
        let number = self.copies.fetch_add(1, Ordering::Relaxed);
        for entry in std::fs::read_dir(programs).map_err(|error| error.to_string())? {
            let program = entry.map_err(|error| error.to_string())?.path();
            let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Other runs of these tests on this machine have other names, mostly: digits, which cases write as {int}. Fifteen
            // letters are what the kernel keeps.
            let comm = format!("{name}{:03}{number}", std::process::id() % 1000);
            let copy = folder.join(&comm);
            // By a process of its own: what other cases fork would inherit a descriptor of ours that the
            // copy is written through, and a program that is open for writing cannot be run (ETXTBSY).
            let copied = Command::new("cp").arg(&program).arg(&copy).status().map_err(|error| error.to_string())?;
            if !copied.success() {
                return Err(format!("{} could not be copied", program.display()));
            }
            blanks.push((format!("{{{{{name}}}}}"), copy.display().to_string()));
            blanks.push((format!("{{{{{name}.comm}}}}"), comm));
        }
        Ok(blanks)
    }

    fn lacks(&self, need: &str) -> Option<String> {
        let missing = match need {
            "root" => !self.root,
            "programs" => return self.programs.as_ref().err().cloned(),
            "kprobe" => !Path::new("/sys/bus/event_source/devices/kprobe").exists(),
            "fentry" => !self.fentry.get_or_init(has_fentry),
            "bpffs" => !self.root || !holds("/proc/filesystems", "\tbpf\n"),
            "override" => !injects_errors() || is_locked_down(),
            "no-override" => injects_errors(),
            "kprobe-session" => !has_kprobe_sessions(),
            "task-from-pid" => !holds("/proc/kallsyms", " bpf_task_from_pid\n"),
            "rcu-functions" => !holds("/proc/kallsyms", " bpf_rcu_read_lock\n"),
            "pmu" => !has_pmu(),
            "no-pmu" => has_pmu(),
            "cgroup2" => !Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
            "kernel-data" => !holds("/proc/kallsyms", " __per_cpu_offset\n"),
            "no-lockdown" => is_locked_down(),
            "libclang" => !has_libclang(),
            "clang" => !has_libclang() || !has_clang(),
            "python3" => !has_command("python3"),
            "x86_64" => !cfg!(target_arch = "x86_64"),
            "aarch64" => !cfg!(target_arch = "aarch64"),
            other => return Some(format!("{other} is not a known need")),
        };
        missing.then(|| format!("needs {need}"))
    }
}

fn holds(path: &str, text: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|content| content.contains(text))
}

/// Whether the kernel has `CONFIG_BPF_KPROBE_OVERRIDE`.
fn injects_errors() -> bool {
    holds("/proc/kallsyms", " bpf_override_return\n")
}

/// A kernel without the security module for it is never locked down; its file is not seen where securityfs is not mounted.
fn is_locked_down() -> bool {
    let has_module = holds("/proc/kallsyms", " security_locked_down\n");
    has_module && !holds("/sys/kernel/security/lockdown", "[none]")
}

/// The function is there even where kernel functions cannot be traced many at a time (`CONFIG_FPROBE`).
fn has_kprobe_sessions() -> bool {
    holds("/proc/kallsyms", " bpf_session_is_return\n") && holds("/proc/kallsyms", " register_fprobe\n")
}

/// Whether the processor has counters: the kernel calls them `cpu` on x86_64, by their version on aarch64.
fn has_pmu() -> bool {
    let sources = std::fs::read_dir("/sys/bus/event_source/devices").into_iter().flatten();
    let mut names = sources.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.any(|name| name == "cpu" || name.starts_with("armv8_pmuv3"))
}

/// Whether a program is not refused as a matter of principle; any other failure is for cases to find.
fn has_fentry() -> bool {
    let mut command = Command::new(std::env::var("PROBEBOOK").unwrap_or(env!("CARGO_BIN_EXE_probebook").into()));
    let output = command.args(["run", "-q", "-c", "true", "-e", "fentry:vfs_open { @ = 1; }"]).output();
    output.is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains("the kernel refuses"))
}

/// Whether there is a `clang` whose bitcode can be read (`runtime/src/c/translate.rs`).
fn has_clang() -> bool {
    has_command("clang") || (11..=22).any(|version| has_command(&format!("clang-{version}")))
}

/// Whether libclang lies where packages put it, or where it is said to be.
fn has_libclang() -> bool {
    let libraries = std::fs::read_dir("/usr/lib").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let llvm = libraries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("llvm")));
    let folders = llvm.map(|path| path.join("lib")).chain(std::env::var_os("LIBCLANG_PATH").map(PathBuf::from));
    let usual = ["/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu"].map(PathBuf::from);
    folders.chain(usual).any(|folder| {
        let names = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        names.map(|entry| entry.file_name()).any(|name| {
            let name = name.to_string_lossy();
            name.starts_with("libclang.so") || name.starts_with("libclang-") && !name.contains("cpp")
        })
    })
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn has_command(name: &str) -> bool {
    Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// What a program's first line asks for: `// cc: -O2`.
fn own_flags(source: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(source).unwrap_or_default();
    let flags = text.lines().next().and_then(|line| line.strip_prefix("// cc: ")).unwrap_or_default();
    flags.split_whitespace().map(str::to_owned).collect()
}

fn build_programs(sources: &Path) -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
    // Moved in when it is whole: another run may be copying what it finds.
    let workshop = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(|error| error.to_string())?;
    let failed = |what: &Path, why: String| format!("{}: {why}", what.display());
    std::fs::create_dir_all(&target).map_err(|error| failed(&target, error.to_string()))?;
    for entry in std::fs::read_dir(sources).map_err(|error| failed(sources, error.to_string()))? {
        let source = entry.map_err(|error| failed(sources, error.to_string()))?.path();
        let Some(name) = source.file_stem().filter(|_| source.extension().is_some_and(|it| it == "c")) else {
            continue;
        };
        let mut compiler = Command::new("cc");
        compiler
            .args(["-g", "-O0", "-pthread", "-fno-omit-frame-pointer", "-no-pie"])
            .args(own_flags(&source))
            .arg("-o")
            .arg(workshop.path().join(name))
            .arg(&source);
        let output = compiler.output().map_err(|error| failed(Path::new("cc"), error.to_string()))?;
        if !output.status.success() {
            return Err(failed(&source, String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let moved = std::fs::rename(workshop.path().join(name), target.join(name));
        moved.map_err(|error| failed(&source, error.to_string()))?;
    }
    Ok(target)
}
