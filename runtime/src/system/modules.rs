//! The types of kernel modules, read when they are asked for.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use probebook_compiler::types::StructType;

use super::btf::{Btf, MODULES};
use probebook_compiler::kernel_info::KERNEL;

/// Modules that were looked at; `None` for one that does not describe itself.
#[derive(Default)]
pub struct Modules {
    known: Mutex<HashMap<String, Option<Arc<Btf>>>>,
}

impl Modules {
    /// A module's types, which build upon the kernel's.
    pub fn get(&self, module: &str, kernel: &Btf) -> Option<Arc<Btf>> {
        // A module's name is that of a file.
        if module.contains('/') || module.starts_with('.') {
            return None;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(found)) = known.get(module) {
            return Some(Arc::clone(found));
        }
        // One that was not there may have been loaded since.
        let found = kernel.read_module(module).map(Arc::new);
        known.insert(module.to_owned(), found.clone());
        found
    }

    /// A structure that only a module describes.
    pub fn struct_type(&self, name: &str, kernel: &Btf) -> Option<Arc<StructType>> {
        let entries = fs::read_dir(MODULES).ok()?.flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names.iter().filter(|module| *module != KERNEL).find_map(|module| self.get(module, kernel)?.struct_type(name))
    }
}
