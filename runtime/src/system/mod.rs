//! What the compiler and the loader want to know of the running system, one source a file.

mod btf;
mod cpus;
mod fields;
mod files;
mod kallsyms;
mod kernel_info;
pub(crate) mod memory;
mod modules;
mod traceable;
mod tracefs;
pub(crate) mod user;

use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use nix::time::ClockId;

use probebook_compiler::kernel_info::KERNEL;

use crate::c::Clang;
use crate::loader::feature;
pub use btf::{Btf, Signature};
pub use kallsyms::{Kallsyms, KernelSymbol};
use modules::Modules;
pub use tracefs::Tracefs;
pub use user::UserFiles;

/// The running system, read when asked for and remembered.
#[derive(Default)]
pub struct System {
    tracefs: Tracefs,
    kallsyms: OnceLock<Kallsyms>,
    btf: OnceLock<Btf>,
    user: user::UserFiles,
    raw_tracepoints: OnceLock<Arc<Vec<String>>>,
    functions: OnceLock<Arc<Vec<(String, String)>>>,
    given_functions: OnceLock<Arc<Vec<(String, String)>>>,
    iterators: OnceLock<Arc<Vec<String>>>,
    modules: Modules,
    clang: Clang,
    kprobe_multi: OnceLock<bool>,
    kprobe_sessions: OnceLock<bool>,
}

impl System {
    pub fn new() -> System {
        System::default()
    }

    /// What is known of user programs.
    pub fn user_files(&self) -> &UserFiles {
        &self.user
    }

    /// Takes the kernel functions of a file, which is like tracefs' `available_filter_functions`, for those that can be
    /// traced.
    pub fn read_kernel_functions(&self, path: &Path) -> io::Result<()> {
        let functions = traceable::of_file(path)?;
        self.given_functions.get_or_init(|| Arc::new(functions));
        Ok(())
    }

    /// Whether the C compiler is to end what it is doing, since nobody waits for it any more.
    pub fn give_up_compiling(&self, given_up: bool) {
        self.clang.given_up().set(given_up);
    }

    pub fn tracefs(&self) -> &Tracefs {
        &self.tracefs
    }

    /// The kernel's symbols; the first call takes 60 to 130 ms.
    pub fn kallsyms(&self) -> &Kallsyms {
        self.kallsyms.get_or_init(Kallsyms::read)
    }

    /// The kernel's types; the first call takes some milliseconds.
    pub fn btf(&self) -> &Btf {
        self.btf.get_or_init(Btf::read)
    }

    /// A module's types; `vmlinux` is the kernel itself. `None` if it does not describe itself.
    pub fn module_btf(&self, module: &str) -> Option<ModuleBtf<'_>> {
        if module == KERNEL {
            return (!self.btf().is_empty()).then(|| ModuleBtf::Kernel(self.btf()));
        }
        self.modules.get(module, self.btf()).map(ModuleBtf::Module)
    }

    /// Reads what almost every script asks for and takes time, and for many scripts also what some of them ask for.
    /// For a background thread.
    pub fn read_ahead(&self, many_scripts: bool) {
        self.btf().read_ahead();
        if many_scripts {
            self.kallsyms();
            // What cannot be read now is explained when it is needed.
            let _ = self.tracefs.tracepoints();
        }
    }

    /// Major and minor number of the running Linux; (0, 0) if it does not tell.
    pub fn release(&self) -> (u32, u32) {
        let Ok(name) = nix::sys::utsname::uname() else { return (0, 0) };
        let release = name.release().to_string_lossy();
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// Whether one link can hold many kprobes.
    pub fn has_kprobe_multi(&self) -> bool {
        *self.kprobe_multi.get_or_init(|| feature::reads_names_of_kprobes(false))
    }

    /// Numbers of the CPUs that run, sorted.
    pub fn online_cpus(&self) -> Vec<u32> {
        cpus::online()
    }

    /// How many CPUs there can ever be: per-CPU maps have as many copies.
    pub fn possible_cpu_count(&self) -> u32 {
        cpus::possible()
    }

    /// Wall-clock time at boot, in nanoseconds since 1970: what is to be added to a program's
    /// `bpf_ktime_get_boot_ns`. Read each time, because the wall clock may be set.
    pub fn boot_time_ns(&self) -> i64 {
        let now = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0);
        now.saturating_sub(nanoseconds_since_boot())
    }
}

/// Types of the kernel or of one of its modules.
pub enum ModuleBtf<'a> {
    Kernel(&'a Btf),
    Module(Arc<Btf>),
}

impl Deref for ModuleBtf<'_> {
    type Target = Btf;

    fn deref(&self) -> &Btf {
        match self {
            ModuleBtf::Kernel(btf) => btf,
            ModuleBtf::Module(btf) => btf,
        }
    }
}

/// CLOCK_BOOTTIME.
pub fn nanoseconds_since_boot() -> i64 {
    clock(ClockId::CLOCK_BOOTTIME)
}

fn clock(id: ClockId) -> i64 {
    let time = nix::time::clock_gettime(id);
    time.map_or(0, |time| time.tv_sec().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec()))
}

/// By how many nanoseconds CLOCK_TAI is ahead of CLOCK_BOOTTIME: the best of a few readings of one
/// between two of the other.
pub fn tai_offset() -> i64 {
    let readings = (0..5).map(|_| {
        let before = nanoseconds_since_boot();
        let tai = clock(ClockId::CLOCK_TAI);
        let after = nanoseconds_since_boot();
        (after - before, tai - (before + (after - before) / 2))
    });
    readings.min().map_or(0, |(_, ahead)| ahead)
}
