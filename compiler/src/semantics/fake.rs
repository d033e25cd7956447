//! A kernel for tests: answers from what the test puts in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::kernel_info::{BpfFunction, KernelInfo, Prototype, Unavailable};
use crate::plan::ProgramKind;
use crate::types::{EnumType, StructType, Type};
use crate::user_info::{Boundary, UsdtProbe, UserBinary, UserInfo, UserPrototype, UserSymbol};

/// Two CPUs, and the tracepoints given.
#[derive(Default)]
pub struct FakeKernel {
    /// Category, name, format.
    pub tracepoints: Vec<(String, String, String)>,
    /// Static tracepoints of every binary.
    pub usdt: Vec<UsdtProbe>,
    /// Every binary's functions.
    pub symbols: Vec<UserSymbol>,
    pub is_32_bit: bool,
    /// Module and name of the kernel's functions.
    pub functions: Vec<(String, String)>,
    pub kprobe_sessions: bool,
    /// What every function takes and returns.
    pub prototype: UserPrototype,
    /// Structures of every binary's debug information.
    pub structures: Vec<StructType>,
    /// Set when somebody wants to know what processes have mapped.
    pub looked_at_processes: AtomicBool,
}

impl KernelInfo for FakeKernel {
    fn tracepoints(&self) -> Result<Arc<Vec<(String, String)>>, Unavailable> {
        Ok(Arc::new(self.tracepoints.iter().map(|(c, n, _)| (c.clone(), n.clone())).collect()))
    }

    fn tracepoint_format(&self, category: &str, name: &str) -> Result<Option<Arc<str>>, Unavailable> {
        let found = self.tracepoints.iter().find(|(c, n, _)| c == category && n == name);
        Ok(found.map(|(_, _, format)| format.as_str().into()))
    }

    fn raw_tracepoints(&self) -> Result<Arc<Vec<String>>, Unavailable> {
        Ok(Arc::default())
    }

    fn raw_tracepoint_arguments(&self, _: &str) -> Option<Vec<(String, Type)>> {
        None
    }

    fn kernel_functions(&self) -> Result<Arc<Vec<(String, String)>>, Unavailable> {
        Ok(Arc::new(self.functions.clone()))
    }

    fn has_kprobe_sessions(&self) -> bool {
        self.kprobe_sessions
    }

    fn function_prototype(&self, _: &str, _: &str) -> Option<Prototype> {
        None
    }

    fn may_call(&self, _: &str, _: ProgramKind) -> bool {
        false
    }

    fn iterators(&self) -> Result<Arc<Vec<String>>, Unavailable> {
        Ok(Arc::default())
    }

    fn bpf_functions(&self) -> Result<Vec<BpfFunction>, Unavailable> {
        Ok(Vec::new())
    }

    fn kernel_symbol(&self, _: &str) -> Option<u64> {
        None
    }

    fn struct_type(&self, _: &str) -> Option<Arc<StructType>> {
        None
    }

    fn typedef(&self, _: &str) -> Option<Type> {
        None
    }

    fn enum_type(&self, _: &str) -> Option<Arc<EnumType>> {
        None
    }

    fn enum_constant(&self, _: &str) -> Option<(Arc<EnumType>, i64)> {
        None
    }

    fn possible_cpus(&self) -> u32 {
        2
    }

    fn cgroup_id(&self, _: &str) -> Option<u64> {
        None
    }

    fn pid_namespace(&self) -> Option<(u64, u64)> {
        None
    }
}

/// Whatever path is asked for exists, and holds what the test put in.
impl UserInfo for FakeKernel {
    fn resolve_binary(&self, name: &str, _: Option<u32>) -> Result<Vec<PathBuf>, Unavailable> {
        Ok(if self.symbols.is_empty() && self.usdt.is_empty() { Vec::new() } else { vec![name.into()] })
    }

    fn mapped_binaries(&self, _: Option<u32>) -> Vec<PathBuf> {
        self.looked_at_processes.store(true, Ordering::Relaxed);
        vec!["/bin/mapped".into()]
    }

    fn user_binary(&self, path: &Path) -> Result<Arc<UserBinary>, Unavailable> {
        Ok(Arc::new(UserBinary {
            path: path.into(),
            file: path.into(),
            symbols: self.symbols.clone(),
            is_32_bit: self.is_32_bit,
        }))
    }

    fn usdt_probes(&self, _: &Path) -> Result<Arc<Vec<UsdtProbe>>, Unavailable> {
        Ok(Arc::new(self.usdt.clone()))
    }

    fn boundary(&self, _: &Path, _: &UserSymbol, offset: u64) -> Boundary {
        if offset.is_multiple_of(4) { Boundary::Start } else { Boundary::Inside }
    }

    fn demangled(&self, symbol: &str) -> Option<String> {
        symbol.strip_prefix("_Z").map(|name| format!("{name}(int)"))
    }

    fn user_prototype(&self, path: &Path, _: u64) -> Result<Arc<UserPrototype>, Unavailable> {
        if self.prototype.parameters.is_empty() {
            return Err(Unavailable { reason: format!("no debuginfo found for {}", path.display()), remedy: None });
        }
        Ok(Arc::new(self.prototype.clone()))
    }

    fn user_struct(&self, _: &Path, _: u64, name: &str) -> Option<Arc<StructType>> {
        self.structures.iter().find(|structure| structure.name == name).cloned().map(Arc::new)
    }

    fn user_typedef(&self, _: &Path, _: u64, _: &str) -> Option<Type> {
        None
    }

    fn user_enum(&self, _: &Path, _: u64, _: &str) -> Option<Arc<EnumType>> {
        None
    }

    fn line_address(&self, _: &Path, _: &str, line: u64, _: u64) -> Result<u64, Unavailable> {
        Ok(line)
    }
}
