//! Hostile depth and size: a diagnostic in little time, on a small stack, and never an overflow.

use std::time::{Duration, Instant};

use probebook_compiler::syntax::ast::SourceId;
use probebook_compiler::syntax::{completeness, parse};

/// What a thread of an async runtime has.
const SMALL_STACK: usize = 2 << 20;

/// How often hostile texts repeat themselves; unoptimized builds are a lot slower.
const MANY: usize = if cfg!(debug_assertions) { 2_000 } else { 10_000 };

/// Far above what is needed, for slow machines and builds without optimization.
const PATIENCE: Duration = Duration::from_secs(10);

/// Parses, drops the tree, and tells the first diagnostic's id, on a small stack.
fn outcome(text: String) -> &'static str {
    let work = move || {
        let started = Instant::now();
        let outcome = parse(&text, SourceId(0)).map(|_| "ok").unwrap_or_else(|found| found[0].id);
        completeness(&text);
        let begin: String = text.chars().take(40).collect();
        assert!(started.elapsed() < PATIENCE, "{begin} took {:?}", started.elapsed());
        outcome
    };
    let thread = std::thread::Builder::new().stack_size(SMALL_STACK).spawn(work);
    thread.unwrap().join().unwrap()
}

fn value(expression: String) -> String {
    format!("begin {{ $x = {expression}; }}")
}

fn around(open: &str, inner: &str, close: &str, count: usize) -> String {
    format!("{}{inner}{}", open.repeat(count), close.repeat(count))
}

#[test]
fn depth_beyond_reason_is_refused() {
    for text in [
        value(around("(", "1", ")", MANY)),
        value(around("@a[", "1", "]", MANY)),
        value(around("f(", "1", ")", MANY)),
        value(around("(1, ", "1", ")", MANY)),
        value(around("(a=", "1", ")", MANY)),
        value(around("{ ", "1", "}", MANY)),
        value(around("1 ? 2 : ", "1", "", MANY)),
        value(around("1 ? ", "1", " : 2", MANY)),
        value(around("!", "1", "", MANY)),
        value(around("- ", "1", "", MANY)),
        value(around("(int8)", "1", "", MANY)),
        value(around("", "$a", "[0]", MANY)),
        value(around("", "1", " + 1", MANY)),
        around("begin ", "", "", 1) + &around("{", "", "}", MANY),
        format!("begin {{ {} }}", around("if (1) {", "", "}", MANY)),
        format!("begin {{ {} else {{ }} }}", vec!["if (1) { }"; MANY].join(" else ")),
        format!("begin {{ let $x: int8{}; }}", "*".repeat(MANY)),
    ] {
        let begin: String = text.chars().take(40).collect();
        assert_eq!(outcome(text), "nesting-too-deep", "{begin}");
    }
}

#[test]
fn beginnings_of_depth_are_refused() {
    for open in ["(", "{", "@a[", "$a[", "(typeof(", "sizeof(", "if (", "(a=", "1 ? ", "f(", "!"] {
        assert_ne!(outcome(value(open.repeat(MANY))), "ok", "{open}");
        assert_ne!(outcome(format!("begin {{ {}", open.repeat(MANY))), "ok", "{open}");
    }
    for text in ["struct a {", "struct __attribute__((", "\"", "/*", "k:a,", "let @a = f(", "/ "] {
        assert_ne!(outcome(text.repeat(MANY)), "ok", "{text}");
    }
}

#[test]
fn depth_within_reason_is_accepted() {
    for text in [
        value(around("(", "1", ")", 190)),
        value(around("(typeof(", "1", "))1", 90)),
        value(around("", "1", " + 1", 900)),
        value(around("", "pid == 1", " || pid == 1", 900)),
        format!("begin {{ {} }}", around("if (1) {", "", "}", 150)),
        format!("begin {{ {} }}", vec!["if (1) { }"; 500].join(" else ")),
        format!("begin {{ {} }}", "if (1) { } ".repeat(MANY)),
        value(format!("\"{}\"", "(".repeat(MANY))),
        format!("begin {{ /* {} */ }}", "{".repeat(MANY)),
    ] {
        let begin: String = text.chars().take(40).collect();
        assert_eq!(outcome(text), "ok", "{begin}");
    }
}

#[test]
fn mistakes_in_nested_brackets_are_found_once() {
    for (open, close) in [
        ("(", ")"),
        ("@a[", "]"),
        ("$a[", "]"),
        ("f(", ")"),
        ("{ ", "}"),
        ("(a=", ")"),
        ("(typeof(", "))1"),
        ("sizeof(", ")"),
        ("if (", ") { }"),
        ("if (1) { ", "}"),
        ("$x = { ", " }"),
        ("{ $x = ", " }"),
        ("1 ? ", " : 1"),
    ] {
        let text = format!("begin {{ {} }}", around(open, "1 1", close, 60));
        assert_ne!(outcome(text), "ok", "{open}");
    }
}

#[test]
fn time_grows_with_length_only() {
    let probe = "kprobe:f /pid == 1/ { @a[tid, comm] = (uint64)nsecs - @b[tid]; if (1) { f($x->y); } }\n";
    let time = |count: usize| {
        let text = probe.repeat(count);
        let once = || {
            let started = Instant::now();
            assert!(parse(&text, SourceId(0)).is_ok());
            started.elapsed()
        };
        (0..5).map(|_| once()).min().unwrap_or_default()
    };
    let (short, long) = (time(100), time(1_600));
    assert!(long < short * 64, "{short:?} for 100 lines, {long:?} for 1600");
}
