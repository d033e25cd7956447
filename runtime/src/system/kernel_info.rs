//! The compiler's questions, answered by this system.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, OnceLock};

use probebook_compiler::c_compiler::CCompiler;
use probebook_compiler::files::Files;
use probebook_compiler::kernel_info::{BpfFunction, KernelInfo, Prototype, Unavailable};
use probebook_compiler::plan::ProgramKind;
use probebook_compiler::types::{EnumType, StructType, Type};

use super::files::Disk;
use super::{Btf, System, traceable};
use crate::loader::{feature, inspect};
use crate::text::reason;

/// The initial PID namespace's inode (`PROC_PID_INIT_INO` in `linux/proc_ns.h`).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The first Linux where raw tracepoints have attach cookies (`raw_tp_prog_func_proto` in `kernel/trace/bpf_trace.c`).
const RAW_TRACEPOINT_COOKIES: (u32, u32) = (6, 10);

impl KernelInfo for System {
    fn tracepoints(&self) -> Result<Arc<Vec<(String, String)>>, Unavailable> {
        self.tracefs().tracepoints()
    }

    fn tracepoint_format(&self, category: &str, name: &str) -> Result<Option<Arc<str>>, Unavailable> {
        self.tracefs().format(category, name)
    }

    fn raw_tracepoints(&self) -> Result<Arc<Vec<String>>, Unavailable> {
        self.require_btf("raw tracepoints")?;
        Ok(Arc::clone(self.raw_tracepoints.get_or_init(|| Arc::new(self.btf().raw_tracepoints()))))
    }

    fn raw_tracepoint_arguments(&self, name: &str) -> Option<Vec<(String, Type)>> {
        self.btf().raw_tracepoint_arguments(name)
    }

    fn kernel_functions(&self) -> Result<Arc<Vec<(String, String)>>, Unavailable> {
        if let Some(given) = self.given_functions.get() {
            return Ok(Arc::clone(given));
        }
        let functions = self.functions.get_or_init(|| Arc::new(traceable::functions(self)));
        if functions.is_empty() {
            return Err(Unavailable {
                reason: "the kernel's functions are not known: /proc/kallsyms hides their addresses".into(),
                remedy: Some(
                    "run as root, or with CAP_SYSLOG, and with /proc/sys/kernel/kptr_restrict at most 1".into(),
                ),
            });
        }
        Ok(Arc::clone(functions))
    }

    fn kernel_functions_are_given(&self) -> bool {
        self.given_functions.get().is_some()
    }

    fn function_prototype(&self, module: &str, function: &str) -> Option<Prototype> {
        self.module_btf(module)?.prototype(function)
    }

    fn describes_function(&self, module: &str, function: &str) -> bool {
        self.module_btf(module).is_some_and(|btf| btf.function_id(function).is_some())
    }

    fn may_call(&self, function: &str, kind: ProgramKind) -> bool {
        let btf = self.btf();
        let host = match kind {
            ProgramKind::Iter => btf.iterator_id("task"),
            // Any function, any tracepoint: it is the kind that counts.
            ProgramKind::Fentry | ProgramKind::Fexit => btf.function_id("vfs_read"),
            ProgramKind::TypedTracepoint => btf.raw_tracepoint_id("sched_switch"),
            _ => None,
        };
        let Some(function) = btf.function_id(function) else { return false };
        feature::may_call(function, kind, host.unwrap_or(0))
    }

    fn has_kprobe_sessions(&self) -> bool {
        *self.kprobe_sessions.get_or_init(|| feature::reads_names_of_kprobes(true))
    }

    fn has_raw_tracepoint_cookies(&self) -> bool {
        self.release() >= RAW_TRACEPOINT_COOKIES
    }

    fn iterators(&self) -> Result<Arc<Vec<String>>, Unavailable> {
        self.require_btf("iterators")?;
        Ok(Arc::clone(self.iterators.get_or_init(|| Arc::new(self.btf().iterators()))))
    }

    fn bpf_functions(&self) -> Result<Vec<BpfFunction>, Unavailable> {
        let programs = inspect::programs().map_err(|error| Unavailable {
            reason: format!("the loaded BPF programs are not known: {}", reason(&error)),
            remedy: Some("run as root, or with CAP_SYS_ADMIN".into()),
        })?;
        let mut functions = Vec::new();
        for program in programs {
            let Some(data) = program.btf else { continue };
            let btf = Btf::of_program(data);
            let names = program.functions.iter().filter_map(|id| btf.name(*id));
            functions.extend(names.map(|name| BpfFunction { program: program.id, name: name.to_owned() }));
        }
        functions.sort();
        Ok(functions)
    }

    fn kernel_symbol(&self, name: &str) -> Option<u64> {
        self.kallsyms().address(name)
    }

    fn struct_type(&self, name: &str) -> Option<Arc<StructType>> {
        self.btf().struct_type(name).or_else(|| self.modules.struct_type(name, self.btf()))
    }

    fn type_names(&self) -> Vec<String> {
        self.btf().type_names().map(|(_, name)| name).collect()
    }

    fn typedef(&self, name: &str) -> Option<Type> {
        self.btf().typedef(name)
    }

    fn enum_type(&self, name: &str) -> Option<Arc<EnumType>> {
        self.btf().enum_type(name)
    }

    fn enum_constant(&self, name: &str) -> Option<(Arc<EnumType>, i64)> {
        self.btf().enum_constant(name)
    }

    fn possible_cpus(&self) -> u32 {
        self.possible_cpu_count()
    }

    fn cgroup_id(&self, path: &str) -> Option<u64> {
        // The id of a version 2 cgroup is its directory's inode.
        fs::metadata(path).ok().filter(fs::Metadata::is_dir).map(|metadata| metadata.ino())
    }

    fn pid_namespace(&self) -> Option<(u64, u64)> {
        // A process stays in its own for as long as it lives.
        static OURS: OnceLock<Option<(u64, u64)>> = OnceLock::new();
        *OURS.get_or_init(|| {
            let namespace = fs::metadata("/proc/self/ns/pid").ok()?;
            (namespace.ino() != INITIAL_PID_NAMESPACE).then(|| (namespace.dev(), namespace.ino()))
        })
    }

    fn files(&self) -> &dyn Files {
        &Disk
    }

    fn c_compiler(&self) -> &dyn CCompiler {
        &self.clang
    }
}

impl System {
    fn require_btf(&self, what: &str) -> Result<(), Unavailable> {
        if !self.btf().is_empty() {
            return Ok(());
        }
        Err(Unavailable {
            reason: format!("the {what} are not known, because this kernel does not describe its types (BTF)"),
            remedy: Some("use a kernel with CONFIG_DEBUG_INFO_BTF".into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_functions_and_tracepoints() {
        if crate::loader::privilege::missing_privilege().is_some() {
            return println!("skipped: needs root");
        }
        let system = System::new();
        let functions = system.kernel_functions().unwrap();
        assert!(functions.iter().any(|(module, function)| module == "vmlinux" && function == "vfs_read"));
        assert!(functions.is_sorted_by_key(|(_, function)| function.clone()));
        let tracepoints = system.tracepoints().unwrap();
        assert!(tracepoints.contains(&("sched".to_owned(), "sched_switch".to_owned())));
        let format = system.tracepoint_format("sched", "sched_switch").unwrap().unwrap();
        assert!(format.contains("field:pid_t prev_pid"));
        assert_eq!(system.tracepoint_format("sched", "no_such_thing").unwrap(), None);
        assert_eq!(system.tracepoint_format("..", "events").unwrap(), None);
        assert!(system.kernel_symbol("vfs_read").is_some());
    }
}
