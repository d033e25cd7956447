//! Objects that were generated before: a cell that is run again skips LLVM.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::{Object, Options, Result, generate};
use crate::diagnostics::Sources;
use crate::ir::Module;

/// As many scripts are remembered; a notebook seldom has more cells that trace.
const CAPACITY: usize = 64;

/// Remembers objects by everything that they are made of. May be shared between threads.
#[derive(Default)]
pub struct Cache {
    /// The one that was asked for last is in front.
    entries: Mutex<VecDeque<Entry>>,
}

struct Entry {
    module: Module,
    /// Of all sources: line information quotes them.
    texts: Vec<String>,
    options: Options,
    object: Object,
}

impl Cache {
    /// As [`generate`], which is called if nothing like it is remembered.
    pub fn generate(&self, module: &Module, sources: &Sources, options: &Options) -> Result<Object> {
        if let Some(object) = self.find(module, sources, options) {
            return Ok(object);
        }
        let object = generate(module, sources, options)?;
        let texts = sources.texts().map(str::to_owned).collect();
        let entry = Entry { module: module.clone(), texts, options: *options, object: object.clone() };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.truncate(CAPACITY - 1);
        entries.push_front(entry);
        Ok(object)
    }

    fn find(&self, module: &Module, sources: &Sources, options: &Options) -> Option<Object> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let index = entries.iter().position(|entry| {
            entry.options == *options && sources.texts().eq(&entry.texts) && entry.module == *module
        })?;
        let entry = entries.remove(index)?;
        let object = entry.object.clone();
        entries.push_front(entry);
        Some(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Program, Stmt};
    use crate::plan::ProgramKind;

    fn module(default_return: i32) -> Module {
        let program = Program {
            symbol: "begin_1".into(),
            kind: ProgramKind::Run,
            vars: Vec::new(),
            slots: Vec::new(),
            body: vec![Stmt::Return(None)],
            default_return,
        };
        Module { programs: vec![program], license: "GPL".into(), ..Module::default() }
    }

    fn sources(text: &str) -> Sources {
        let mut sources = Sources::default();
        sources.add("In [1]", text);
        sources
    }

    #[test]
    fn what_differs_in_anything_is_generated_anew() {
        let cache = Cache::default();
        let options = Options::default();
        let first = cache.generate(&module(0), &sources("a"), &options).unwrap();
        assert!(cache.find(&module(0), &sources("a"), &options).is_some_and(|found| found.files == first.files));
        assert!(cache.find(&module(1), &sources("a"), &options).is_none());
        assert!(cache.find(&module(0), &sources("b"), &options).is_none());
        let other = cache.generate(&module(1), &sources("a"), &options).unwrap();
        assert_ne!(first.files, other.files);
    }

    #[test]
    fn what_was_not_asked_for_longest_is_forgotten() {
        let cache = Cache::default();
        let options = Options::default();
        for number in 0..CAPACITY as i32 {
            cache.generate(&module(number), &sources("a"), &options).unwrap();
        }
        assert!(cache.find(&module(0), &sources("a"), &options).is_some());
        cache.generate(&module(-1), &sources("a"), &options).unwrap();
        assert!(cache.find(&module(0), &sources("a"), &options).is_some());
        assert!(cache.find(&module(1), &sources("a"), &options).is_none());
    }
}
