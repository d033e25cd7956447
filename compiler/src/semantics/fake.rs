//! A kernel for tests: answers from what the test puts in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::kernel_info::{BpfFunction, KernelInfo, Prototype, Unavailable, UserBinary};
use crate::types::{EnumType, StructType, Type};

/// Two CPUs, and the tracepoints given.
#[derive(Default)]
pub struct FakeKernel {
    /// Category, name, format.
    pub tracepoints: Vec<(String, String, String)>,
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
        Ok(Arc::default())
    }

    fn function_prototype(&self, _: &str, _: &str) -> Option<Prototype> {
        None
    }

    fn iterators(&self) -> Result<Arc<Vec<String>>, Unavailable> {
        Ok(Arc::default())
    }

    fn bpf_functions(&self) -> Result<Vec<BpfFunction>, Unavailable> {
        Ok(Vec::new())
    }

    fn resolve_binary(&self, _: &str, _: Option<u32>) -> Result<Vec<PathBuf>, Unavailable> {
        Ok(Vec::new())
    }

    fn user_binary(&self, _: &Path) -> Result<Arc<UserBinary>, Unavailable> {
        Ok(Arc::default())
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
