//! What reaches a terminal, and what happens when nobody takes the output.

use std::fs;
use std::process::{Command, Stdio};

use super::{is_root, probebook};

const HOSTILE: &str = "a\u{1b}[31mb\rc\u{7}\n";

/// Runs a script with standard output on a terminal of its own; gives all that is written there.
fn on_a_terminal(script: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script.bt");
    fs::write(&file, script).unwrap();
    let command = format!("{} run -q --unsafe {}", env!("CARGO_BIN_EXE_probebook"), file.display());
    let ran = Command::new("script").args(["-qec", &command, "/dev/null"]).stdin(Stdio::null()).output();
    match ran {
        Ok(output) => Some(String::from_utf8(output.stdout).unwrap()),
        Err(_) => {
            println!("skipped: needs script (bsdutils)");
            None
        }
    }
}

#[test]
fn files_do_not_act_on_a_terminal() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile");
    fs::write(&path, HOSTILE).unwrap();
    let script = format!("begin {{ cat(\"{}\"); }}", path.display());
    let Some(shown) = on_a_terminal(&script) else { return };
    assert!(shown.contains("a\\x1b[31mb\\x0dc\\x07"), "{shown:?}");
    assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
    // Others get the file as it is.
    let said = probebook(&["run", "-q", "-e", &script]);
    assert!(said.stdout.starts_with(HOSTILE), "{:?}", said.stdout);
}

#[test]
fn commands_and_the_script_itself_may_use_colours() {
    if !is_root() {
        return;
    }
    let Some(shown) = on_a_terminal("begin { system(\"printf 'x\\\\033[32my'\"); printf(\"\\x1b[31mz\"); }") else {
        return;
    };
    assert!(shown.contains("x\u{1b}[32my") && shown.contains("\u{1b}[31mz"), "{shown:?}");
}

/// Runs in a mount namespace of its own, where `$1` is a file system of a few kilobytes.
fn on_a_small_disk(script: &str) -> Option<std::process::Output> {
    let folder = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=16k tmpfs \"$1\" && cd \"$1\" && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", mount, "sh"]).arg(folder.path());
    command.args([
        "timeout",
        "20",
        env!("CARGO_BIN_EXE_probebook"),
        "run",
        "-q",
        "--unsafe",
        "-o",
        "out",
        "-e",
        script,
    ]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    if error.contains("unshare") {
        println!("skipped: {error}");
        return None;
    }
    Some(output)
}

#[test]
fn a_full_disk_ends_the_run_and_is_said() {
    if !is_root() {
        return;
    }
    for script in [
        "begin { for ($i : 0..10000) { printf(\"0123456789\\n\"); } }",
        "interval:us:100 { printf(\"%s\\n\", \"0123456789012345678901234567890123456789\"); }",
        "begin { for ($i : 0..4000) { @[$i] = $i; } }",
    ] {
        let Some(output) = on_a_small_disk(script) else { return };
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.contains("ERROR: not all of the output could be written to out: No space left"),
            "{script}: {error}"
        );
        assert_eq!(output.status.code(), Some(1), "{script}");
    }
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    if !is_root() {
        return;
    }
    let script = "interval:us:100 { printf(\"0123456789\\n\"); }";
    let command = format!("timeout 20 {} run -q -e '{script}' | head -n 3", env!("CARGO_BIN_EXE_probebook"));
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 3);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_storm_of_signals_ends_a_run_once() {
    if !is_root() {
        return;
    }
    for signal in ["INT", "TERM"] {
        let script = "interval:us:500 { @ = count(); } end { printf(\"end\\n\"); }";
        let mut child = Command::new(env!("CARGO_BIN_EXE_probebook"))
            .args(["run", "-e", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(700));
        let storm = format!("for i in 1 2 3 4 5 6 7 8 9; do kill -{signal} {} || exit; done", child.id());
        Command::new("sh").args(["-c", &storm]).status().unwrap();
        let start = std::time::Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed().as_secs() < 10, "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        // In order, or given up at the third: never by the signal itself.
        assert!(matches!(status.code(), Some(0 | 130)), "{status}");
    }
}
