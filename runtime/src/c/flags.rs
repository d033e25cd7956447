//! What clang is told: where headers are, the kernel's among them, and what is defined.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use probebook_compiler::c_compiler::CUnit;

/// Folders of the kernel's headers, by variables that bpftrace has too.
const SOURCE_VARIABLE: &str = "BPFTRACE_KERNEL_SOURCE";
const BUILD_VARIABLE: &str = "BPFTRACE_KERNEL_BUILD";
/// What the kernel's build defines that its headers depend on (`linux/Makefile`, as far as headers ask for it).
const KERNEL_DEFINES: [&str; 6] = [
    "-D__KERNEL__",
    "-D__BPF_TRACING__",
    "-D__HAVE_BUILTIN_BSWAP16__",
    "-D__HAVE_BUILTIN_BSWAP32__",
    "-D__HAVE_BUILTIN_BSWAP64__",
    "-DKBUILD_MODNAME=\"probebook\"",
];

/// The arguments for one text.
pub fn of(unit: &CUnit) -> Vec<String> {
    let mut flags: Vec<String> = ["-x", "c", "-std=gnu11", "-Wno-everything"].map(str::to_owned).to_vec();
    if unit.for_bpf {
        flags.extend(["-target", "bpf"].map(str::to_owned));
    }
    flags.extend(unit.defined.iter().map(|name| format!("-D{name}=1")));
    // As if the text lay in its folder.
    let folder = if unit.folder.as_os_str().is_empty() { Path::new(".") } else { &unit.folder };
    flags.push(format!("-iquote{}", folder.display()));
    flags.extend(unit.include_dirs.iter().map(|folder| format!("-I{}", folder.display())));
    if !unit.for_bpf {
        flags.extend(kernel_flags());
    }
    for folder in [PathBuf::from(format!("/usr/include/{}-linux-gnu", env::consts::ARCH))].iter().chain(&builtin()) {
        flags.push(format!("-idirafter{}", folder.display()));
    }
    flags
}

/// Headers that come with a compiler (`stddef.h`): clang's own are found by itself if they are
/// installed, these are for where they are not.
fn builtin() -> Vec<PathBuf> {
    let gcc = format!("/usr/lib/gcc/{}-linux-gnu", env::consts::ARCH);
    let versions = fs::read_dir(gcc).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path().join("include")));
    versions.filter(|folder| folder.is_dir()).collect()
}

/// Where the kernel's headers are, if they are installed: as written, and as its build made them.
fn kernel_folders() -> Option<(PathBuf, PathBuf)> {
    if let Some(source) = env::var_os(SOURCE_VARIABLE).map(PathBuf::from) {
        let build = env::var_os(BUILD_VARIABLE).map_or_else(|| source.clone(), PathBuf::from);
        return Some((source, build));
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let modules = Path::new("/lib/modules").join(release.trim());
    let (source, build) = (modules.join("source"), modules.join("build"));
    match (source.is_dir(), build.is_dir()) {
        (true, true) => Some((source, build)),
        (true, false) => Some((source.clone(), source)),
        (false, true) => Some((build.clone(), build)),
        (false, false) => None,
    }
}

/// The kernel's own way to compile against its headers (`linux/Makefile`: LINUXINCLUDE, USERINCLUDE).
fn kernel_flags() -> Vec<String> {
    let Some((source, build)) = kernel_folders() else { return Vec::new() };
    let arch = match env::consts::ARCH {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        other => other,
    };
    let arch = format!("arch/{arch}/include");
    let folders = [
        source.join(&arch),
        build.join(&arch).join("generated"),
        source.join("include"),
        build.join("include"),
        source.join(&arch).join("uapi"),
        build.join(&arch).join("generated/uapi"),
        source.join("include/uapi"),
        build.join("include/generated/uapi"),
    ];
    let mut flags: Vec<String> = folders.iter().map(|folder| format!("-I{}", folder.display())).collect();
    let settings = source.join("include/linux/kconfig.h");
    if settings.is_file() {
        flags.extend(["-include".to_owned(), settings.display().to_string()]);
    }
    flags.extend(KERNEL_DEFINES.map(str::to_owned));
    flags
}
