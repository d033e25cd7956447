//! What happens where the kernel sets a bound.

use std::process::Command;

use super::is_root;

/// Runs a command of the shell; what it said on standard error.
fn shell(command: &str) -> (Option<i32>, String) {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("PROBEBOOK", env!("CARGO_BIN_EXE_probebook"));
    let output = shell.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

const MANY: &str =
    "--no-feature uprobe_multi -c true -e 'uprobe:libc:mem* { @ = count(); } uprobe:libc:str* { @ = count(); }'";

#[test]
fn too_few_descriptors_are_told_as_such() {
    if !is_root() {
        return;
    }
    let (code, said) = shell(&format!("ulimit -n 60; exec $PROBEBOOK run {MANY}"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Unable to attach probe: uprobe:/") && said.contains("may have 60 descriptors"), "{said}");
    assert!(said.contains("ulimit -n"), "{said}");
}

/// The limit that is in force is not the one that could be.
#[test]
fn descriptors_are_taken_as_far_as_they_go() {
    if !is_root() {
        return;
    }
    let (code, said) = shell(&format!("ulimit -Sn 60; exec $PROBEBOOK run {MANY}"));
    assert_eq!(code, Some(0), "{said}");
}
