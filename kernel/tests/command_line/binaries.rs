//! What user probes make of files that are damaged, special, or gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::{Said, is_root, probebook};

/// A program that calls `tick` fifty times a second, for ten seconds unless it is killed.
const SOURCE: &str = "#include <unistd.h>
__attribute__((noinline)) int tick(int n) { __asm__ volatile(\"\" ::: \"memory\"); return n + 1; }
int main(void) { int n = 0; for (int i = 0; i < 500; i++) { n = tick(n); usleep(20000); } return n == 0; }
";

/// A folder with the program in it; `None`, and a word about it, without a compiler.
fn ticking() -> Option<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("ticking.c"), folder.path().join("ticking"));
    fs::write(&source, SOURCE).unwrap();
    let compiled = Command::new("cc").args(["-O1", "-g", "-o"]).args([&program, &source]).status();
    if !compiled.is_ok_and(|status| status.success()) {
        println!("skipped: needs a C compiler");
        return None;
    }
    Some((folder, program))
}

/// A process that is ended with the test.
struct Running(Child);

impl Running {
    fn start(program: &Path) -> Running {
        Running(Command::new(program).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(script: &str) -> Said {
    probebook(&["run", "-q", "-e", script])
}

/// The answer must come at once, whatever the file is.
#[track_caller]
fn refused(file: &Path, because: &str) {
    let started = Instant::now();
    for probe in ["uprobe", "usdt"] {
        let said = run(&format!("{probe}:\"{}\":tick {{ exit(); }}", file.display()));
        assert_eq!(said.code, 1, "{}", said.stdout);
        assert!(said.stderr.contains(because), "{}", said.stderr);
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn what_is_no_program_is_refused_at_once() {
    let Some((folder, program)) = ticking() else { return };
    let file = |name: &str| folder.path().join(name);
    let good = fs::read(&program).unwrap();
    fs::write(file("short"), &good[..100]).unwrap();
    refused(&file("short"), "is not a program or library");
    // Cut in the middle: the section headers are gone that the ELF header announces.
    fs::write(file("half"), &good[..good.len() / 2]).unwrap();
    refused(&file("half"), "is not a program or library");
    fs::write(file("empty"), "").unwrap();
    refused(&file("empty"), "is not a program or library");
    fs::write(file("text"), "#!/bin/sh\n").unwrap();
    refused(&file("text"), "is not a program or library");
    let absent = "does not exist or is not executable";
    assert!(Command::new("mkfifo").arg(file("pipe")).status().unwrap().success());
    refused(&file("pipe"), absent);
    for target in ["pipe", "loop", ".", "/dev/zero", "/proc/self/mem", "absent"] {
        let _ = fs::remove_file(file("loop"));
        std::os::unix::fs::symlink(target, file("loop")).unwrap();
        let because = if target == "/proc/self/mem" { "/loop" } else { absent };
        refused(&file("loop"), because);
    }
}

#[test]
fn programs_without_symbols_say_so() {
    let Some((folder, program)) = ticking() else { return };
    let stripped = folder.path().join("stripped");
    let strip = Command::new("strip").arg("-o").args([&stripped, &program]).status();
    if !strip.is_ok_and(|status| status.success()) {
        return println!("skipped: needs strip");
    }
    let said = run(&format!("uprobe:{}:tick {{ }}", stripped.display()));
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("HINT: this file has no symbols of functions"), "{}", said.stderr);
}

#[test]
fn names_may_have_any_characters() {
    let Some((folder, program)) = ticking() else { return };
    if !is_root() {
        return;
    }
    for name in ["with blank", "new\nline", "a*b?[c]", "ein Größeres", "semi;colon:{}"] {
        let named = folder.path().join(name);
        fs::copy(&program, &named).unwrap();
        let _running = Running::start(&named);
        let script = format!("uprobe:\"{}\":tick {{ print(probe); exit(); }}", named.display());
        let said = run(&script);
        assert_eq!(said.code, 0, "{name:?}: {}", said.stderr);
        assert!(said.stdout.contains(":tick"), "{name:?}: {}", said.stdout);
    }
}

#[test]
fn ten_thousand_matches_are_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("many.c"), folder.path().join("many"));
    let functions: String = (0..10_000).map(|n| format!("int many_{n}(int x) {{ return x + {n}; }}\n")).collect();
    fs::write(&source, functions + "int main(void) { return many_1(0); }\n").unwrap();
    if !Command::new("cc").args(["-O0", "-o"]).args([&program, &source]).status().is_ok_and(|status| status.success()) {
        return println!("skipped: needs a C compiler");
    }
    let started = Instant::now();
    let said = run(&format!("uprobe:{}:many_* {{ @ = count(); }}", program.display()));
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("many_* matches 10000 probes; the limit is 1024"), "{}", said.stderr);
    assert!(said.stderr.contains("config = { max_probes=… }"), "{}", said.stderr);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    if !is_root() {
        return;
    }
    let script = format!("config = {{ max_probes=10000 }} uprobe:{}:many_* {{ @ = count(); }}", program.display());
    let said = probebook(&["run", "-q", "-c", program.to_str().unwrap(), "-e", &script]);
    assert_eq!((said.code, said.stdout.trim()), (0, "@: 1"), "{}", said.stderr);
}

#[test]
fn a_process_may_end_whenever_it_likes() {
    let Some((_folder, program)) = ticking() else { return };
    if !is_root() {
        return;
    }
    // Before the probes are attached, while they are, or afterwards.
    for milliseconds in [0, 20, 60, 100, 150, 250, 400] {
        let mut running = Running::start(&program);
        let pid = running.0.id().to_string();
        let script = format!("uprobe:{}:tick {{ @ = count(); }}", program.display());
        let started = Instant::now();
        let ending = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(milliseconds));
            running.0.kill().unwrap();
            running.0.wait().unwrap();
        });
        let said = probebook(&["run", "-q", "-p", &pid, "-e", &script]);
        ending.join().unwrap();
        assert!(started.elapsed() < Duration::from_secs(8), "{milliseconds} ms: {:?}", started.elapsed());
        let is_told = said.stderr.contains("process") || said.stderr.contains("Process");
        assert!(said.code == 0 || is_told, "{milliseconds} ms: {} {}", said.code, said.stderr);
    }
}

#[test]
fn a_program_that_was_replaced_keeps_its_names_while_it_runs() {
    let Some((folder, program)) = ticking() else { return };
    if !is_root() {
        return;
    }
    let running = Running::start(&program);
    let replacing = {
        let (program, text) = (program.clone(), folder.path().join("ticking.c"));
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(1200));
            fs::remove_file(&program).unwrap();
            fs::copy(text, &program).unwrap();
        })
    };
    let script = format!("uprobe:{}:tick {{ @[ustack(1)] = count(); }} interval:s:2 {{ exit(); }}", program.display());
    let said = run(&script);
    replacing.join().unwrap();
    drop(running);
    assert!(said.stdout.contains("tick+0"), "{} {}", said.stdout, said.stderr);
}

/// As Fedora leaves programs: local functions have no symbols but those that are packed into the program.
#[test]
fn embedded_symbols_name_probes_and_stacks() {
    let Some((folder, program)) = ticking() else { return };
    if !is_root() {
        return;
    }
    let steps = "objcopy -S -K tick ticking mini && xz mini && strip -o stripped ticking && \
                 objcopy --add-section .gnu_debugdata=mini.xz stripped";
    if !Command::new("sh").args(["-c", steps]).current_dir(folder.path()).status().unwrap().success() {
        return println!("skipped: needs objcopy and xz");
    }
    let stripped = program.with_file_name("stripped");
    let _running = Running::start(&stripped);
    let said = run(&format!("uprobe:{}:tick {{ print(ustack(1)); exit(); }}", stripped.display()));
    assert!(said.stdout.contains("tick+0"), "{} {}", said.stdout, said.stderr);
}

#[test]
fn programs_of_32_bits_are_traced_by_their_stack() {
    const SOURCE: &str = "
        static int call(int n, void *a) { int r; __asm__ volatile(\"int $0x80\" : \"=a\"(r) : \"a\"(n), \"b\"(a), \"c\"(0) : \"memory\"); return r; }
        __attribute__((noinline)) int add(int a, int b) { __asm__ volatile(\"\" ::: \"memory\"); return a + b; }
        void _start(void) { struct { int s, n; } t = {0, 20000000}; for (int i = 0; i < 500; i++) { add(40, 2); call(162, &t); } call(1, 0); }";
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("small.c"), folder.path().join("small"));
    fs::write(&source, SOURCE).unwrap();
    let flags = ["-m32", "-O1", "-nostdlib", "-static", "-fno-stack-protector", "-o"];
    let compiled = Command::new("cc").args(flags).args([&program, &source]).output();
    let running =
        compiled.ok().filter(|output| output.status.success()).and_then(|_| Command::new(&program).spawn().ok());
    let Some(_running) = running.map(Running) else {
        return println!("skipped: 32-bit programs cannot be made or run here");
    };
    let path = program.display();
    let said = run(&format!("uprobe:{path}:add {{ print(arg0); }}"));
    assert!(said.stderr.contains("is a 32-bit program: its arguments are not in registers"), "{}", said.stderr);
    if !is_root() {
        return;
    }
    let entry = format!("uprobe:{path}:add {{ @b = *(uint32*)uptr(reg(\"sp\") + 8); }}");
    let said = run(&format!("{entry} uretprobe:{path}:add /@b/ {{ print((@b, retval)); exit(); }}"));
    assert!(said.stdout.starts_with("(2, 42)\n"), "{} {}", said.stdout, said.stderr);
}
