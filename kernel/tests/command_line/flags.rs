//! Flags of `run` that end before anything is traced.

use super::{is_root, probebook};

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
fn what_llvm_makes_of_a_script_is_shown_and_written() {
    const SCRIPT: [&str; 2] = ["-e", "begin { print(1); }"];
    let shown = |stage| probebook(&[&["run", "--mode", "codegen", "-d", stage], &SCRIPT[..]].concat()).stdout;
    let (original, optimised) = (shown("codegen"), shown("codegen-opt"));
    for text in [&original, &optimised] {
        assert!(text.contains("define i32 @begin_1("), "{text}");
    }
    assert_ne!(original, optimised);
    let assembly = shown("dis");
    assert!(assembly.contains("begin_1:") && assembly.contains("exit"), "{assembly}");
    let all = shown("all");
    assert!(all.contains("attach_points") && all.contains(&original) && all.contains(&assembly), "{all}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script").into_os_string().into_string().unwrap();
    let said = probebook(&[&["run", "--mode", "codegen", "--emit-llvm", &path], &SCRIPT[..]].concat());
    assert_eq!((said.code, said.stdout.as_str()), (0, ""), "{}", said.stderr);
    assert_eq!(std::fs::read_to_string(format!("{path}.original.ll")).unwrap(), original);
    assert_eq!(std::fs::read_to_string(format!("{path}.optimized.ll")).unwrap(), optimised);
    let nowhere = probebook(&[&["run", "--emit-llvm", "/no/such/folder/x"], &SCRIPT[..]].concat());
    assert_eq!(nowhere.code, 1);
    assert!(nowhere.stderr.contains("/no/such/folder/x.original.ll"), "{}", nowhere.stderr);
}

/// The kinds of the programs that a script becomes.
fn kinds(script: &str) -> Vec<String> {
    let said = probebook(&["run", "--mode", "codegen", "-d", "types", "-e", script]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let of_program = |line: &str| Some(line.strip_prefix("program ")?.split(' ').nth(1)?.to_owned());
    said.stdout.lines().filter_map(of_program).collect()
}

#[test]
fn many_probes_share_a_program() {
    if !is_root() {
        return;
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    let has_raw_cookies = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 10);
    let raw = if has_raw_cookies { "RawTracepoint" } else { "Tracepoint" };
    assert_eq!(kinds("tracepoint:syscalls:sys_* { @[probe] = count(); }"), ["Tracepoint"]);
    assert_eq!(kinds("tracepoint:syscalls:sys_exit_* { @[probe, args.ret] = count(); }"), ["Tracepoint"]);
    assert_eq!(kinds("tracepoint:sched:* { @[probe] = count(); }"), [raw]);
    assert_eq!(kinds("uprobe:libc:str* { @[probe, func] = count(); }"), ["Probe"]);
    // What can be attached directly is, though the other cannot.
    let mixed = "tracepoint:sched:sched_sw*, tracepoint:syscalls:sys_enter_read { @ = count(); }";
    assert_eq!(kinds(mixed), ["Tracepoint", "RawTracepoint"]);
}

#[test]
fn the_verifier_shows_its_work() {
    if !is_root() {
        return;
    }
    let said = probebook(&["run", "-q", "-d", "verifier", "-e", "begin { @ = 1; }"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.starts_with("The verifier on begin_1:\n"), "{}", said.stdout);
    assert!(said.stdout.contains("\nprocessed ") && said.stdout.ends_with("@: 1\n"), "{}", said.stdout);
}

#[test]
fn short_names_of_modes_and_bpftraces_other_flags_are_taken() {
    if !is_root() {
        return;
    }
    for (flag, probe) in [("--test", "test:one"), ("--bench", "bench:one")] {
        let script = format!("{probe} {{ @ = 1; }}");
        let (short, long) = (&["run", flag], &["run", "--mode", flag.trim_start_matches('-')]);
        for arguments in [&short[..], &long[..]] {
            let said = probebook(&[arguments, &["-e", &script]].concat());
            assert_eq!(said.code, 0, "{}", said.stderr);
            assert!(said.stdout.contains("one"), "{}", said.stdout);
        }
    }
    let said = probebook(&["run", "-q", "--dwarf-pid", "1", "--dwarf-pid", "2", "-e", "begin { print(1); exit(); }"]);
    assert_eq!((said.code, said.stdout.trim()), (0, "1"), "{}", said.stderr);
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
