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
