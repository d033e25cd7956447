//! Integer, boolean and string expressions, a construct an entry.

use crate::generator::{Generator, Production, leaf, node};
use crate::types::{Shape, Ty};

const WIDTHS: [&str; 10] =
    ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "uint64_t", "unsigned int"];

const BUILTINS: [&str; 20] = [
    "pid",
    "tid",
    "uid",
    "gid",
    "cpu",
    "nsecs",
    "elapsed",
    "rand",
    "ncpus",
    "numaid",
    "jiffies",
    "cgroup",
    "ppid",
    "leader_tid",
    "usermode",
    "nsecs(monotonic)",
    "pid(init)",
    "tid(curr_ns)",
    "cpid",
    "$1",
];

const WORDS: [&str; 6] = ["\"\"", "\"a\"", "\"abc\"", "\"tab\\t\"", "\"a longer piece of text, 36 bytes\"", "\"ä\""];

pub const INTEGERS: &[Production<String>] = &[
    leaf("integer literal", |g| Some(g.random.below(1000).to_string())),
    leaf("large literal", |g| {
        Some(g.random.pick(&["0x7fffffff", "4294967295", "1e9", "0xdead_beef", "5000000000"]).into())
    }),
    leaf("duration literal", |g| Some(g.random.pick(&["1ns", "20us", "3ms", "4s", "1h"]).into())),
    leaf("negative literal", |g| Some(format!("-{}", g.random.between(1, 300)))),
    leaf("integer builtin", |g| Some(g.random.pick(&BUILTINS).into())),
    leaf("probe argument", |g| (!g.probe_integers.is_empty()).then(|| g.random.pick(g.probe_integers).into())),
    leaf("integer variable", |g| Some(g.variable(|one| one.ty == Ty::Integer)?.name)),
    leaf("integer variable, again", |g| Some(g.variable(|one| one.ty == Ty::Integer)?.name)),
    leaf("integer of an enumeration", |g| Some(g.random.pick(&["(int64)RED", "(uint8)BLUE", "FORTY"]).into())),
    leaf("sizeof", |g| Some(g.random.pick(&["sizeof(struct Pair)", "sizeof(uint16)", "sizeof(curtask)"]).into())),
    leaf("offsetof", |g| {
        Some(g.random.pick(&["offsetof(struct Pair, inner.c)", "offsetof(struct Pair, row[2])"]).into())
    }),
    leaf("kaddr", |_| Some("((uint64)kaddr(\"schedule\") >> 40)".into())),
    leaf("member of a kernel structure", |g| {
        Some(g.random.pick(&["curtask->pid", "curtask->parent->tgid", "curtask->real_parent->real_parent->pid"]).into())
    }),
    node("map entry", |g| g.stored(&Ty::Integer)),
    node("aggregate as a number", |g| {
        let map = g.map(|map| matches!(map.value, Shape::Aggregate(..)) && map.value.is_number())?;
        Some(format!("(int64){}", g.entry(&map)))
    }),
    node("arithmetic", |g| operator(g, &["+", "-", "*"])),
    node("bitwise operator", |g| operator(g, &["&", "|", "^"])),
    node("division", |g| {
        let (left, right) = (g.integer(), g.integer());
        Some(format!("({left} {} ({right} | 1))", g.random.pick(&["/", "%"])))
    }),
    node("division by a variable", |g| {
        let by = g.variable(|one| one.ty == Ty::Integer)?.name;
        Some(format!("({} {} {by})", g.integer(), g.random.pick(&["/", "%"])))
    }),
    node("shift", |g| {
        let (value, by) = (g.integer(), g.integer());
        Some(format!("({value} {} ({by} & 31))", g.random.pick(&["<<", ">>"])))
    }),
    node("unary operator", |g| Some(format!("({}{})", g.random.pick(&["-", "~", "(int64)!"]), primary(g)))),
    node("cast", |g| Some(format!("(({}){})", g.random.pick(&WIDTHS), primary(g)))),
    leaf("choice of probe arguments", |g| {
        let choices = (!g.probe_integers.is_empty()).then_some(g.probe_integers)?;
        let (one, other) = (g.random.pick(choices), g.random.pick(choices));
        Some(format!("(rand % 2 == 0 ? {one} : {other})"))
    }),
    node("boolean as an integer", |g| Some(format!("((int64)({}))", g.boolean()))),
    node("ternary", |g| Some(format!("({} ? {} : {})", g.boolean(), g.integer(), g.integer()))),
    node("ternary without a middle", |g| Some(format!("({} ?: {})", g.integer(), g.integer()))),
    node("if as a value", |g| Some(format!("(if ({}) {{ {} }} else {{ {} }})", g.boolean(), g.integer(), g.integer()))),
    node("block as a value", |g| {
        let name = g.fresh("$block");
        Some(format!("{{ let {name} = {}; {name} + {} }}", g.integer(), g.integer()))
    }),
    node("macro as a value", |g| Some(format!("double({})", g.integer()))),
    leaf("nested macro", |g| {
        let value = g.variable(|one| one.ty == Ty::Integer).map_or("7".into(), |one| one.name);
        Some(format!("quadruple({value})"))
    }),
    node("tuple element", |g| {
        let (first, second) = (g.integer(), g.text());
        Some(format!("({second}, {first}, 3).{}", g.random.between(1, 2)))
    }),
    node("element of a tuple variable", |g| {
        let held = g.variable(|one| matches!(&one.ty, Ty::Tuple(elements) if elements.contains(&Ty::Integer)))?;
        let Ty::Tuple(elements) = &held.ty else { return None };
        let index = elements.iter().position(|ty| *ty == Ty::Integer)?;
        Some(format!("{}.{index}", held.name))
    }),
    node("record field", |g| {
        let held = g.variable(|one| matches!(&one.ty, Ty::Record(fields) if fields.contains(&Ty::Integer)))?;
        let Ty::Record(fields) = &held.ty else { return None };
        Some(format!("{}.f{}", held.name, fields.iter().position(|ty| *ty == Ty::Integer)?))
    }),
    node("array element", |g| {
        let held = g.variable(|one| matches!(one.ty, Ty::Array(..)))?;
        Some(format!("{}[{}]", held.name, g.random.below(2)))
    }),
    node("array element at a variable index", |g| {
        let held = g.variable(|one| matches!(one.ty, Ty::Array(..)))?;
        let index = g.variable(|one| one.ty == Ty::Integer)?.name;
        Some(format!("{}[{index}]", held.name))
    }),
    node("structure member", |g| {
        let member = g.random.pick(&["a", "b", "inner.s", "inner.c", "row[3]", "f", "g", "next->a", "mac[1]"]);
        Some(format!("{}->{member}", g.pointer()))
    }),
    node("member of a structure value", |g| {
        let held = g.variable(|one| one.ty == Ty::Structure)?.name;
        let member = g.random.pick(&["a", "b", "inner.s", "row[1]", "f", "g", "next->b"]);
        Some(format!("{held}.{member}"))
    }),
    node("dereference", |g| {
        let ty = g.random.pick(&["int8", "uint16", "int32", "uint64"]);
        Some(format!("*(({ty} *){})", g.pointer()))
    }),
    node("dereference of an address", |g| {
        let held = g.variable(|one| one.ty == Ty::Integer && one.assignable)?.name;
        Some(format!("*(&{held})"))
    }),
    node("strlen", |g| Some(format!("strlen({})", g.text()))),
    node("strcap", |g| Some(format!("strcap({})", g.text()))),
    node("strncmp", |g| Some(format!("strncmp({}, {}, {})", g.text(), g.text(), g.random.between(1, 16)))),
    node("strstr", |g| Some(format!("strstr({}, {})", g.text(), g.text()))),
    node("memcmp", |g| Some(format!("memcmp({}->mac, {}->mac, 6)", g.pointer(), g.pointer()))),
    node("bswap", |g| Some(format!("bswap((uint32){})", primary(g)))),
    node("len of a map", |g| {
        let map = g.map(|map| map.key.is_some())?;
        Some(format!("len({})", map.name))
    }),
    node("len of a stack", |g| Some(format!("len({})", g.random.pick(&["kstack", "ustack(4)", "kstack(9)"])))),
    node("step of a variable", |g| {
        let held = g.variable(|one| one.ty == Ty::Integer && one.assignable && one.annotation.is_none())?.name;
        Some(match g.random.below(4) {
            0 => format!("{held}++"),
            1 => format!("{held}--"),
            2 => format!("++{held}"),
            _ => format!("--{held}"),
        })
    }),
    node("delete as a value", |g| {
        let map = g.map(|map| map.key.is_some())?;
        let key = g.key(&map.key.clone()?);
        Some(format!("(int64)delete({}[{key}])", map.name))
    }),
];

pub const BOOLEANS: &[Production<String>] = &[
    leaf("boolean literal", |g| Some(g.random.pick(&["true", "false"]).into())),
    leaf("boolean variable", |g| Some(g.variable(|one| one.ty == Ty::Boolean)?.name)),
    leaf("has_cpid", |_| Some("has_cpid".into())),
    node("boolean map entry", |g| g.stored(&Ty::Boolean)),
    node("comparison", |g| operator(g, &["==", "!=", "<", "<=", ">", ">="])),
    node("comparison, again", |g| operator(g, &["==", "!=", "<", "<=", ">", ">="])),
    node("string comparison", |g| Some(format!("({} {} {})", g.text(), g.random.pick(&["==", "!="]), g.text()))),
    node("tuple comparison", |g| {
        let (a, b, c, d) = (g.integer(), g.integer(), g.integer(), g.integer());
        Some(format!("(({a}, {b}) {} ({c}, {d}))", g.random.pick(&["==", "!="])))
    }),
    node("array comparison", |g| {
        let (array, from) = ("int8[4]", "int32");
        Some(format!("((({array})(({from})({}))) == (({array})(({from})({}))))", g.integer(), g.integer()))
    }),
    node("pointer comparison", |g| Some(format!("({} {} {})", g.pointer(), g.random.pick(&["==", "!="]), g.pointer()))),
    node("logical and", |g| Some(format!("({} && {})", g.boolean(), g.boolean()))),
    node("logical or", |g| Some(format!("({} || {})", g.boolean(), g.integer()))),
    node("logical not", |g| Some(format!("!{}", parenthesised(g.boolean())))),
    node("boolean cast", |g| Some(format!("((bool){})", primary(g)))),
    node("boolean ternary", |g| Some(format!("({} ? {} : {})", g.integer(), g.boolean(), g.boolean()))),
    node("strcontains", |g| Some(format!("strcontains({}, {})", g.text(), g.random.pick(&WORDS)))),
    node("strcontains of two variables", |g| Some(format!("strcontains({}, {})", g.text(), g.text()))),
    node("is_err", |g| Some(format!("is_err({})", g.pointer()))),
    node("has_key", |g| {
        let map = g.map(|map| map.key.is_some())?;
        let key = g.value(&map.key.clone()?);
        Some(format!("has_key({}, {key})", map.name))
    }),
];

pub const TEXTS: &[Production<String>] = &[
    leaf("string literal", |g| Some(g.random.pick(&WORDS).into())),
    leaf("comm", |_| Some("comm".into())),
    leaf("string variable", |g| Some(g.variable(|one| one.ty == Ty::Text)?.name)),
    leaf("string of the probe", |g| (!g.probe_texts.is_empty()).then(|| g.random.pick(g.probe_texts).into())),
    leaf("string builtin", |g| Some(g.random.pick(&["pcomm", "leader_comm", "probe", "probetype"]).into())),
    leaf("string member of a kernel structure", |_| Some("curtask->parent->comm".into())),
    leaf("string parameter", |_| Some("str($2)".into())),
    node("string map entry", |g| g.stored(&Ty::Text)),
    node("string member", |g| Some(format!("{}->name", g.pointer()))),
    node("str of a pointer", |g| Some(format!("str((char *){})", g.pointer()))),
    node("str with a length", |g| Some(format!("str((char *){}, {})", g.pointer(), g.random.between(1, 64)))),
    node("str with a variable length", |g| {
        let length = g.variable(|one| one.ty == Ty::Integer)?.name;
        Some(format!("str((char *){}, {length})", g.pointer()))
    }),
    node("str_concat", |g| Some(format!("str_concat({}, {})", g.text(), g.text()))),
    node("string ternary", |g| Some(format!("({} ? {} : {})", g.boolean(), g.text(), g.text()))),
    node("string of an if", |g| Some(format!("(if ({}) {{ {} }} else {{ {} }})", g.boolean(), g.text(), g.text()))),
    node("syscall_name", |g| Some(format!("syscall_name({})", g.integer()))),
    node("signal_name", |g| Some(format!("signal_name({})", g.integer()))),
];

fn operator(g: &mut Generator, operators: &[&'static str]) -> Option<String> {
    let (left, right) = (g.integer(), g.integer());
    Some(format!("({left} {} {right})", g.random.pick(operators)))
}

/// An integer in parentheses, so that an operator in front of it has all of it.
fn primary(g: &mut Generator) -> String {
    parenthesised(g.integer())
}

fn parenthesised(text: String) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '$' || c == '_');
    if plain { text } else { format!("({text})") }
}
