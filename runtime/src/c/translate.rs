//! The program `clang`, which translates C to LLVM's bitcode: libclang reads C, but does not translate.

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use probebook_compiler::c_compiler::CUnit;
use probebook_compiler::kernel_info::Unavailable;

use super::GivenUp;
use crate::loader::limits;
use crate::process::{Chunk, Output};
use crate::text::reason;

/// The version of LLVM that programs are generated with: it reads its own bitcode and older.
const NEWEST: u32 = 22;
/// Versions before it lack what BPF needs (`-mcpu=v3`).
const OLDEST: u32 = 11;
/// Names another program than the one on the search path.
const VARIABLE: &str = "CLANG";
/// What a text may take to translate.
const MEMORY: u64 = 4 << 30;
const SECONDS: u64 = 60;
/// The longest bitcode, and the most words about mistakes.
const MOST_BITCODE: usize = 64 << 20;
const MOST_WORDS: u64 = 64 << 10;
/// How often one looks whether it is to end.
const TICK: Duration = Duration::from_millis(20);

/// Translates a text, which `path` names in messages and in the verifier's log.
///
/// # Errors
///
/// There is no `clang`, it cannot be started, or it was given up.
pub fn translate(
    unit: &CUnit,
    flags: &[String],
    path: &Path,
    given_up: &GivenUp,
) -> Result<Result<Vec<u8>, String>, Unavailable> {
    let program = find(given_up).ok_or_else(|| Unavailable {
        reason: "clang was not found, which translates C sources".to_owned(),
        remedy: Some(format!(
            "install it (Debian and Ubuntu: apt-get install clang, Fedora: clang), version {OLDEST} to {NEWEST}, or set {VARIABLE}"
        )),
    })?;
    let text = format!("{}\n#line 1 {:?}\n{}", unit.prelude, path.display().to_string(), without_absent(unit));
    run(&program, flags, text, given_up).map_err(|error| match given_up.check() {
        Err(given_up) => given_up,
        Ok(()) => Unavailable {
            reason: format!("{} cannot be run: {}", program.display(), reason(&error)),
            remedy: Some(format!("{VARIABLE} may name another one")),
        },
    })
}

fn run(program: &Path, flags: &[String], text: String, given_up: &GivenUp) -> io::Result<Result<Vec<u8>, String>> {
    let (reader, writer) = io::pipe()?;
    let mut command = command(program);
    command.args(flags).args(["-O2", "-g", "-mcpu=v3", "-emit-llvm", "-c", "-o", "-", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(writer).stderr(Stdio::piped()).spawn()?;
    // Holds the pipe's writing end, which must be closed for the reader to see the end.
    drop(command);
    let words = child.stderr.take().map(|mut stderr| {
        thread::spawn(move || {
            let mut words = Vec::new();
            let read = stderr.by_ref().take(MOST_WORDS).read_to_end(&mut words);
            // What is left is read, so that clang need not wait for us.
            read.and_then(|_| io::copy(&mut stderr, &mut io::sink()))
                .map(|_| String::from_utf8_lossy(&words).into_owned())
        })
    });
    let feeder = child.stdin.take().map(|mut stdin| thread::spawn(move || stdin.write_all(text.as_bytes())));
    // On failure nobody waits for the threads: what clang has started may keep its pipes open.
    let bitcode = all_of(&mut child, &Output::new(reader), given_up)?;
    // A compiler that has seen enough closes its input.
    let _ = feeder.map(thread::JoinHandle::join);
    let words = words.and_then(|thread| thread.join().ok()).transpose()?.unwrap_or_default();
    let status = child.wait()?;
    Ok(if status.success() { Ok(bitcode) } else { Err(in_words(status, words)) })
}

/// Clang, with the limits that it has.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    limits::restore_descriptors(&mut command);
    limits::confine(&mut command, MEMORY, SECONDS);
    command
}

/// What clang puts out until its end; if it is not to go on, it is ended.
fn all_of(child: &mut Child, chunks: &Output, given_up: &GivenUp) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        match chunks.next(TICK) {
            Chunk::Bytes(bytes) => all.extend_from_slice(&bytes),
            Chunk::End => return Ok(all),
            Chunk::Nothing => {}
        }
        let too_long = all.len() > MOST_BITCODE;
        if too_long || given_up.check().is_err() {
            child.kill()?;
            child.wait()?;
            return Err(if too_long { io::ErrorKind::FileTooLarge.into() } else { io::ErrorKind::Interrupted.into() });
        }
    }
}

/// What clang has said; of an end that it did not choose itself, why.
fn in_words(status: ExitStatus, words: String) -> String {
    match status.signal() {
        // At the hard limit of RLIMIT_CPU the kernel kills (setrlimit(2)).
        Some(libc::SIGXCPU | libc::SIGKILL) => {
            format!("{words}clang was ended: it had taken {SECONDS} s of processor time, or the memory there is")
        }
        Some(signal) => {
            format!("{words}clang was ended by signal {signal}; it may have {} GiB of memory", MEMORY >> 30)
        }
        None => words,
    }
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
fn find(given_up: &GivenUp) -> Option<PathBuf> {
    if let Some(named) = env::var_os(VARIABLE) {
        return Some(PathBuf::from(named));
    }
    let numbered = (OLDEST..=NEWEST).rev().map(|version| format!("clang-{version}"));
    let plain = || on_path("clang").filter(|program| version_of(program, given_up).is_some_and(|it| it <= NEWEST));
    numbered.filter_map(|name| on_path(&name)).next().or_else(plain)
}

fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// From `clang version 19.1.7 (3+b1)`.
fn version_of(program: &Path, given_up: &GivenUp) -> Option<u32> {
    let (reader, writer) = io::pipe().ok()?;
    let mut command = command(program);
    command.arg("--version").stdin(Stdio::null()).stdout(writer).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    drop(command);
    let said = all_of(&mut child, &Output::new(reader), given_up).ok()?;
    child.wait().ok()?;
    parse_version(&String::from_utf8_lossy(&said))
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
        match translate(&unit, &super::super::flags::of(&unit), Path::new("/x/one.bpf.c"), &GivenUp::default()) {
            Ok(bitcode) => assert_eq!(bitcode.unwrap().get(..2), Some(b"BC".as_slice())),
            Err(reason) => println!("skipped: {reason}"),
        }
        let wrong = CUnit { text: "int one(void) { return x; }\n".to_owned(), ..unit };
        if let Ok(outcome) =
            translate(&wrong, &super::super::flags::of(&wrong), Path::new("/x/one.bpf.c"), &GivenUp::default())
        {
            assert!(outcome.unwrap_err().contains("/x/one.bpf.c:1:24"));
        }
    }

    /// A compiler that never ends, in `run`.
    fn endless(folder: &Path, body: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let program = folder.join("clang");
        std::fs::write(&program, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    #[test]
    fn what_is_given_up_ends_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let program = endless(folder.path(), "exec sleep 30");
        let given_up = GivenUp::default();
        let start = std::time::Instant::now();
        let error = thread::scope(|scope| {
            let run = scope.spawn(|| run(&program, &[], "int a;".to_owned(), &given_up));
            thread::sleep(Duration::from_millis(100));
            given_up.set(true);
            run.join().unwrap().unwrap_err()
        });
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn clang_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let program = endless(folder.path(), "ulimit -v >&2; ulimit -t >&2; exit 1");
        let words = run(&program, &[], String::new(), &GivenUp::default()).unwrap().unwrap_err();
        assert_eq!(words, format!("{}\n{SECONDS}\n", MEMORY >> 10));
        let program = endless(folder.path(), "exec cat /dev/zero");
        let error = run(&program, &[], String::new(), &GivenUp::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
