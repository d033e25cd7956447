//! `run -l`, `run -lv` and `list`.

use super::{Said, is_root, probebook};

fn list(arguments: &[&str]) -> Said {
    let said = probebook(&[&["run", "-l"], arguments].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    said
}

#[test]
fn timers_and_events_have_their_forms() {
    let said = list(&["interval:*"]);
    assert_eq!(said.stdout, "interval:hz:\ninterval:ms:\ninterval:s:\ninterval:us:\n");
    list(&["*ware:*"]).has("hardware:cpu-cycles:");
    list(&["software:cpu"]).has("software:cpu:");
}

#[test]
fn a_pattern_with_a_category_is_for_types_that_have_them() {
    if is_root() {
        assert_eq!(list(&["*:*:sys_enter_openat"]).stdout, "tracepoint:syscalls:sys_enter_openat\n");
    }
}

#[test]
fn everything_is_every_kernel_type() {
    if !is_root() {
        return;
    }
    let said = list(&[]);
    for ty in ["kprobe:", "tracepoint:", "software:", "hardware:", "fentry:vmlinux:", "rawtracepoint:vmlinux:", "iter:"]
    {
        assert!(said.stdout.lines().any(|line| line.starts_with(ty)), "no {ty}");
    }
    for ty in ["kretprobe:", "fexit:", "uprobe:", "interval:", "begin"] {
        assert!(!said.stdout.lines().any(|line| line.starts_with(ty)), "{ty}");
    }
}

#[test]
fn functions_are_shown_with_their_arguments() {
    if !is_root() {
        return;
    }
    let said = list(&["-v", "kprobe:vfs_read,kretprobe:vfs_read,fexit:vfs_read"]);
    let expected = "kprobe:vfs_read\n    struct file * arg0\n    char * arg1\n    size_t arg2\n    loff_t * arg3\n\
                    kretprobe:vfs_read\n    ssize_t retval\n\
                    fexit:vmlinux:vfs_read\n    struct file * file\n    char * buf\n    size_t count\n    loff_t * pos\n    ssize_t retval\n";
    assert_eq!(said.stdout, expected);
}

#[test]
fn tracepoints_are_shown_with_their_arguments() {
    if !is_root() {
        return;
    }
    let said = list(&["-v", "tracepoint:syscalls:sys_enter_openat"]);
    said.has("    const char * filename");
    let said = list(&["-v", "rawtracepoint:sys_enter"]);
    assert_eq!(said.stdout, "rawtracepoint:vmlinux:sys_enter\n    struct pt_regs * regs\n    long int id\n");
    let said = list(&["-v", "iter:task"]);
    assert_eq!(said.stdout, "iter:task\n    struct task_struct * task\n");
}

#[test]
fn types_are_named_and_defined() {
    list(&["struct task_str*"]).has("struct task_struct");
    let said = list(&["-v", "struct list_head,union bpf_attr"]);
    said.has("vmlinux: struct list_head {");
    said.has("\tstruct list_head *next;");
    said.has("vmlinux: union bpf_attr {");
}

#[test]
fn scripts_list_the_probes_that_they_would_attach() {
    if !is_root() {
        return;
    }
    let said = list(&[
        "-e",
        "begin { } hardware:cache-misses:10 { } tracepoint:sched:sched_sw*h { } interval:ms:5 { } profile:50ms { }",
    ]);
    assert_eq!(said.stdout, "hardware:cache-misses:\ntracepoint:sched:sched_switch\ninterval:ms:\nprofile:us:\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.bt");
    std::fs::write(&path, "kprobe:vfs_read { }").unwrap();
    assert_eq!(list(&[path.to_str().unwrap()]).stdout, "kprobe:vfs_read\n");
}

#[test]
fn a_name_that_looks_like_a_file_is_warned_of() {
    let said = list(&["non_existent_file.bt"]);
    assert_eq!(said.stdout, "");
    assert!(
        said.stderr.starts_with("WARNING: It appears that 'non_existent_file.bt' is a filename"),
        "{}",
        said.stderr
    );
}

#[test]
fn unknown_types_are_refused_with_the_nearest() {
    let said = probebook(&["list", "tracepont:sched:*"]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("did you mean tracepoint?"), "{}", said.stderr);
}

#[test]
fn programs_have_functions() {
    let own = env!("CARGO_BIN_EXE_probebook");
    let said = list(&[&format!("uprobe:{own}:main")]);
    said.has(&format!("uprobe:{own}:main"));
}

/// Ends a program when the test is over, however it ends.
struct Tracer(std::process::Child);

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn loaded_bpf_programs_are_listed_with_their_numbers() {
    if !is_root() {
        return;
    }
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_probebook"));
    let _tracer = Tracer(command.args(["run", "-q", "-e", "interval:s:1234 { @ = 1; }"]).spawn().unwrap());
    let begun = std::time::Instant::now();
    let said = loop {
        let said = list(&["fentry:bpf:interval_s_1234_*"]);
        if !said.stdout.is_empty() || begun.elapsed().as_secs() > 30 {
            break said.stdout;
        }
    };
    let id = said.strip_prefix("fentry:bpf:").and_then(|rest| rest.strip_suffix(":interval_s_1234_1\n"));
    let id = id.unwrap_or_else(|| panic!("{said}"));
    assert!(id.parse::<u32>().is_ok(), "{said}");
    list(&["-e", &format!("fexit:bpf:{id}:interval_s_1234_1 {{ }}")]).has(said.replace("fentry", "fexit").trim());
}

/// Needs a C compiler; where the program's debug information is elsewhere, `--debuginfo` says where.
#[test]
fn arguments_of_user_functions_come_from_debug_information() {
    let folder = tempfile::tempdir().unwrap();
    let run = |command: &str, arguments: &[&str]| {
        std::process::Command::new(command).args(arguments).current_dir(&folder).status().is_ok_and(|it| it.success())
    };
    let source = "struct foo { int a; };\nint take(const char *text, struct foo *foo, long n) { return foo->a; }\nint main() {}\n";
    std::fs::write(folder.path().join("program.c"), source).unwrap();
    if !run("cc", &["-g", "-o", "program", "program.c"]) {
        return println!("skipped: there is no C compiler");
    }
    let path = folder.path().join("program").display().to_string();
    let probe = format!("uprobe:{path}:take");
    let arguments = "\n    const char* text\n    struct foo* foo\n    long int n\n";
    assert_eq!(list(&["-v", &probe]).stdout, format!("{probe}{arguments}"));
    std::fs::create_dir(folder.path().join("debug")).unwrap();
    if !run("objcopy", &["--only-keep-debug", "program", "debug/program.debug"])
        || !run("objcopy", &["--strip-debug", "program"])
    {
        return println!("skipped: there is no objcopy");
    }
    assert_eq!(list(&["-v", &probe]).stdout, format!("{probe}\n"));
    assert_eq!(list(&["-v", &probe, "--debuginfo=/nowhere:debug"]).stdout, format!("{probe}{arguments}"));
}
