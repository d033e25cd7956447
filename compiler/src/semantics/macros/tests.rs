//! What macros expand to, and what is refused.

use super::*;
use crate::syntax::ast::{NodeId, SourceId};
use crate::syntax::parse;

fn expanded(text: &str) -> (Script, Vec<Diagnostic>) {
    let mut script = parse(text, SourceId(0)).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    let diagnostics = expand(&mut script, &[]);
    (script, diagnostics)
}

/// Ids of what is wrong, with the text that each points to.
fn wrong(text: &str) -> Vec<(&'static str, String)> {
    let place = |span: Span| text[span.start as usize..span.end as usize].to_string();
    expanded(text).1.iter().map(|diagnostic| (diagnostic.id, place(diagnostic.primary.span))).collect()
}

fn first(text: &str) -> (&'static str, String) {
    wrong(text).into_iter().next().unwrap_or(("none", String::new()))
}

/// Collects ids, variables and maps of what runs.
#[derive(Default)]
struct Census {
    ids: Vec<NodeId>,
    variables: Vec<String>,
    maps: Vec<String>,
}

impl visit::Visitor for Census {
    fn id(&mut self, id: &mut NodeId) {
        self.ids.push(*id);
    }

    fn variable(&mut self, name: &mut String, _: Span) {
        self.variables.push(name.clone());
    }

    fn map(&mut self, name: &mut String, _: Span) {
        self.maps.push(name.clone());
    }
}

fn census(text: &str) -> Census {
    let (mut script, diagnostics) = expanded(text);
    assert!(diagnostics.is_empty(), "{text}: {diagnostics:?}");
    let mut census = Census::default();
    visit::walk_script(&mut census, &mut script);
    census
}

#[test]
fn node_ids_stay_unique() {
    let text = "macro twice(x) { let $y = x; for ($i : 0..2) { $y += x } $y + x }
        begin { $a = 1; print(twice(twice({ $b = $a; $b }))); print(twice($a)); }";
    let mut ids = census(text).ids;
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
    assert!(ids.iter().all(|id| id.0 < expanded(text).0.next_id));
}

#[test]
fn a_macros_variables_are_nobody_elses() {
    let census = census("macro inc(x) { $y = x + 1; $y } begin { $y = 2; print(inc($y)); print(inc($y)); }");
    let mut own: Vec<_> = census.variables.iter().filter(|name| *name != "y").collect();
    own.dedup();
    assert_eq!(own.len(), 2, "each expansion has one of its own: {own:?}");
    assert_eq!(census.variables.iter().filter(|name| *name == "y").count(), 3);
}

#[test]
fn variables_and_maps_are_passed_by_name() {
    let census = census("macro set($v, @m) { $v = 1; @m[$v] = 2 } begin { $a = 0; set($a, @b); }");
    assert_eq!(census.variables, ["a", "a", "a"]);
    assert_eq!(census.maps, ["b"]);
}

#[test]
fn what_fits_is_accepted() {
    for text in [
        "macro one { 1 } begin { print(one); print(one()); print(one!()); }",
        "macro a(x) { b(x) } macro b(x) { x } begin /a(1)/ { $x = a(2); a($x); @m[a(3)] = a(@n); }",
        "macro f($x) { 1 } macro f(@x) { 2 } macro f(x) { 3 } macro f() { 4 } macro f(x, $y) { 5 } begin { $a = 1;
            f($a); f(@a); f(1); f; f(1, $a) }",
        "macro size(t) { sizeof(t) + sizeof(t*) + sizeof(t[2]) } begin { print(size(typeof(uint64))); }",
        "macro size(t) { sizeof(struct t) } begin { print(size(typeof(foo))); print(size(foo)); }",
        "macro inner(t) { sizeof(t) } macro outer(t) { inner(t) + inner(typeof(t)) } begin { outer(typeof(int8)); }",
        "macro off(t, f) { offsetof(t, f) } begin { off(typeof(struct Foo), a.b.c); }",
        "macro cast(t, x) { (t*)x } begin { cast(typeof(int8), 1); }",
        "macro add() { 2 } macro same(add) { add } begin { same(1); }",
        "macro print(x, y) { 1 } begin { print(1); print(1, 2); }",
        "macro int8_t() { 1 } begin { sizeof(int8_t); }",
    ] {
        assert_eq!(wrong(text), [], "{text}");
    }
}

#[test]
fn a_name_in_a_type_context_is_no_macro() {
    let text = "macro u() { 1 } begin { sizeof(u); sizeof(u()); }";
    let (script, _) = expanded(text);
    let shown = format!("{script:?}");
    assert!(shown.contains("Sizeof(Expr(Expr { id: NodeId(") && shown.contains("Identifier(\"u\")"), "{shown}");
    assert_eq!(shown.matches("Identifier(\"u\")").count(), 1);
}

#[test]
fn mistakes_are_named_and_placed() {
    let cases = [
        ("macro m() { @x++; } begin { }", "unhygienic-macro", "@x"),
        ("macro m() { print($x); } begin { $x = 1; m(); }", "unhygienic-macro", "$x"),
        ("macro m($x) { $x++; } begin { m(@y); }", "wrong-macro-argument", "@y"),
        ("macro m($x) { $x++; } begin { m(1 + 1); }", "wrong-macro-argument", "1 + 1"),
        ("macro m(@x) { @x++; } begin { $x = 1; m($x); }", "wrong-macro-argument", "$x"),
        ("macro m($x) { $x++; } begin { $x = 1; m($x, 1); }", "wrong-argument-count", "m($x, 1)"),
        ("macro m($x) { $x++; } begin { m; }", "wrong-argument-count", "m"),
        ("macro m($x, $x) { 1 } begin { }", "duplicate-macro-parameter", "$x"),
        ("macro m($x) { let $x; 1 } begin { }", "shadowed-macro-parameter", "$x"),
        ("macro m(pid) { 1 } begin { }", "invalid-macro-parameter", "pid"),
        ("macro m(x) { 1 } macro m(y) { 2 } begin { }", "macro-redefined", "m"),
        ("macro a(x) { b(x) } macro b(x) { a(x) } begin { a(1); }", "recursive-macro", "a(x)"),
        ("macro m(x) { x + 1 } begin { m(typeof(int8)); }", "type-as-value", "x"),
        ("macro m(t) { sizeof(struct t) } begin { m(typeof(int8*)); }", "wrong-macro-argument", "struct t"),
        ("macro m(t, f) { offsetof(t, f) } begin { m(typeof(struct S), g().b); }", "wrong-macro-argument", "f"),
    ];
    for (text, id, place) in cases {
        assert_eq!(first(text), (id, place.to_string()), "{text}");
    }
}

#[test]
fn a_mistake_in_a_macro_names_the_call() {
    let text = "macro inner($x) { $x } macro outer() { inner(1) } begin { outer(); outer(); }";
    let diagnostics = expanded(text).1;
    assert_eq!(diagnostics.len(), 1, "once, though expanded twice");
    let calls: Vec<_> = diagnostics[0].secondary.iter().filter(|label| label.text == IN_EXPANSION).collect();
    let place = |span: Span| &text[span.start as usize..span.end as usize];
    assert_eq!(calls.iter().map(|label| place(label.span)).collect::<Vec<_>>(), ["outer()"]);
}

#[test]
fn expansions_that_explode_are_refused() {
    let calls = "d(".repeat(40) + "1" + &")".repeat(40);
    assert_eq!(first(&format!("macro d(x) {{ x + x }} begin {{ {calls}; }}")).0, "macro-too-large");
    let mut chain = "macro m0(x) { x }\n".to_string();
    for number in 1..400 {
        chain += &format!("macro m{number}(x) {{ ((m{}(x) + 1) * 2) + 3 }}\n", number - 1);
    }
    assert_eq!(first(&format!("{chain} begin {{ m399(1); }}")).0, "macro-too-large");
}

#[test]
fn earlier_macros_hold_until_they_are_replaced() {
    let one = parse("macro m(x) { x } macro n() { 1 }", SourceId(0)).unwrap();
    let earlier = defined(&one, &[]);
    let mut two = parse("macro m(y) { y + 1 } begin { m(1); n(); }", SourceId(1)).unwrap();
    assert_eq!(expand(&mut two, &earlier).len(), 0);
    let now = defined(&two, &earlier);
    let sources: Vec<_> = now.iter().map(|one| (one.name.name.as_str(), one.span.source.0)).collect();
    assert_eq!(sources, [("m", 1), ("n", 0)]);
}
