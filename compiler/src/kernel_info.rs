//! What the compiler may ask of the running system. `runtime` answers for real; tests fake it.

use std::sync::Arc;

use crate::c_compiler::{CCompiler, NoCompiler};
use crate::files::{Files, NoFiles};
use crate::plan::ProgramKind;
use crate::types::{EnumType, StructType, Type};
use crate::user_info::UserInfo;

/// What the kernel proper is called among modules.
pub const KERNEL: &str = "vmlinux";

/// Something could not be read; the text says what, why, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}", after(.remedy))]
pub struct Unavailable {
    pub reason: String,
    /// The way out: `run as root`, `mount -t tracefs …`.
    pub remedy: Option<String>,
}

fn after(remedy: &Option<String>) -> String {
    remedy.as_ref().map(|remedy| format!(": {remedy}")).unwrap_or_default()
}

/// A function's parameters and what it returns, from BTF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    pub parameters: Vec<(String, Type)>,
    /// `void` if it returns nothing.
    pub result: Type,
}

/// A function of a loaded BPF program: the program itself, or one that it calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BpfFunction {
    pub program: u32,
    pub name: String,
}

/// The running system's types, probes and symbols. Answers may be cached; asking twice is cheap.
pub trait KernelInfo: UserInfo + Send + Sync {
    /// `(category, name)` of every tracepoint, sorted.
    fn tracepoints(&self) -> Result<Arc<Vec<(String, String)>>, Unavailable>;

    /// The text of a tracepoint's `format` file; `None` if there is no such tracepoint.
    fn tracepoint_format(&self, category: &str, name: &str) -> Result<Option<Arc<str>>, Unavailable>;

    /// Names of the raw tracepoints, sorted.
    fn raw_tracepoints(&self) -> Result<Arc<Vec<String>>, Unavailable>;

    /// Names and types of a raw tracepoint's arguments, from BTF.
    fn raw_tracepoint_arguments(&self, name: &str) -> Option<Vec<(String, Type)>>;

    /// `(module, function)` of the kernel's traceable functions, sorted by function; the kernel
    /// proper is `vmlinux`.
    fn kernel_functions(&self) -> Result<Arc<Vec<(String, String)>>, Unavailable>;

    /// Whether the user has named all of them: then no other is tried.
    fn kernel_functions_are_given(&self) -> bool {
        false
    }

    /// What a kernel function takes and returns; `None` if BTF does not describe it.
    fn function_prototype(&self, module: &str, function: &str) -> Option<Prototype>;

    /// Whether there is such a prototype; quicker than making it.
    fn describes_function(&self, module: &str, function: &str) -> bool {
        self.function_prototype(module, function).is_some()
    }

    /// Whether programs of a kind may call a function of the kernel proper (a kfunc).
    fn may_call(&self, function: &str, kind: ProgramKind) -> bool;

    /// Whether one program can be at the entry and the return of many functions (kprobe sessions).
    fn has_kprobe_sessions(&self) -> bool {
        false
    }

    /// Whether a raw tracepoint tells its program an attach cookie (Linux 6.10).
    fn has_raw_tracepoint_cookies(&self) -> bool {
        false
    }

    /// Names of the kernel's iterators, sorted.
    fn iterators(&self) -> Result<Arc<Vec<String>>, Unavailable>;

    /// The functions of all loaded BPF programs that describe themselves by BTF, sorted.
    fn bpf_functions(&self) -> Result<Vec<BpfFunction>, Unavailable>;

    fn kernel_symbol(&self, name: &str) -> Option<u64>;

    /// A structure or union by `struct name`, `union name`, from BTF. Nested pointers to
    /// structures are by name only: their [`StructType::fields`] are empty and `size` is 0 until
    /// asked for here.
    fn struct_type(&self, name: &str) -> Option<Arc<StructType>>;

    /// The names of structures, unions and enumerations, for what is spelled wrong.
    fn type_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// What a typedef stands for.
    fn typedef(&self, name: &str) -> Option<Type>;

    /// An enumeration by name.
    fn enum_type(&self, name: &str) -> Option<Arc<EnumType>>;

    /// An enumeration's constant by name.
    fn enum_constant(&self, name: &str) -> Option<(Arc<EnumType>, i64)>;

    /// Possible (not only online) CPUs.
    fn possible_cpus(&self) -> u32;

    /// The cgroup v2 id of a directory.
    fn cgroup_id(&self, path: &str) -> Option<u64>;

    /// Device and inode of our PID namespace; `None` if it is the initial one.
    fn pid_namespace(&self) -> Option<(u64, u64)>;

    /// The files that scripts name.
    fn files(&self) -> &dyn Files {
        &NoFiles
    }

    /// What reads C that is beyond the compiler's own grammar.
    fn c_compiler(&self) -> &dyn CCompiler {
        &NoCompiler
    }
}
