//! User programs and libraries: where they are, and what they tell of themselves.

mod archive;
mod binary;
mod boundary;
mod cache;
pub(crate) mod compressed;
mod debug_files;
mod dwarf;
mod dynamic;
pub(crate) mod file;
mod libraries;
mod mapped;
mod names;
mod notes;
pub(crate) mod stamp;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use probebook_compiler::kernel_info::Unavailable;
use probebook_compiler::types::{EnumType, StructType, Type};
use probebook_compiler::user_info::{Boundary, UsdtProbe, UserBinary, UserInfo, UserPrototype, UserSymbol};

use super::System;
use cache::{Cache, LookedAt};
use debug_files::DebugFiles;
use dwarf::{DebugInfo, Line};

/// Functions that may begin within another one, or at its start: so many are looked at.
const NESTED: usize = 16;

/// What was read of user programs in this session.
#[derive(Default)]
pub struct UserFiles {
    binaries: Cache<UserBinary>,
    put_aside: Cache<Vec<UserSymbol>>,
    usdt_probes: Cache<Vec<UsdtProbe>>,
    debug_infos: Cache<DebugInfo>,
    debug_files: DebugFiles,
}

impl UserFiles {
    /// Folders in which separate debug files are looked for first.
    pub fn set_debug_directories(&self, directories: Vec<PathBuf>) {
        if self.debug_files.set_directories(directories) {
            self.binaries.clear();
            self.put_aside.clear();
            self.debug_infos.clear();
        }
    }

    /// The function at a place in a file whose symbols were stripped off, and put into another file or a section.
    pub fn stripped_symbol(&self, path: &Path, file_offset: u64) -> Option<UserSymbol> {
        let read = |path: &Path, others: &mut LookedAt| binary::read_put_aside(path, &self.debug_files, others);
        let symbols = self.put_aside.get_with_others(path, read).ok()?;
        let holds = |symbol: &&UserSymbol| file_offset - symbol.file_offset < symbol.size;
        let before = symbols.partition_point(|symbol| symbol.file_offset <= file_offset);
        symbols.get(..before)?.iter().rev().take(NESTED).find(holds).cloned()
    }

    fn debug_info(&self, path: &Path) -> Result<Arc<DebugInfo>, Unavailable> {
        let open = |path: &Path, others: &mut LookedAt| DebugInfo::open(path, &self.debug_files, others);
        self.debug_infos.get_with_others(path, open)
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
        self.user.binaries.get_with_others(path, |path, others| binary::read(path, &self.user.debug_files, others))
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

    fn user_prototype(&self, path: &Path, address: u64) -> Result<Arc<UserPrototype>, Unavailable> {
        let prototype = self.user.debug_info(path)?.prototype(address);
        prototype.ok_or_else(|| Unavailable {
            reason: format!("the debug information of {} does not describe this function", path.display()),
            remedy: Some("read its arguments by number: arg0, arg1, …".into()),
        })
    }

    fn user_struct(&self, path: &Path, near: u64, name: &str) -> Option<Arc<StructType>> {
        self.user.debug_info(path).ok()?.structure(near, name)
    }

    fn user_typedef(&self, path: &Path, near: u64, name: &str) -> Option<Type> {
        self.user.debug_info(path).ok()?.typedef(near, name)
    }

    fn user_enum(&self, path: &Path, near: u64, name: &str) -> Option<Arc<EnumType>> {
        self.user.debug_info(path).ok()?.enumeration(near, name)
    }

    fn line_address(&self, path: &Path, file: &str, line: u64, column: u64) -> Result<u64, Unavailable> {
        let found = self.user.debug_info(path)?.line(Line { file, line, column });
        found.map_err(|reason| Unavailable { reason, remedy: None })
    }
}
