//! What works with which capabilities, as the README says, for a user who is not root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Said, is_root};

const NOBODY: &str = "65534";

/// The program where every user may run it, and a script for each case.
struct Bench {
    program: PathBuf,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// `None` where the test cannot run; says why.
    fn new() -> Option<Bench> {
        if !is_root() {
            return None;
        }
        if Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_err() {
            println!("skipped: needs setpriv (util-linux)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = folder.path().join("probebook");
        // By another process: what is forked meanwhile would hold it open for writing (ETXTBSY).
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_probebook")).arg(&program).status().unwrap();
        assert!(copied.success());
        Some(Bench { program, _folder: folder })
    }

    /// Runs a script as a user who has these capabilities and no other, where tracefs is mounted if
    /// `with_tracefs`.
    fn run(&self, capabilities: &str, with_tracefs: bool, script: &str) -> Said {
        self.command(capabilities, with_tracefs, &["run", "-q", "-e", script])
    }

    fn command(&self, capabilities: &str, with_tracefs: bool, arguments: &[&str]) -> Said {
        let set = format!("-all{capabilities}");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c"]);
        command.arg(match with_tracefs {
            true => "mount -t tracefs tracefs /sys/kernel/tracing && exec \"$@\"",
            false => "while umount /sys/kernel/tracing; do :; done 2>/dev/null; umount -l /sys/kernel/debug 2>/dev/null; exec \"$@\"",
        });
        command.args(["sh", "setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
        command.args(["--inh-caps", &set, "--ambient-caps", &set, "--bounding-set", &set]);
        command.arg(&self.program).args(arguments);
        let output = command.stdin(Stdio::null()).output().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn works(&self, capabilities: &str, with_tracefs: bool, script: &str) -> Said {
        let said = self.run(capabilities, with_tracefs, script);
        assert_eq!(said.code, 0, "{capabilities} {script}: {}", said.stderr);
        said
    }

    #[track_caller]
    fn fails(&self, capabilities: &str, script: &str, reason: &str) {
        let said = self.run(capabilities, false, script);
        assert_eq!(said.code, 1, "{capabilities} {script}: {}", said.stdout);
        assert!(said.stderr.contains(reason), "{capabilities} {script}: {}", said.stderr);
        assert!(!said.stderr.contains("os error"), "{}", said.stderr);
    }
}

const TRACING: &str = ",+bpf,+perfmon";

#[test]
fn two_capabilities_suffice_for_most_probes() {
    let Some(bench) = Bench::new() else { return };
    for probe in ["profile:hz:99", "software:cs:1", "rawtracepoint:sys_enter", "uprobe:libc:posix_fallocate"] {
        bench.works(TRACING, false, &format!("{probe} {{ @ = count(); }} interval:ms:10 {{ exit(); }}"));
    }
    assert_eq!(bench.works(TRACING, false, "begin { printf(\"%d\", 1); }").stdout.trim(), "1");
}

#[test]
fn tracefs_needs_one_more() {
    let Some(bench) = Bench::new() else { return };
    let script = "tracepoint:sched:sched_switch { @ = args.prev_pid; } interval:ms:10 { exit(); }";
    bench.works(",+bpf,+perfmon,+dac_read_search", true, script);
    bench.works(",+bpf,+perfmon,+dac_read_search,+sys_admin", false, script);
    bench.fails(",+bpf,+perfmon,+dac_read_search", script, "mounting it needs CAP_SYS_ADMIN");
}

#[test]
fn names_of_kernel_functions_need_one_more() {
    let Some(bench) = Bench::new() else { return };
    if fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").is_ok_and(|text| text.trim() < "2") {
        return println!("skipped: /proc/sys/kernel/perf_event_paranoid shows everybody the addresses");
    }
    let script = "begin { printf(\"%s\", ksym(kaddr(\"vfs_read\"))); }";
    assert_eq!(bench.works(",+bpf,+perfmon,+syslog", false, script).stdout.trim(), "vfs_read");
    bench.fails(TRACING, script, "CAP_SYSLOG");
}

#[test]
fn lists_say_what_keeps_them_short() {
    let Some(bench) = Bench::new() else { return };
    let list = |what: &str| bench.command(TRACING, false, &["list", what]);
    assert!(list("tracepoint:sched:*").stderr.contains("mount it as root"), "{}", list("tracepoint:sched:*").stderr);
    if !fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").is_ok_and(|text| text.trim() < "2") {
        assert!(list("kprobe:vfs_*").stderr.contains("CAP_SYSLOG"), "{}", list("kprobe:vfs_*").stderr);
    }
}

#[test]
fn what_is_missing_is_named() {
    let Some(bench) = Bench::new() else { return };
    bench.fails("", "begin { }", "needs CAP_BPF and CAP_PERFMON");
    bench.fails(",+bpf", "begin { }", "needs CAP_PERFMON");
    bench.fails(",+perfmon", "begin { @ = 1; }", "needs CAP_BPF");
}
