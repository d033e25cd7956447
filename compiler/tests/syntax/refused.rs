//! What is refused, where and with which words. A line of carets stands under the line that it
//! speaks of: under the place, followed by the diagnostic's id and a part of its message.
//! `hint:` and `also:` lines belong to the diagnostic before them.

use probebook_compiler::diagnostics::{Diagnostic, Sources};
use probebook_compiler::syntax::ast::SourceId;
use probebook_compiler::syntax::parse;

/// Checks that a text gives just the diagnostics that are written in it.
fn check(fixture: &str) {
    let mut text = String::new();
    let mut expected = Vec::new();
    for line in fixture.lines() {
        match line.trim_start().starts_with('^') {
            true => {
                let column = line.find('^').unwrap() + 1;
                let carets = line.trim_start().chars().take_while(|&c| c == '^').count();
                let rest = line.trim_start().trim_start_matches('^').trim();
                let at = (text.lines().count(), column, carets);
                expected.push((at, rest.split_once(": ").unwrap()));
            }
            false => text += &format!("{line}\n"),
        }
    }
    let text = text.trim_end();
    let mut sources = Sources::default();
    sources.add("script", text);
    let diagnostics = parse(text, SourceId(0)).err().unwrap_or_default();
    let found: Vec<_> = diagnostics.iter().map(|found| describe(found, &sources)).collect();
    assert_eq!(found.len(), expected.len(), "{text}\n{found:#?}");
    for (found, (at, (id, message))) in found.iter().zip(&expected) {
        assert_eq!((&found.0, found.1.as_str()), (at, *id), "{text}\n{found:#?}");
        assert!(found.2.contains(message), "{text}\n{found:#?}");
    }
}

type Place = (usize, usize, usize);

/// Line, column and length; id; everything that is said.
fn describe(diagnostic: &Diagnostic, sources: &Sources) -> (Place, String, String) {
    let span = diagnostic.primary.span;
    let (line, column) = sources.position(span);
    // A place at the end of the text is shown as one character.
    let length = ((span.end - span.start) as usize).max(1);
    let mut said = diagnostic.message.clone();
    for label in &diagnostic.secondary {
        said += &format!(" also: {} {}", sources.label(label.span), label.text);
    }
    said += &diagnostic.hint.as_ref().map_or(String::new(), |hint| format!(" hint: {hint}"));
    ((line, column, length), diagnostic.id.to_owned(), said)
}

fn check_all(fixtures: &[&str]) {
    fixtures.iter().for_each(|fixture| check(fixture));
}

#[test]
fn what_is_open_must_be_closed() {
    check_all(&[
        "begin { if (1) { print(1);\n                          ^ unclosed-brace: `}` is missing at the end also: script:1:16 this `{` is never closed",
        "begin { print((1, 2); }\n                    ^ syntax-error: expected `)`, found `;`",
        "begin { print(1 }\n                ^ unclosed-parenthesis: `)` is missing before this `}` also: script:1:14",
        "begin { @x[1 }\n             ^ unclosed-bracket: `]` is missing before this `}`",
        "begin { } }\n          ^ unmatched-closer: nothing for this `}` to close",
        "begin { printf(\"a); }\n               ^^^^^^ unterminated-string: no end",
        "begin { 1; /* a }\n           ^^^^^^ unterminated-comment: no end",
        "struct Foo { int x;\n                   ^ unclosed-brace: also: script:1:12",
        "begin {\n  print(1);\nend {\n^^^ unclosed-brace: a new probe begins before `}` has closed the last one also: script:1:7\n}",
        "begin {\n  if (1) {\n    $x = 1;\n}\n\ntracepoint:a:b { }\n^^^^^^^^^^ unclosed-brace: a new probe begins",
        "kprobe:f\n        ^ unexpected-end: ends where a predicate or `{` is expected",
    ]);
}

#[test]
fn statements_are_separated() {
    check_all(&[
        "begin { print(1) print(2); }\n                 ^^^^^ missing-semicolon: `;` is missing before `print`",
        "begin {\n  $x = 1\n  $y = 2;\n  ^^ missing-semicolon: `;` is missing before `$y` also: script:2:9 `;` belongs here\n}",
        "begin { break print(1); }\n              ^^^^^ missing-semicolon: before `print`",
        "begin { import \"foo\" print(1); }\n                     ^^^^^ missing-semicolon: before `print`",
        "config = { a=b c=2 } begin { }\n               ^ missing-semicolon: before `c`",
        "begin { }; end { }\n         ^ syntax-error: found `;` hint: a `;` ends statements",
    ]);
}

#[test]
fn expressions_are_whole() {
    check_all(&[
        "begin { 1 + }\n            ^ syntax-error: expected an expression, found `}`",
        "begin { $x = ; }\n             ^ syntax-error: expected an expression, found `;`",
        "begin { print((,)); }\n               ^ syntax-error: expected an expression or `)`, found `,`",
        "begin { $ x = 1; }\n        ^ syntax-error: found `$` hint: a variable is `$` and a name",
        "begin { f(struct foo *); }\n          ^^^^^^ syntax-error: hint: a type is given to a macro or function as typeof",
        "begin { offsetof(struct Foo, a->b); }\n                              ^^ syntax-error: expected `)`, found `->`",
        "begin { $x: int8 = 1; }\n          ^ syntax-error: hint: to give a variable a type, declare it: let",
        "begin { print((a=1, 5)); }\n                    ^ syntax-error: expected a name, found `5`",
        "begin { print((a=1, a=2)); }\n                    ^ duplicate-field: already also: script:1:16",
        "begin { else { } }\n        ^^^^ syntax-error: hint: `else` follows the `}` of an `if`",
        "begin { for (@kv : @map) { } }\n             ^^^ syntax-error: expected a variable ($name), found `@kv`",
        "begin { for ($i : 0..1+1) { } }\n                      ^ syntax-error: hint: a bound of more than one part needs parentheses",
        "begin { for ($kv : @map) print($kv); }\n                         ^^^^^ syntax-error: expected `{`, found `print`",
    ]);
}

#[test]
fn assignment_is_not_comparison() {
    check_all(&[
        "begin { if (x = 1) { } }\n              ^ assignment-in-expression: hint: to compare, use `==`",
        "kprobe:f /pid = 1/ { }\n              ^ assignment-in-expression: hint: to compare, use `==`",
        "begin { if pid = 1 { } }\n               ^ assignment-in-expression: hint: to compare, use `==`",
        "begin { if pid == 1 { } }\n               ^^ syntax-error: hint: a condition of more than one part needs parentheses",
        "begin { x = 1; }\n        ^ invalid-assignment: hint: variables begin with `$`, maps with `@`",
        "begin { $a.2 = 3; }\n        ^^^^ invalid-assignment: hint: structs, tuples and records do not change",
        "begin { 5++; ++6; }\n        ^ invalid-step: `++` needs a variable or a map\n               ^ invalid-step: `++` needs",
        "begin { &1; }\n         ^ invalid-address-of: only variables and maps have an address",
    ]);
}

#[test]
fn literals_are_checked_all_at_once() {
    check_all(&[
        "begin { print(1e21); print(12e4, 5e-9, 1ulll); }\n              ^^^^ integer-overflow: larger than the largest integer\n                           ^^^^ invalid-integer: digit from 1 to 9\n                                 ^^ invalid-integer: no exponent\n                                       ^^^^^ invalid-integer: unknown suffix `ulll`",
        "begin { print(1.5); }\n              ^^^ invalid-integer: no floating-point",
        "begin { print(\"a\\qb\\777\\x\"); }\n                ^^ invalid-escape: unknown escape `\\q`\n                   ^^^^ invalid-escape: larger than a byte\n                       ^^ invalid-escape: without digits",
        "begin { $0 + $99999999999; }\n        ^^ invalid-parameter: hint: parameters are counted from `$1`\n             ^^^^^^^^^^^^ invalid-parameter: no parameter",
    ]);
}

#[test]
fn characters_without_meaning() {
    check_all(&[
        "begin { print('a'); }\n              ^ unknown-character: hint: strings are written in double quotes",
        "begin { # comment\n        ^ unknown-character: hint: a comment begins with //\n}",
        "begin { \\ }\n        ^ unknown-character: no meaning here",
    ]);
}

#[test]
fn sections_have_their_order() {
    check_all(&[
        "begin { }\n#include <a.h>\n^^^^^^^^ misplaced-definition: C definitions must come before",
        "begin { }\nstruct A { int x; }\n^^^^^^ misplaced-definition: C definitions must come before",
        "begin { }\nconfig = { }\n^^^^^^ misplaced-definition: the config block must come before",
        "begin { }\nimport \"a\";\n^^^^^^ misplaced-definition: imports must come before",
        "config = { } config = { }\n             ^^^^^^ duplicate-config: one config block also: script:1:1",
        "config { a=1 }\n       ^ syntax-error: expected `=`, found `{`",
        "config = { a=; }\n             ^ syntax-error: expected a value, found `;` hint: a setting is",
        "import foo;\n       ^^^ syntax-error: expected a string, found `foo`",
        "let $x = 1;\n    ^^ syntax-error: expected a map (@name), found `$x`",
        "print(1);\n^^^^^^^^^ code-outside-probe: hint: to run them once, at the start: begin",
        "@a = count();\n^^ code-outside-probe: statements belong in a probe",
        "kprobe:f /pid == 1 { }\n                   ^ syntax-error: expected `/` or an operator, found `{` hint: a predicate ends with a slash",
    ]);
}

/// The grammar tells by their first letters which words may be reserved.
#[test]
fn reserved_words_are_no_names() {
    let reserved = "if else while for unroll break continue return let import sizeof offsetof typeof typeinfo comptime struct union enum";
    for word in reserved.split(' ') {
        assert!(parse(&format!("begin {{ print({word}); }}"), SourceId(0)).is_err(), "{word}");
        assert!(parse(&format!("begin {{ print({word}_1); }}"), SourceId(0)).is_ok(), "{word}_1");
    }
}
