//! User programs and libraries: where they are, and what they tell of themselves.

mod archive;
mod binary;
mod boundary;
mod cache;
mod debug_files;
mod file;
mod libraries;
mod mapped;
mod names;
mod notes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use probebook_compiler::kernel_info::Unavailable;
use probebook_compiler::types::StructType;
use probebook_compiler::user_info::{Boundary, Parameter, UsdtProbe, UserBinary, UserInfo, UserSymbol};

use super::System;
use cache::Cache;
use debug_files::DebugFiles;

/// What was read of user programs in this session.
#[derive(Default)]
pub struct UserFiles {
    binaries: Cache<UserBinary>,
    usdt_probes: Cache<Vec<UsdtProbe>>,
    debug_files: DebugFiles,
}

impl UserFiles {
    /// Folders in which separate debug files are looked for first.
    pub fn set_debug_directories(&self, directories: Vec<PathBuf>) {
        self.debug_files.set_directories(directories);
    }
}

impl UserInfo for System {
    fn resolve_binary(&self, name: &str, pid: Option<u32>) -> Result<Vec<PathBuf>, Unavailable> {
        match pid.filter(|_| name.is_empty()) {
            Some(pid) => Ok(mapped::program(pid).into_iter().collect()),
            None => Ok(libraries::resolve(name, pid)),
        }
    }

    fn mapped_binaries(&self, pid: Option<u32>) -> Vec<PathBuf> {
        mapped::binaries(pid)
    }

    fn user_binary(&self, path: &Path) -> Result<Arc<UserBinary>, Unavailable> {
        self.user.binaries.get(path, |path| binary::read(path, &self.user.debug_files))
    }

    fn usdt_probes(&self, path: &Path) -> Result<Arc<Vec<UsdtProbe>>, Unavailable> {
        self.user.usdt_probes.get(path, notes::read)
    }

    fn boundary(&self, path: &Path, function: &UserSymbol, offset: u64) -> Boundary {
        boundary::check(path, function, offset)
    }

    fn demangled(&self, symbol: &str) -> Option<String> {
        names::demangled(symbol)
    }

    fn parameters(&self, path: &Path, _function: &str) -> Result<Vec<Parameter>, Unavailable> {
        Err(Unavailable { reason: format!("no debuginfo found for {}", path.display()), remedy: None })
    }

    fn user_struct(&self, _path: &Path, _name: &str) -> Option<Arc<StructType>> {
        None
    }

    fn line_address(&self, path: &Path, _file: &str, _line: u64, _column: u64) -> Result<u64, Unavailable> {
        Err(Unavailable { reason: format!("no debuginfo found for {}", path.display()), remedy: None })
    }
}
