//! What holds for any text: no panic, bounded time, places that lie in the text.

use std::time::{Duration, Instant};

use probebook_compiler::diagnostics::{Sources, render};
use probebook_compiler::syntax::ast::{SourceId, Span};
use probebook_compiler::syntax::{Completeness, completeness, parse};
use proptest::prelude::*;

use crate::walk;

const SEEDS: [&str; 4] = [
    "#include <a.h>\nstruct Foo { int x; }\nconfig = { a=b }\nbegin { $f = (struct Foo *)arg0; }",
    "kprobe:f,uprobe:\"/a b\":f+0x1 /pid == 1 && comm != \"a\\n\"/ { @x[tid, (1, 2)] = hist(nsecs / 1e3); }",
    "macro m($a, @b, c) { if (c) { $a += 1; @b++ } else { ($a, 1) } } end { for ($i : 0..10) { m($i, @x, -1); } }",
    "fn f($a: int32[4]) : void { let $x: typeof($a) = sizeof(uint8) ? 1ms : offsetof(struct A, b.c); /* é */ return; }",
];

const FRAGMENTS: [&str; 40] = [
    "begin", "{", "}", "(", ")", "[", "]", ";", ",", "\"", "\\", "/", "/*", "*/", "//", "\n", "$x", "@", "$", "if ",
    "else ", "for ", "=", "==", "?", ":", "..", ".", "->", "++", "-", "*", "&", "struct ", "typeof(", "1", "0x", "é",
    "\u{202e}", "#",
];

fn check(text: &str) -> Result<(), TestCaseError> {
    let started = Instant::now();
    let inside = |span: Span| {
        let (start, end) = (span.start as usize, span.end as usize);
        let boundaries = text.is_char_boundary(start) && text.is_char_boundary(end);
        start <= end && end <= text.len() && boundaries && span.source == SourceId(0)
    };
    match parse(text, SourceId(0)) {
        Ok(script) => {
            let mut outside = None;
            let mut ids = std::collections::HashSet::new();
            walk::script(&script, &mut |span, id| {
                if !inside(span) || id.is_some_and(|id| id.0 >= script.next_id || !ids.insert(id)) {
                    outside = Some((span, id));
                }
            });
            prop_assert_eq!(outside, None);
            prop_assert_eq!(completeness(text), Completeness::Complete);
        }
        Err(diagnostics) => {
            prop_assert!(!diagnostics.is_empty());
            let mut sources = Sources::default();
            sources.add("script", text);
            for diagnostic in &diagnostics {
                prop_assert!(inside(diagnostic.primary.span), "{:?}", diagnostic);
                prop_assert!(diagnostic.secondary.iter().all(|label| inside(label.span)));
                prop_assert_ne!(diagnostic.id, "internal-error");
                render::to_text(diagnostic, &sources, true);
                render::to_bpftrace_text(diagnostic, &sources);
            }
            prop_assert_ne!(completeness(text), Completeness::Complete);
        }
    }
    prop_assert!(started.elapsed() < Duration::from_secs(5));
    Ok(())
}

/// A script with pieces cut out, doubled and put in.
fn mutated() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0..12_usize, prop::sample::select(&FRAGMENTS[..]));
    (prop::sample::select(&SEEDS[..]), prop::collection::vec(edit, 1..6)).prop_map(|(seed, edits)| {
        let mut characters: Vec<char> = seed.chars().collect();
        for (place, removed, fragment) in edits {
            let start = place.index(characters.len() + 1);
            let end = (start + removed).min(characters.len());
            characters.splice(start..end, fragment.chars());
        }
        characters.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn any_fragments(fragments in prop::collection::vec(prop::sample::select(&FRAGMENTS[..]), 0..40)) {
        check(&fragments.concat())?;
        check(&format!("begin {{ {} }}", fragments.concat()))?;
    }

    #[test]
    fn mutated_scripts(text in mutated()) {
        check(&text)?;
    }
}
