//! `probebook doctor` and `run --info`.

use serde_json::Value;

use super::{is_root, probebook};

#[test]
fn every_probe_type_and_helper_is_tried() {
    if !is_root() {
        return;
    }
    let said = probebook(&["doctor", "-f", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let lines: Vec<Value> = serde_json::from_str(&said.stdout).unwrap();
    let state = |name: &str| {
        let line = lines.iter().find(|line| line["name"] == name).unwrap_or_else(|| panic!("no line {name}"));
        line["state"].as_str().unwrap().to_owned()
    };
    for name in [
        "begin",
        "self",
        "test",
        "bench",
        "tracepoint",
        "rawtracepoint",
        "interval",
        "software",
        "uprobe",
        "btf",
        "ringbuf_output",
    ] {
        assert_eq!(state(name), "works", "{name}");
    }
    for name in ["kprobe", "fentry", "iter", "watchpoint", "hardware", "kprobe_multi", "d_path", "lockdown"] {
        assert!(["works", "missing", "fails"].contains(&state(name).as_str()), "{name}");
    }
    // Whoever is told that a probe type fails is told what to do.
    let failing = lines.iter().filter(|line| line["state"] == "fails");
    failing.for_each(|line| assert!(line["remedy"].is_string(), "{line}"));
}

#[test]
fn a_failing_line_and_the_error_of_a_script_say_the_same() {
    if !is_root() {
        return;
    }
    let said = probebook(&["doctor", "-f", "json"]);
    let lines: Vec<Value> = serde_json::from_str(&said.stdout).unwrap();
    let line = lines.iter().find(|line| line["name"] == "kprobe").unwrap();
    let run = probebook(&["run", "--dry-run", "-e", "kprobe:vfs_rename { }"]);
    match line["state"].as_str() {
        Some("works") => assert_eq!(run.code, 0, "{}", run.stderr),
        _ => {
            assert_eq!(run.code, 1);
            let hint = format!("HINT: {}", line["remedy"].as_str().unwrap());
            assert!(run.stderr.contains(&hint), "{}", run.stderr);
            assert!(run.stderr.contains(line["detail"].as_str().unwrap()), "{}", run.stderr);
        }
    }
}

#[test]
fn a_missing_helper_and_the_error_of_a_script_say_the_same() {
    if !is_root() {
        return;
    }
    let said = probebook(&["doctor", "-f", "json"]);
    let lines: Vec<Value> = serde_json::from_str(&said.stdout).unwrap();
    let line = lines.iter().find(|line| line["name"] == "probe_write_user").unwrap();
    let script = "tracepoint:syscalls:sys_enter_getppid { $x = (uint64)1; write_user((uint64 *)1, &$x, 8); }";
    let run = probebook(&["run", "--unsafe", "--dry-run", "-e", script]);
    match line["state"].as_str() {
        Some("works") => assert_eq!(run.code, 0, "{}", run.stderr),
        _ => {
            assert_eq!(run.code, 1);
            let hint = format!("HINT: {}", line["remedy"].as_str().unwrap());
            assert!(run.stderr.contains(&hint), "{}", run.stderr);
        }
    }
}

#[test]
fn info_has_bpftraces_words() {
    if !is_root() {
        return;
    }
    let said = probebook(&["run", "--info"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for name in [
        "kprobe_session:",
        "  bcc library path resolution: yes",
        "  btf: yes",
        "  probe_read_kernel: yes",
        "  dpath:",
        "  iter:",
    ] {
        assert!(said.stdout.contains(name), "{name}: {}", said.stdout);
    }
}
