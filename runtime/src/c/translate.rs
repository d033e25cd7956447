//! The program `clang`, which translates C to LLVM's bitcode: libclang reads C, but does not translate.

use std::env;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use probebook_compiler::c_compiler::CUnit;
use probebook_compiler::kernel_info::Unavailable;

use crate::text::reason;

/// The version of LLVM that programs are generated with: it reads its own bitcode and older.
const NEWEST: u32 = 22;
/// Versions before it lack what BPF needs (`-mcpu=v3`).
const OLDEST: u32 = 11;
/// Names another program than the one on the search path.
const VARIABLE: &str = "CLANG";

/// Translates a text, which `path` names in messages and in the verifier's log.
///
/// # Errors
///
/// There is no `clang`, or it cannot be started.
pub fn translate(unit: &CUnit, flags: &[String], path: &Path) -> Result<Result<Vec<u8>, String>, Unavailable> {
    let program = find().ok_or_else(|| Unavailable {
        reason: "clang was not found, which translates C sources".to_owned(),
        remedy: Some(format!(
            "install it (Debian and Ubuntu: apt-get install clang, Fedora: clang), version {OLDEST} to {NEWEST}, or set {VARIABLE}"
        )),
    })?;
    let text = format!("{}\n#line 1 {:?}\n{}", unit.prelude, path.display().to_string(), without_absent(unit));
    run(&program, flags, text).map_err(|error| Unavailable {
        reason: format!("{} cannot be run: {}", program.display(), reason(&error)),
        remedy: Some(format!("{VARIABLE} may name another one")),
    })
}

fn run(program: &Path, flags: &[String], text: String) -> io::Result<Result<Vec<u8>, String>> {
    let mut command = Command::new(program);
    command.args(flags).args(["-O2", "-g", "-mcpu=v3", "-emit-llvm", "-c", "-o", "-", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let words = child.stderr.take().map(|mut stderr| {
        thread::spawn(move || {
            let mut words = String::new();
            stderr.read_to_string(&mut words).map(|_| words)
        })
    });
    let feeder = child.stdin.take().map(|mut stdin| thread::spawn(move || stdin.write_all(text.as_bytes())));
    let bitcode = output(&mut child)?;
    // A compiler that has seen enough closes its input.
    let _ = feeder.map(thread::JoinHandle::join);
    let words = words.and_then(|thread| thread.join().ok()).transpose()?.unwrap_or_default();
    let fine = child.wait()?.success();
    Ok(if fine { Ok(bitcode) } else { Err(words) })
}

fn output(child: &mut Child) -> io::Result<Vec<u8>> {
    let mut bitcode = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_end(&mut bitcode)?;
    }
    Ok(bitcode)
}

/// The text without lines that include what is to be taken for empty.
fn without_absent(unit: &CUnit) -> String {
    let includes_absent = |line: &str| {
        let directive = line.trim_start().strip_prefix('#').map(str::trim_start);
        let header = directive.and_then(|line| line.strip_prefix("include")).map(str::trim);
        let header = header.map(|header| header.trim_matches(['<', '>', '"']));
        header.is_some_and(|header| unit.absent.iter().any(|absent| absent == header))
    };
    let lines = unit.text.lines().map(|line| if includes_absent(line) { "" } else { line });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// `clang`, or the newest `clang-N` whose bitcode can be read.
fn find() -> Option<PathBuf> {
    if let Some(named) = env::var_os(VARIABLE) {
        return Some(PathBuf::from(named));
    }
    let numbered = (OLDEST..=NEWEST).rev().map(|version| format!("clang-{version}"));
    let plain = on_path("clang").filter(|program| version_of(program).is_some_and(|version| version <= NEWEST));
    numbered.filter_map(|name| on_path(&name)).chain(plain).next()
}

fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// From `clang version 19.1.7 (3+b1)`.
fn version_of(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

fn parse_version(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("clang version ")?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_absent_are_not_included() {
        let text = "#include <vmlinux.h>\n # include \"x.h\"\nint a;\n".to_owned();
        let unit = CUnit { text, absent: vec!["vmlinux.h".to_owned()], ..CUnit::default() };
        assert_eq!(without_absent(&unit), "\n # include \"x.h\"\nint a;\n");
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version("Debian clang version 19.1.7 (3+b1)\nTarget: x"), Some(19));
        assert_eq!(parse_version("clang version 22.0.0git"), Some(22));
        assert_eq!(parse_version("something else"), None);
    }

    #[test]
    fn c_becomes_bitcode() {
        let unit = CUnit { text: "int one(void) { return 1; }\n".to_owned(), for_bpf: true, ..CUnit::default() };
        match translate(&unit, &super::super::flags::of(&unit), Path::new("/x/one.bpf.c")) {
            Ok(bitcode) => assert_eq!(bitcode.unwrap().get(..2), Some(b"BC".as_slice())),
            Err(reason) => println!("skipped: {reason}"),
        }
        let wrong = CUnit { text: "int one(void) { return x; }\n".to_owned(), ..unit };
        if let Ok(outcome) = translate(&wrong, &super::super::flags::of(&wrong), Path::new("/x/one.bpf.c")) {
            assert!(outcome.unwrap_err().contains("/x/one.bpf.c:1:24"));
        }
    }
}
