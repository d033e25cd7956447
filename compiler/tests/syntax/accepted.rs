//! What parses, and to which tree.

use probebook_compiler::syntax::ast::*;
use probebook_compiler::syntax::parse;

use crate::{shape, walk};

fn script(text: &str) -> Script {
    parse(text, SourceId(3)).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"))
}

fn probe(text: &str) -> Probe {
    match script(text).items.pop() {
        Some(Item::Probe(probe)) => probe,
        other => panic!("{text}: {other:?}"),
    }
}

/// The shape of a probe's body.
fn body(statements: &str) -> String {
    shape::block(&probe(&format!("begin {{ {statements} }}")).body)
}

/// The shape of an expression.
fn value(expression: &str) -> String {
    match probe(&format!("begin {{ $x = {expression}; }}")).body.statements.pop().map(|s| s.kind) {
        Some(StmtKind::Assign { value, .. }) => shape::expr(&value),
        other => panic!("{expression}: {other:?}"),
    }
}

/// The shape of a macro's body, whose last expression is its value.
fn macro_body(body: &str) -> String {
    match script(&format!("macro m() {{ {body} }}")).items.pop() {
        Some(Item::Macro(item)) => shape::block(&item.body),
        other => panic!("{body}: {other:?}"),
    }
}

fn check(cases: &[(&str, &str)], shape: impl Fn(&str) -> String) {
    for (text, expected) in cases {
        assert_eq!(&shape(text), expected, "{text}");
    }
}

#[test]
fn operators_bind_as_in_c() {
    let cases = [
        ("1 + 2 * 3", "(+ 1 (* 2 3))"),
        ("10 - 5 - 2", "(- (- 10 5) 2)"),
        ("1 << 2 + 3 < 4 == 5 & 6 ^ 7 | 8 && 9 || 10", "(|| (&& (| (^ (& (== (< (<< 1 (+ 2 3)) 4) 5) 6) 7) 8) 9) 10)"),
        ("-1 - -1", "(- (Negate 1) (Negate 1))"),
        ("!$a == ~$b", "(== (Not $a) (Complement $b))"),
        ("*@x**@y", "(* (Dereference @x) (Dereference @y))"),
        ("a & &$b", "(& a (AddressOf $b))"),
        ("*$x.f[1]->g", "(Dereference (. (index (. $x f) 1) g))"),
        ("-$x++", "(Negate ($x ++))"),
        ("1 ? 2 ? 3 : 4 : 5", "(? 1 (? 2 3 4) 5)"),
        ("1 ? 2 : 3 ? 4 : 5", "(? 1 2 (? 3 4 5))"),
        ("$a ?: 5", "(? $a _ 5)"),
        ("comptime f(1).a + 2", "(+ (comptime (. f(1) a)) 2)"),
        ("(1 + 2) * 3", "(* (+ 1 2) 3)"),
        ("10 / (4 / 2)", "(/ 10 (/ 4 2))"),
    ];
    check(&cases, value);
}

#[test]
fn casts_are_told_from_parentheses() {
    let cases = [
        ("(mytype)arg0", "(cast mytype arg0)"),
        ("(mytype)*arg0", "(cast mytype (Dereference arg0))"),
        ("(pid)*tid", "(* pid tid)"),
        ("(cpu) - 1", "(- cpu 1)"),
        ("(arg1)*arg0", "(* arg1 arg0)"),
        ("(myident)", "myident"),
        ("(a) && (b)", "(&& a b)"),
        ("(a) != b", "(!= a b)"),
        ("(a * b)", "(* a b)"),
        ("(a[0])", "(index a 0)"),
        ("(struct foo *)arg0 + 1", "(+ (cast struct foo* arg0) 1)"),
        ("(struct foo*)arg0->f", "(cast struct foo* (. arg0 f))"),
        ("((struct foo*)arg0)->f", "(. (cast struct foo* arg0) f)"),
        ("(int32*[4]*)$p", "(cast int32*[4]* $p)"),
        ("(int8[])\"s\"", "(cast int8[] \"s\")"),
        ("(unsigned long long *)1", "(cast unsigned long long* 1)"),
        ("(const char *)arg0", "(cast char* arg0)"),
        ("(enum Foo)1", "(cast enum Foo 1)"),
        ("(typeof($y))-1", "(cast typeof($y) (Negate 1))"),
        ("(uint8)(int16)$x", "(cast uint8 (cast int16 $x))"),
        ("-(int8)1", "(Negate (cast int8 1))"),
    ];
    check(&cases, value);
}

#[test]
fn tuples_records_and_groups() {
    let cases = [
        ("()", "<>"),
        ("(1)", "1"),
        ("(1,)", "<1>"),
        ("(1, \"a\", (2, 3),)", "<1, \"a\", <2, 3>>"),
        ("(a=1, if=(b=2))", "<a=1, if=<b=2>>"),
        ("(a == 1)", "(== a 1)"),
        ("$kv.0.1", "(. (. $kv 0) 1)"),
        ("$r.if->config", "(. (. $r if) config)"),
    ];
    check(&cases, value);
}

#[test]
fn names_calls_and_maps() {
    let cases = [
        ("@", "@"),
        ("@[1]", "@[1]"),
        ("@x[pid, comm].count", "(. @x[<pid, comm>] count)"),
        ("@x[(1, 2)]", "@x[<1, 2>]"),
        ("x[index]", "(index x index)"),
        ("$1 + $# + str($2)", "(+ (+ $1 $#) str($2))"),
        ("f(1, typeof(struct foo *), x)", "f(1, type typeof(type struct foo*), x)"),
        ("greet!()", "greet()"),
        ("true == falsehood", "(== true falsehood)"),
        ("sizeof(int32)", "(sizeof type int32)"),
        ("sizeof(mytype)", "(sizeof mytype)"),
        ("sizeof(mytype*)", "(sizeof type mytype*)"),
        ("sizeof(exp[0])", "(sizeof type exp[0])"),
        ("sizeof((exp)[0])", "(sizeof (index exp 0))"),
        ("sizeof(x + 1)", "(sizeof (+ x 1))"),
        ("sizeof(m())", "(sizeof m())"),
        ("typeinfo(typeof(arg0)).base_type", "(. (typeinfo type typeof(arg0)) base_type)"),
        ("offsetof(struct Foo, a.b[2].for)", "(offsetof type struct Foo a.b.2.for)"),
        ("offsetof(*$foo, x)", "(offsetof (Dereference $foo) x)"),
    ];
    check(&cases, value);
}

#[test]
fn literals_have_their_values() {
    let cases = [
        ("1_000 + 0x1F + 017 + 2e3 + 5ms + 7ULL", "(+ (+ (+ (+ (+ 1000 31) 15) 2000) 5000000) 7)"),
        (r#""a\tb\x41\101\\\"é""#, r#""a\tbAA\\\"é""#),
    ];
    check(&cases, value);
}

#[test]
fn statements() {
    let cases = [
        ("$x = 1; @y[2] <<= 3; $x++ ", "{$x = 1; @y[2] <<= 3; ($x ++);}"),
        ("@a += 1; @a -= 1; @a *= 1; @a /= 1; @a %= 1", "{@a += 1; @a -= 1; @a *= 1; @a /= 1; @a %= 1;}"),
        ("$a &= 1; $a |= 1; $a ^= 1; $a >>= 1;", "{$a &= 1; $a |= 1; $a ^= 1; $a >>= 1;}"),
        ("_ = f(); _x == 1", "{_ = f(); (== _x 1);}"),
        (
            "let $a; let $b: string[64]; let $c : struct x * = 0; let $d = 1",
            "{let $a; let $b: string[64]; let $c: struct x* = 0; let $d = 1;}",
        ),
        ("let $a: typeof(@x) = 1;", "{let $a: typeof(@x) = 1;}"),
    ];
    check(&cases, body);
}

#[test]
fn loops_jumps_and_branches() {
    let cases = [
        ("for ($kv : @map) { print($kv); }", "{for $kv : @map {print($kv);};}"),
        ("for $i : 0..$n { break; continue }", "{for $i : 0..$n {break; continue;};}"),
        ("for ($i : (1+1)..f($x.y)) { }", "{for $i : (+ 1 1)..f((. $x y)) {};}"),
        ("while ($a < 10) { $a++ } unroll 3 { f() }", "{while (< $a 10) {($a ++);}; unroll 3 {f();};}"),
        ("return; return 1 + 2", "{return; return (+ 1 2);}"),
        ("import \"a.bt\"; ;;", "{import \"a.bt\";}"),
        ("if (1) { 2 } else if !3 { 4 } else { 5 }", "{(if 1 {2;} {(if (Not 3) {4;} {5;});});}"),
        ("if comptime (x) { } $y = 1", "{(if (comptime x) {}); $y = 1;}"),
        (
            "if ($a) { } ++$b; if ($a) { } *$b; { 1 } -1;",
            "{(if $a {}); (++ $b); (if $a {}); (Dereference $b); {1;}; (Negate 1);}",
        ),
        ("{ 1 } + 2; if (a) { 1 } else { 2 } == 1;", "{(+ {1} 2); (== (if a {1} {2}) 1);}"),
        ("$x = if (a) { 1 } else if (b) { 2 } else { 3 };", "{$x = (if a {1} {(if b {2} {3})});}"),
        ("$x = { let $y = 1; $y };", "{$x = {let $y = 1; $y};}"),
        ("f({ printf(\"hi\") })", "{f({printf(\"hi\")});}"),
        ("/* a */ 1 // b\n; // c\n", "{1;}"),
    ];
    check(&cases, body);
}

#[test]
fn the_last_expression_of_a_value_block_is_its_value() {
    let cases = [
        ("x + 1", "{(+ x 1)}"),
        ("x + 1;", "{(+ x 1);}"),
        ("x; x", "{x; x}"),
        ("if (x) { 1 } else { 2 }", "{(if x {1} {2})}"),
        ("if (x) { 1 } else { 2 };", "{(if x {1;} {2;});}"),
        ("if (x) { 1 } 2", "{(if x {1;}); 2}"),
        ("{ 1 }", "{{1}}"),
        ("$x = 1", "{$x = 1;}"),
    ];
    check(&cases, macro_body);
}

#[test]
fn a_whole_script() {
    let text = "#!/usr/bin/env bpftrace\n\
        #include <linux/fs.h>\n#define LONG \\\n  1\n\
        struct Foo { int x; /* } */ char c[4]; } __attribute__((packed));\n\
        union __attribute__((x)) U { int a; }; enum E { A, B = '}' } typedef struct { int q; } T;\n\
        config = { stack_mode = perf; max_map_keys=2_000; license=\"GPL\"; lazy=true }\n\
        import \"lib.bt\";\n\
        let @a = lruhash(100); let @ = hash(5);\n\
        macro one($v, @m, e) { e } macro bare { 1 }\n\
        fn f($a: int32, $b : struct Foo *) : void { return; }\n\
        begin, END, { }\n\
        x=kprobe:tcp_[ab]*+0x10 ,uprobe:./a-b/*:\"f:g\" /pid == 1 / (2 / 1)/ { }\n";
    let script = script(text);
    let kinds: Vec<_> = script.c_definitions.iter().map(|c| format!("{:?}", c.kind)).collect();
    let expected = [
        "Preprocessor(\"include\")",
        "Preprocessor(\"define\")",
        "Struct(\"Foo\")",
        "Union(\"U\")",
        "Enum(\"E\")",
        "Typedef",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(script.c_definitions[1].text, "#define LONG \\\n  1");
    check_preamble(&script);
    assert_eq!(script.items.len(), 7);
    let Some(Item::Probe(probe)) = script.items.last() else { panic!() };
    assert_eq!(probe.attach_points[0].label.as_ref().map(|label| label.name.as_str()), Some("x"));
    let predicate = probe.predicate.as_ref().map(shape::expr);
    assert_eq!(predicate.as_deref(), Some("(== pid (/ 1 (/ 2 1)))"));
}

/// The config and the import of the whole script.
fn check_preamble(script: &Script) {
    let entries = script.config.iter().flat_map(|config| &config.entries);
    let values: Vec<_> = entries.map(|entry| entry.value.clone()).collect();
    let expected = [
        ConfigValue::Word("perf".into()),
        ConfigValue::Integer(2_000),
        ConfigValue::String("GPL".into()),
        ConfigValue::Bool(true),
    ];
    assert_eq!(values, expected);
    assert_eq!(script.imports[0].path, "lib.bt");
}

#[test]
fn attach_points_end_where_predicates_and_blocks_begin() {
    for (text, points) in [
        ("begin{ }", 1),
        ("t*point:sched:sched_switch { }", 1),
        ("interval:s:1 /1/{ }", 1),
        ("uprobe:/with#hash:f,k:$1\"here\" { }", 2),
        ("self:signal:SIGUSR1 { }", 1),
        ("begin /* c */ /pid/ // d\n { }", 1),
        ("w:0x10000000:8:rw{ }", 1),
    ] {
        assert_eq!(probe(text).attach_points.len(), points, "{text}");
    }
}

#[test]
fn places_are_exact() {
    let text = "kprobe:f /pid/ { @x[1, 2] = ( $a + 3 ) * f (4) ; $b . c ; if (1) { } else { } \n \
                let $q : int8 * ; }";
    let probe = probe(text);
    let quote = |span: Span| &text[span.start as usize..span.end as usize];
    let statements: Vec<_> = probe.body.statements.iter().map(|s| quote(s.span)).collect();
    let expected = ["@x[1, 2] = ( $a + 3 ) * f (4)", "$b . c", "if (1) { } else { }", "let $q : int8 *"];
    assert_eq!(statements, expected);
    let StmtKind::Assign { target, value, .. } = &probe.body.statements[0].kind else { panic!() };
    assert_eq!(quote(target.span), "@x[1, 2]");
    let ExprKind::Map { key: Some(key), .. } = &target.kind else { panic!() };
    assert_eq!(quote(key.span), "1, 2");
    let ExprKind::Binary { left, right, .. } = &value.kind else { panic!() };
    assert_eq!((quote(left.span), quote(right.span)), ("( $a + 3 )", "f (4)"));
    assert_eq!(probe.predicate.as_ref().map(|p| quote(p.span)), Some("pid"));
    assert_eq!(quote(probe.attach_points[0].parts[1].span), "f");
    assert_eq!(quote(probe.span), text);
    assert_eq!(probe.span.source, SourceId(3));
}

#[test]
fn node_ids_are_unique() {
    let script = script("macro m(a) { a + 1 } begin { for ($i : 1..2) { let $x = m($i)[0]; } }");
    let mut seen = std::collections::HashSet::new();
    walk::script(&script, &mut |_, id| {
        if let Some(id) = id {
            assert!(seen.insert(id) && id.0 < script.next_id, "{id:?}");
        }
    });
    assert_eq!(seen.len(), script.next_id as usize);
}
