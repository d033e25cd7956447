//! Texts that are nearly scripts: the compiler answers each, soon, on a small stack.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use probebook_compiler::diagnostics::{Sources, render};
use probebook_kernel::engine::{self, Script};
use probebook_runtime::{Session, SessionOptions};

use crate::random::Random;

/// What a thread of an async runtime has.
const SMALL_STACK: usize = 2 << 20;
/// What one text may take; unoptimised builds on busy machines are a lot slower.
const PATIENCE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });

const TOKENS: [&str; 48] = [
    "begin",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ";",
    ",",
    "\"",
    "\\",
    "/",
    "/*",
    "*/",
    "//",
    "\n",
    "$x",
    "@",
    "@m",
    "$",
    "if ",
    "else ",
    "for ",
    "while ",
    "unroll(3)",
    "=",
    "==",
    "?",
    ":",
    "..",
    ".",
    "->",
    "++",
    "-",
    "*",
    "&",
    "struct ",
    "typeof(",
    "1",
    "0xffffffffffffffff",
    "-9223372036854775808",
    "é",
    "\u{202e}",
    "#define ",
    "macro ",
    "count()",
    "str(",
    "comm",
];

/// The scripts of the conformance cases.
fn scripts() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let texts = files.iter().map(|path| std::fs::read_to_string(path).unwrap());
    let mut scripts = Vec::new();
    for text in texts {
        for part in text.split("--- script\n").skip(1) {
            let lines = part.lines().take_while(|line| !line.starts_with("--- ") && !line.starts_with("=== "));
            scripts.push(lines.collect::<Vec<_>>().join("\n"));
        }
    }
    scripts
}

/// A script with some of it cut out, doubled, moved, or replaced by tokens and bytes.
fn mutate(random: &mut Random, scripts: &[String]) -> String {
    let mut bytes = random.pick(scripts).into_bytes();
    for _ in 0..random.between(1, 6) {
        let start = random.below(bytes.len() + 1);
        let end = (start + random.below(30)).min(bytes.len());
        match random.below(6) {
            0 => _ = bytes.drain(start..end),
            1 => {
                let piece = bytes[start..end].to_vec();
                let at = random.below(bytes.len() + 1);
                bytes.splice(at..at, piece);
            }
            2 => _ = bytes.splice(start..end, random.pick(&TOKENS).bytes()),
            3 => _ = bytes.splice(start..start, random.pick(&TOKENS).bytes()),
            4 => _ = bytes.splice(start..start, random.next().to_le_bytes()),
            _ => {
                let other = random.pick(scripts).into_bytes();
                let from = random.below(other.len());
                bytes.splice(start..end, other[from..(from + 40).min(other.len())].iter().copied());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Compiles a text and renders what is wrong with it; `Err` says what the compiler did instead of answering.
fn answer(session: &Session, text: &str) -> Result<(), String> {
    let started = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut sources = Sources::default();
        let source = sources.add("mutated", text);
        let script = Script { allow_unsafe: true, ..Script::new(&sources, source) };
        for diagnostic in engine::compile(session, &script).err().unwrap_or_default() {
            assert_ne!(diagnostic.id, "internal-error", "{}", diagnostic.message);
            render::to_text(&diagnostic, &sources, true);
            render::to_bpftrace_text(&diagnostic, &sources);
        }
    }));
    if outcome.is_err() {
        return Err("panicked".into());
    }
    if started.elapsed() > PATIENCE { Err(format!("took {:?}", started.elapsed())) } else { Ok(()) }
}

/// The shortest text found that is still not answered: halves, then ever smaller pieces are left out.
fn shorten(session: &Session, text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let mut piece = characters.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < characters.len() {
            let mut shorter = characters.clone();
            shorter.drain(at..(at + piece).min(characters.len()));
            if answer(session, &shorter.iter().collect::<String>()).is_err() {
                characters = shorter;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    characters.into_iter().collect()
}

#[test]
fn every_text_is_answered() {
    let wanted = std::env::var("GENERATED").ok().map_or(300, |text| text.parse::<u64>().unwrap() * 3);
    let scripts = scripts();
    assert!(scripts.len() > 300, "only {} conformance scripts were found", scripts.len());
    let next = AtomicU64::new(0);
    let work = || {
        let session = Session::new(SessionOptions::default()).unwrap();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= wanted {
                return;
            }
            let text = mutate(&mut Random::new(seed), &scripts);
            if let Err(what) = answer(&session, &text) {
                panic!("the compiler {what} on this text (seed {seed}):\n{}", shorten(&session, &text));
            }
        }
    };
    thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().stack_size(SMALL_STACK).spawn_scoped(scope, work).unwrap();
        let workers: Vec<_> = (0..2).map(spawn).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    println!("{wanted} texts were answered");
}

/// Every construct that holds its like.
#[test]
fn depth_is_answered_on_a_small_stack() {
    let around = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    let nests = [
        ("(", "1", ")"),
        ("(1, ", "1", ")"),
        ("(a=", "1", ")"),
        ("-(", "pid", ")"),
        ("~", "pid", ""),
        ("!", "pid", ""),
        ("(int8)", "pid", ""),
        ("(typeof(", "1", "))1"),
        ("{ ", "1", " }"),
        ("pid ? 1 : ", "1", ""),
        ("pid ? ", "1", " : 2"),
        ("if (pid) { ", "1", " } else { 2 }"),
        ("@m[", "1", "]"),
        ("str_concat(comm, ", "comm", ")"),
        ("*(uint64 *)", "pid", ""),
        ("", "pid", " + 1"),
        ("", "pid", " + pid"),
        ("", "pid == 1", " || pid == 1"),
        ("", "curtask", "->parent"),
        ("1 + (", "pid", ")"),
    ];
    let mut texts = Vec::new();
    for depth in [20, 90, 190] {
        let value = |(open, inner, close): &(&str, &str, &str)| {
            format!("begin {{ @m[1] = 1; $x = {}; print($x); }}", around(open, inner, close, depth))
        };
        texts.extend(nests.iter().map(value));
        for head in ["", "if (pid) ", "unroll(1) ", "for ($i : 0..2) ", "while (0) "] {
            texts.push(format!("begin {{ {} }}", around(&format!("{head}{{ "), "print(1);", " }", depth)));
        }
        texts.push(format!("begin {{ {} }}", vec!["if (pid) { }"; depth].join(" else ")));
        texts.push(format!("struct a {{ {} }};", around("struct { ", "int x;", " y; } z;", depth)));
        texts.push(format!("begin {{ let $x: int8{}; }}", "*".repeat(depth)));
        texts.push(format!("begin {{ let $x: int8{}; }}", "[1]".repeat(depth)));
        texts.push(format!("#define A {}\nbegin {{ print(A); }}", around("(", "1", ")", depth)));
        texts.push(format!("begin {{ }} {} {}", "/* ".repeat(depth), "*/".repeat(depth)));
        texts.push(format!("macro m(x) {{ x + x }} begin {{ print({}); }}", around("m(", "1", ")", depth.min(8))));
    }
    let work = move || {
        let session = Session::new(SessionOptions::default()).unwrap();
        for text in texts {
            let begin: String = text.chars().take(60).collect();
            // Seen if the process should not survive it.
            eprintln!("{begin} ({} bytes)", text.len());
            assert_eq!(answer(&session, &text), Ok(()), "{begin}");
        }
    };
    thread::Builder::new().stack_size(SMALL_STACK).spawn(work).unwrap().join().unwrap();
}
