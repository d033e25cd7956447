//! Structures, unions and enumerations of the kernel, by name or with their definitions.

use std::collections::BTreeMap;

use probebook_compiler::semantics::probes::glob;
use probebook_runtime::system::System;

const KEYWORDS: [&str; 3] = ["struct", "union", "enum"];

/// `struct file` with single blanks, if that is what is asked for.
pub fn pattern(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    let (keyword, name) = (words.next()?, words.next()?);
    (KEYWORDS.contains(&keyword) && words.next().is_none()).then(|| format!("{keyword} {name}"))
}

/// The types that a pattern matches, sorted; with their definitions if asked for.
pub fn matching(system: &System, pattern: &str, with_definitions: bool) -> Vec<String> {
    let btf = system.btf();
    let mut found = BTreeMap::new();
    for (id, name) in btf.type_names().filter(|(_, name)| glob::matches(pattern, name)) {
        // The first of several of the same name is the one that scripts see.
        found.entry(name).or_insert(id);
    }
    let show = |(name, id): (String, u32)| match btf.definition(id) {
        Some(definition) if with_definitions => format!("vmlinux: {definition}"),
        _ => name,
    };
    found.into_iter().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_and_a_name_are_a_type() {
        assert_eq!(pattern("struct  file"), Some("struct file".to_string()));
        assert_eq!(pattern("enum *"), Some("enum *".to_string()));
        assert_eq!(pattern("struct"), None);
        assert_eq!(pattern("kprobe:struct"), None);
    }
}
