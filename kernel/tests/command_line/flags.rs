//! Flags of `run` that end before anything is traced.

use super::probebook;

#[test]
fn help_and_versions_go_to_standard_output() {
    let said = probebook(&["run", "-h"]);
    assert_eq!(said.code, 0);
    said.has("USAGE:");
    assert!(said.stdout.contains("--usdt-file-activation"), "{}", said.stdout);
    let said = probebook(&["run", "-V"]);
    assert_eq!(said.code, 0);
    assert!(said.stdout.starts_with("probebook ") && said.stdout.contains("\nbpftrace v0."), "{}", said.stdout);
}

#[test]
fn what_is_wrong_with_the_flags_is_said_on_standard_error() {
    for (arguments, text) in [
        (&["-idonotexist"][..], "USAGE:"),
        (&[], "USAGE: filename or -e 'program' required."),
        (&["-c", "true", "-p", "1", "-e", "begin {}"], "Cannot use both -c and -p."),
        (&["-kk", "-e", "begin {}"], "a single -k"),
        (&["--aot", "x", "-e", "begin {}"], "--aot is not supported"),
        (&["--mode", "nonsense", "-e", "begin {}"], "--mode can only be"),
        (&["--no-feature", "nonsense", "-e", "begin {}"], "kprobe_multi,kprobe_session,uprobe_multi"),
        (&["-d", "nonsense", "-e", "begin {}"], "invalid option for -d: nonsense"),
        (&["-B", "nonsense", "-e", "begin {}"], "-B must be"),
        (&["-p", "111a1", "-e", "begin {}"], "Failed to parse pid: invalid trailing bytes: 111a1"),
        (&["/dev/zero"], "ERROR: /dev/zero is larger than 16 MiB"),
        (&["/"], "ERROR: failed to open file '/': Is a directory"),
        (&["no_such_file.bt"], "ERROR: failed to open file 'no_such_file.bt': No such file or directory"),
    ] {
        let said = probebook(&[&["run"], arguments].concat());
        assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{arguments:?}");
        assert!(said.stderr.contains(text), "{arguments:?}: {}", said.stderr);
    }
}

#[test]
fn inner_forms_are_shown() {
    let said = probebook(&["run", "-d", "ast,types", "--mode", "codegen", "-e", "begin { print(1); }"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains("attach_points") && said.stdout.contains("program"), "{}", said.stdout);
}

#[test]
fn the_object_is_an_elf_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("object");
    let path = path.to_str().unwrap();
    let said = probebook(&["run", "--emit-elf", path, "-e", "begin { print(1); }"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(std::fs::read(path).unwrap().starts_with(b"\x7fELF"));
}
