//! The kernel's functions that can be traced.
//!
//! ftrace has a list of them. It may exist and still be unreadable (lockdown), then the symbol table and
//! the kernel's types have to do, less what is known not to be traceable.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use probebook_compiler::kernel_info::KERNEL;

use super::System;

/// Address ranges in which the kernel allows no probes, with the functions they belong to.
const BLACKLIST: &str = "/sys/kernel/debug/kprobes/blacklist";

/// Sections of code that is gone when the kernel has started, or that tracing itself runs through
/// (`include/asm-generic/vmlinux.lds.h`), by the symbols that enclose them.
const UNTRACEABLE_SECTIONS: [(&str, &str); 5] = [
    ("_sinittext", "_einittext"),
    ("__noinstr_text_start", "__noinstr_text_end"),
    ("__entry_text_start", "__entry_text_end"),
    ("__kprobes_text_start", "__kprobes_text_end"),
    ("__irqentry_text_start", "__irqentry_text_end"),
];

/// `(module, function)`, sorted by function.
pub fn functions(system: &System) -> Vec<(String, String)> {
    let list = system.tracefs().root().ok().map(|root| root.join("available_filter_functions"));
    let text = list.and_then(|path| fs::read_to_string(path).ok());
    let mut functions = match text {
        Some(text) => of_text(&text),
        None => described(system),
    };
    let forbidden = fs::read_to_string(BLACKLIST).unwrap_or_default();
    let forbidden: HashSet<&str> = forbidden.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    functions.retain(|(function, _)| !forbidden.contains(function.as_str()));
    by_module(functions)
}

/// The same for a list of the user's own.
pub fn of_file(path: &Path) -> io::Result<Vec<(String, String)>> {
    Ok(by_module(of_text(&String::from_utf8_lossy(&fs::read(path)?))))
}

fn of_text(text: &str) -> Vec<(String, String)> {
    text.lines().filter_map(listed).collect()
}

fn by_module(mut functions: Vec<(String, String)>) -> Vec<(String, String)> {
    functions.sort_unstable();
    functions.dedup();
    functions.into_iter().map(|(function, module)| (module, function)).collect()
}

/// Functions that both BTF and the symbol table know, and those of modules.
fn described(system: &System) -> Vec<(String, String)> {
    let described: HashSet<&str> = system.btf().functions().collect();
    let kallsyms = system.kallsyms();
    let sections: Vec<(u64, u64)> = UNTRACEABLE_SECTIONS
        .iter()
        .filter_map(|(start, end)| Some((kallsyms.address(start)?, kallsyms.address(end)?)))
        .collect();
    let is_apart = |address: u64| sections.iter().any(|(start, end)| (*start..*end).contains(&address));
    let functions = kallsyms.iter().filter(|symbol| matches!(symbol.kind, 't' | 'T' | 'w' | 'W'));
    let known = functions.filter(|symbol| match symbol.module {
        "" => described.contains(symbol.name) && !is_apart(symbol.address),
        "bpf" | "__builtin__ftrace" | "__builtin__kprobes" => false,
        _ => true,
    });
    known
        .map(|symbol| {
            let module = if symbol.module.is_empty() { KERNEL } else { symbol.module };
            (symbol.name.to_owned(), module.to_owned())
        })
        .collect()
}

/// `vfs_read` or `ext4_sync_fs [ext4]`, as function and module.
fn listed(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    let function = words.next()?;
    let module = words.next().map_or(KERNEL, |module| module.trim_matches(['[', ']']));
    Some((function.to_owned(), module.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_modules_name_their_module() {
        assert_eq!(listed("vfs_read"), Some(("vfs_read".into(), "vmlinux".into())));
        assert_eq!(listed("ext4_sync_fs [ext4]"), Some(("ext4_sync_fs".into(), "ext4".into())));
        assert_eq!(listed(""), None);
    }

    #[test]
    fn functions_are_sorted_and_named_once() {
        let pair = |module: &str, function: &str| (module.to_owned(), function.to_owned());
        let functions = by_module(of_text("write [b]\nread\nwrite [a]\nread\n"));
        assert_eq!(functions, [pair("vmlinux", "read"), pair("a", "write"), pair("b", "write")]);
    }

    #[test]
    fn code_of_the_start_is_not_traceable() {
        if crate::loader::privilege::missing_privilege().is_some() {
            return println!("skipped: needs root");
        }
        let system = System::new();
        let all = described(&system);
        let has = |name: &str| all.iter().any(|(function, _)| function == name);
        assert!(has("vfs_read"));
        assert!(!has("start_kernel"), "start_kernel is __init");
    }
}
