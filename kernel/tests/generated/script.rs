//! Whole scripts: definitions, maps, probes.

use crate::generator::{Generator, Place, Production, leaf};
use crate::statements::{assignment, statements};
use crate::tree::Node;
use crate::types::{AGGREGATES, Map, PREAMBLE, Shape, Ty};

const MACROS: &str = "macro double(x) { x + x }
macro quadruple(x) { double(double(x)) }
macro bump($v, by) { $v += by; }
macro store(@m, value) { @m = value; }";

/// A kind of probe: where it attaches, and what can be read there.
struct Kind {
    points: &'static [&'static str],
    integers: &'static [&'static str],
    texts: &'static [&'static str],
    signals: bool,
}

const SYSCALL: Kind = Kind {
    points: &["tracepoint:syscalls:sys_enter_openat"],
    integers: &["args.flags", "args.dfd", "(uint64)args.filename", "args->mode"],
    texts: &["str(args.filename)", "str(args->filename, 16)"],
    signals: true,
};
const SWITCH: Kind = Kind {
    points: &["tracepoint:sched:sched_switch"],
    integers: &["args.prev_pid", "args.next_prio", "args.prev_state"],
    texts: &["args.prev_comm", "args.next_comm"],
    signals: true,
};
const RAW: Kind = Kind {
    points: &["rawtracepoint:sched_switch", "rawtracepoint:sched_wakeup"],
    integers: &["arg0", "arg1"],
    texts: &["((struct task_struct *)arg1)->comm"],
    signals: true,
};
const TIMED: Kind = Kind {
    points: &["interval:ms:100", "profile:hz:99", "interval:s:1", "software:cpu-clock:1000000", "profile:ms:10"],
    integers: &[],
    texts: &[],
    signals: false,
};
const CALLED: Kind = Kind {
    points: &["uprobe:libc:malloc", "uprobe:libc:free, uprobe:libc:getpid"],
    integers: &["arg0", "arg3", "reg(\"sp\")", "(uint32)arg1"],
    texts: &["str(arg0)", "func", "str(arg1, 8)"],
    signals: true,
};
const RETURNED: Kind = Kind {
    points: &["uretprobe:libc:malloc"],
    integers: &["retval", "(int32)retval"],
    texts: &["str(retval)"],
    signals: true,
};

const PROBES: &[Production<&'static Kind>] = &[
    leaf("tracepoint", |_| Some(&SYSCALL)),
    leaf("tracepoint with strings", |_| Some(&SWITCH)),
    leaf("rawtracepoint", |_| Some(&RAW)),
    leaf("timers and software events", |_| Some(&TIMED)),
    leaf("uprobe", |_| Some(&CALLED)),
    leaf("uretprobe", |_| Some(&RETURNED)),
];

const MAPS: &[Production<Map>] = &[
    leaf("scalar map", scalar),
    leaf("scalar aggregation", |g| Some(Map { name: g.fresh("@s"), key: None, value: aggregate(g) })),
    leaf("keyed map", |g| keyed(g, |g| Shape::Plain(g.any_type(2)))),
    leaf("keyed map of integers", |g| keyed(g, |_| Shape::Plain(Ty::Integer))),
    leaf("keyed aggregation", |g| keyed(g, aggregate)),
    leaf("keyed aggregation, again", |g| keyed(g, aggregate)),
];

const DECLARATIONS: &[Production<&'static str>] =
    &[leaf("hash", |_| Some("hash")), leaf("lruhash", |_| Some("lruhash"))];

const PER_CPU_DECLARATIONS: &[Production<&'static str>] =
    &[leaf("percpuhash", |_| Some("percpuhash")), leaf("percpulruhash", |_| Some("percpulruhash"))];

fn scalar(g: &mut Generator) -> Option<Map> {
    let ty = if g.random.chance(50) { Ty::Integer } else { g.any_type(2) };
    Some(Map { name: g.fresh("@s"), key: None, value: Shape::Plain(ty) })
}

fn keyed(g: &mut Generator, value: impl FnOnce(&mut Generator) -> Shape) -> Option<Map> {
    let key = g.any_type(2);
    Some(Map { name: g.fresh("@m"), key: Some(key), value: value(g) })
}

fn aggregate(g: &mut Generator) -> Shape {
    let (name, rest) = g.random.pick(&AGGREGATES);
    g.cover(name);
    Shape::Aggregate(name, rest)
}

/// Every construct that a run has to have made.
pub fn constructs() -> impl Iterator<Item = &'static str> {
    let expressions = [crate::expressions::INTEGERS, crate::expressions::BOOLEANS, crate::expressions::TEXTS];
    let names = expressions.into_iter().flatten().map(|one| one.name);
    let names = names.chain(crate::statements::STATEMENTS.iter().map(|one| one.name));
    let names = names.chain(PROBES.iter().map(|one| one.name)).chain(MAPS.iter().map(|one| one.name));
    let declarations = DECLARATIONS.iter().chain(PER_CPU_DECLARATIONS);
    names.chain(declarations.map(|one| one.name)).chain(AGGREGATES.iter().map(|(name, _)| *name)).chain([
        "predicate",
        "type integer",
        "type boolean",
        "type string",
        "type array",
        "type structure",
        "type pointer",
        "type enumeration",
        "type mac",
        "type inet",
        "type buffer",
        "type stack",
        "type kernel symbol",
        "type user symbol",
        "type record",
        "type tuple",
    ])
}

/// A script: what it defines, `begin`, and other probes.
pub fn script(g: &mut Generator) -> Vec<Node> {
    let mut items: Vec<Node> = PREAMBLE.lines().map(Node::line).collect();
    items.extend(MACROS.lines().map(Node::line));
    for _ in 0..g.random.between(2, 6) {
        let map = g.choose(MAPS, || Map { name: "@fallback".into(), key: None, value: Shape::Plain(Ty::Integer) });
        g.maps.push(map);
    }
    for map in g.maps.clone() {
        if map.key.is_some() && g.random.chance(25) {
            let table = if matches!(map.value, Shape::Plain(_)) { DECLARATIONS } else { PER_CPU_DECLARATIONS };
            let kind = g.choose(table, || "hash");
            items.push(Node::Line(format!("let {} = {kind}({});", map.name, g.random.between(1, 500))));
        }
    }
    items.push(begin(g));
    for _ in 0..g.random.between(1, 3) {
        items.push(probe(g));
    }
    items
}

/// `begin`, which gives every map its type.
fn begin(g: &mut Generator) -> Node {
    g.place = Place::default();
    g.scopes = vec![Vec::new()];
    let maps = std::mem::take(&mut g.maps);
    let mut body = Vec::new();
    for map in maps {
        body.push(assignment(g, &map));
        g.maps.push(map);
    }
    g.budget = g.random.between(4, 16);
    body.extend(statements(g, usize::MAX));
    Node::block("begin", body)
}

fn probe(g: &mut Generator) -> Node {
    let kind = g.choose(PROBES, || &TIMED);
    (g.probe_integers, g.probe_texts) = (kind.integers, kind.texts);
    g.place = Place { signals: kind.signals, ..Place::default() };
    g.scopes = vec![Vec::new()];
    let mut head = g.random.pick(kind.points).to_owned();
    if g.random.chance(40) {
        g.cover("predicate");
        head = format!("{head} /{}/", g.boolean());
    }
    g.budget = g.random.between(3, 12);
    let body = statements(g, usize::MAX);
    (g.probe_integers, g.probe_texts) = (&[], &[]);
    Node::block(head, body)
}
