//! Statements, a construct an entry.

use crate::generator::{Generator, Place, Production, leaf, node};
use crate::tree::Node;
use crate::types::{Map, Shape, Ty};

const ANNOTATIONS: [&str; 8] = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"];

pub const STATEMENTS: &[Production<Node>] = &[
    leaf("variable of any type", new_variable),
    leaf("variable of a composite type", |g| {
        let elements = vec![g.any_type(1), Ty::Integer];
        let array = Ty::Array("int8[4]", "int32");
        let ty = g.random.pick(&[Ty::Record(elements.clone()), Ty::Tuple(elements), array, Ty::Structure]);
        let value = g.value(&ty);
        let name = g.fresh("$c");
        g.declare(&name, ty, None, true);
        Some(Node::Line(format!("{name} = {value};")))
    }),
    leaf("variable of any type, again", new_variable),
    leaf("let", |g| {
        let ty = g.any_type(2);
        let value = g.value(&ty);
        let name = g.fresh("$l");
        g.declare(&name, ty, None, true);
        Some(Node::Line(format!("let {name} = {value};")))
    }),
    leaf("let with a type", |g| {
        let annotation = g.random.pick(&ANNOTATIONS);
        let value = g.integer();
        let name = g.fresh("$w");
        g.declare(&name, Ty::Integer, Some(annotation.into()), true);
        Some(Node::Line(format!("let {name}: {annotation} = ({annotation})({value});")))
    }),
    leaf("assignment", |g| {
        let held = g.variable(|one| one.assignable)?;
        let value = g.value(&held.ty);
        let value = held.annotation.map_or(value.clone(), |ty| format!("({ty})({value})"));
        Some(Node::Line(format!("{} = {value};", held.name)))
    }),
    leaf("compound assignment", |g| {
        let held = g.variable(|one| one.assignable && one.ty == Ty::Integer && one.annotation.is_none())?;
        let operator = g.random.pick(&["+=", "-=", "*=", "&=", "|=", "^="]);
        Some(Node::Line(format!("{} {operator} {};", held.name, g.integer())))
    }),
    leaf("compound shift or division", |g| {
        let held = g.variable(|one| one.assignable && one.ty == Ty::Integer && one.annotation.is_none())?;
        let value = g.integer();
        Some(Node::Line(match g.random.below(4) {
            0 => format!("{} <<= ({value} & 15);", held.name),
            1 => format!("{} >>= ({value} & 15);", held.name),
            2 => format!("{} /= ({value} | 1);", held.name),
            _ => format!("{} %= ({value} | 1);", held.name),
        }))
    }),
    leaf("discarded value", |g| {
        let ty = g.any_type(1);
        Some(Node::Line(format!("_ = {};", g.value(&ty))))
    }),
    leaf("assignment to a map", |g| {
        let map = g.map(|map| matches!(map.value, Shape::Plain(_)))?;
        Some(assignment(g, &map))
    }),
    leaf("assignment to a map, again", |g| {
        let map = g.map(|map| matches!(map.value, Shape::Plain(_)))?;
        Some(assignment(g, &map))
    }),
    leaf("aggregation", |g| {
        let map = g.map(|map| matches!(map.value, Shape::Aggregate(..)))?;
        Some(assignment(g, &map))
    }),
    leaf("aggregation, again", |g| {
        let map = g.map(|map| matches!(map.value, Shape::Aggregate(..)))?;
        Some(assignment(g, &map))
    }),
    leaf("compound assignment to a map", |g| {
        let map = g.map(|map| map.value == Shape::Plain(Ty::Integer))?;
        let operator = g.random.pick(&["+=", "-=", "*=", "&=", "|=", "^="]);
        let entry = g.entry(&map);
        Some(Node::Line(format!("{entry} {operator} {};", g.integer())))
    }),
    leaf("step of a map", |g| {
        let map = g.map(|map| map.value == Shape::Plain(Ty::Integer))?;
        let entry = g.entry(&map);
        Some(Node::Line(format!("{entry}{};", g.random.pick(&["++", "--"]))))
    }),
    leaf("delete", |g| {
        let map = g.map(|map| map.key.is_some())?;
        let key = g.value(&map.key.clone()?);
        Some(Node::Line(format!("delete({}, {key});", map.name)))
    }),
    leaf("clear", |g| Some(Node::Line(format!("clear({});", g.map(|map| map.key.is_some())?.name)))),
    leaf("zero", |g| {
        let map = g.map(|map| map.value.is_number() && map.key.is_some())?;
        Some(Node::Line(format!("zero({});", map.name)))
    }),
    leaf("find", |g| {
        let map = g.map(|map| map.key.is_some() && matches!(map.value, Shape::Plain(_)))?;
        let (key, Shape::Plain(ty)) = (map.key.clone()?, map.value.clone()) else { return None };
        let key = g.value(&key);
        let name = g.fresh("$found");
        let value = g.value(&ty);
        g.declare(&name, ty, None, true);
        Some(Node::Line(format!("let {name} = {value}; if (find({}, {key}, {name})) {{ print({name}); }}", map.name)))
    }),
    leaf("printf", |g| {
        let parts: Vec<(&str, String)> = (0..g.random.between(1, 5)).map(|_| g.printed()).collect();
        let format: Vec<&str> = parts.iter().map(|(conversion, _)| *conversion).collect();
        let values: Vec<&str> = parts.iter().map(|(_, value)| value.as_str()).collect();
        Some(Node::Line(format!("printf(\"{}\\n\", {});", format.join(" "), values.join(", "))))
    }),
    leaf("print of a value", |g| {
        let ty = g.any_type(2);
        Some(Node::Line(format!("print({});", g.value(&ty))))
    }),
    leaf("print of a map", |g| {
        let map = g.map(|_| true)?;
        let number = map.value.is_number() && map.key.is_some();
        let arguments = if number { g.random.pick(&["", ", 3", ", 5, 10"]) } else { "" };
        Some(Node::Line(format!("print({}{arguments});", map.name)))
    }),
    leaf("print of an entry", |g| {
        let map = g.map(|map| matches!(map.value, Shape::Plain(_)) || map.value.is_number())?;
        Some(Node::Line(format!("print({});", g.entry(&map))))
    }),
    leaf("warnf", |g| Some(Node::Line(format!("warnf(\"%d\\n\", {});", g.integer())))),
    leaf("errorf", |g| Some(Node::Line(format!("errorf(\"%s\\n\", {});", g.text())))),
    leaf("time", |_| Some(Node::line("time(\"%H:%M:%S\\n\");"))),
    leaf("strftime", |_| Some(Node::line("printf(\"%s\\n\", strftime(\"%H:%M:%S.%f\", nsecs));"))),
    leaf("strerror and username", |g| Some(Node::Line(format!("print(strerror({})); print(username);", g.integer())))),
    leaf("cgroup_path", |_| Some(Node::line("print(cgroup_path(cgroup));"))),
    leaf("cat", |_| Some(Node::line("cat(\"/proc/%s\", \"version\");"))),
    leaf("join", |g| Some(Node::Line(format!("join((char **){}, \",\");", g.pointer())))),
    leaf("assert", |g| Some(Node::Line(format!("assert({} >= 0, \"never\");", g.random.pick(&["pid", "cpu", "1"]))))),
    leaf("unsafe call", |g| {
        let call = g.random.pick(&["signal(\"SIGCONT\")", "signal_thread(18)", "system(\"echo %d\", pid)"]);
        g.place.signals.then(|| Node::Line(format!("{call};")))
    }),
    leaf("pointer to a variable", |g| {
        let held = g.variable(|one| one.assignable && one.ty == Ty::Integer)?.name;
        let name = g.fresh("$p");
        Some(Node::Line(format!("{name} = &{held}; print(*{name});")))
    }),
    leaf("macro as a statement", |g| {
        let held = g.variable(|one| one.assignable && one.ty == Ty::Integer && one.annotation.is_none())?.name;
        Some(Node::Line(format!("bump({held}, {});", g.integer())))
    }),
    leaf("macro with a map", |g| {
        let map = g.map(|map| map.key.is_none() && map.value == Shape::Plain(Ty::Integer))?;
        Some(Node::Line(format!("store({}, {});", map.name, g.integer())))
    }),
    node("if", |g| {
        let condition = g.boolean();
        Some(Node::Blocks(vec![(format!("if ({condition})"), block(g))]))
    }),
    node("if and else", |g| {
        let condition = g.boolean();
        let then = block(g);
        Some(Node::Blocks(vec![(format!("if ({condition})"), then), ("else".into(), block(g))]))
    }),
    node("chain of if", |g| {
        let (first, second) = (g.integer(), g.boolean());
        let then = block(g);
        let other = (format!("else if ({second})"), block(g));
        Some(Node::Blocks(vec![(format!("if ({first})"), then), other, ("else".into(), block(g))]))
    }),
    node("block", |g| Some(Node::block("", block(g)))),
    node("unroll", |g| {
        let times = g.random.between(1, 4);
        let around = Place { unrolled: true, loops: g.place.loops + 1, ..g.place };
        Some(Node::block(format!("unroll ({times})"), within(g, around, &[])))
    }),
    node("for over a range", |g| ranged(g, false)),
    node("for over a range with a variable end", |g| ranged(g, true)),
    node("for over a map", |g| {
        let map = g.map(|map| map.key.is_some() && matches!(map.value, Shape::Plain(_)))?;
        Some(over_a_map(g, &map))
    }),
    node("for over a map, again", |g| {
        let map = g.map(|map| map.key.is_some() && map.value.is_number())?;
        Some(over_a_map(g, &map))
    }),
    node("while", |g| {
        if g.place.loops > 1 {
            return None;
        }
        let counter = g.fresh("$turn");
        let limit = g.random.between(1, 6);
        let around = Place { loops: g.place.loops + 1, unrolled: false, ..g.place };
        let mut body = vec![Node::Line(format!("{counter}++;"))];
        body.extend(within(g, around, &[]));
        let head = format!("let {counter} = 0; while ({counter} < {limit})");
        Some(Node::block(head, body))
    }),
    leaf("break", |g| jump(g, "break")),
    leaf("continue", |g| jump(g, "continue")),
    leaf("return", |g| Some(Node::block(format!("if ({})", g.boolean()), vec![Node::line("return;")]))),
    leaf("exit", |g| Some(Node::block(format!("if ({})", g.boolean()), vec![Node::line("exit();")]))),
];

fn new_variable(g: &mut Generator) -> Option<Node> {
    let ty = g.any_type(2);
    let value = g.value(&ty);
    let name = g.fresh("$v");
    g.declare(&name, ty, None, true);
    Some(Node::Line(format!("{name} = {value};")))
}

fn jump(g: &mut Generator, word: &str) -> Option<Node> {
    if g.place.loops == 0 || g.place.unrolled {
        return None;
    }
    Some(Node::block(format!("if ({})", g.boolean()), vec![Node::Line(format!("{word};"))]))
}

/// `@map[key] = value;` as the map's type wants it.
pub fn assignment(g: &mut Generator, map: &Map) -> Node {
    let entry = g.entry(map);
    let value = match &map.value {
        Shape::Plain(ty) => g.value(&ty.clone()),
        Shape::Aggregate("count", _) => "count()".into(),
        Shape::Aggregate(name, rest) => format!("{name}({}{rest})", g.integer()),
    };
    Node::Line(format!("{entry} = {value};"))
}

fn block(g: &mut Generator) -> Vec<Node> {
    let place = g.place;
    within(g, place, &[])
}

/// The statements of a block with variables of its own.
fn within(g: &mut Generator, place: Place, variables: &[(&str, Ty)]) -> Vec<Node> {
    let around = std::mem::replace(&mut g.place, place);
    g.scopes.push(Vec::new());
    for (name, ty) in variables {
        g.declare(name, ty.clone(), None, false);
    }
    let count = g.random.between(1, 3);
    let made = statements(g, count);
    g.scopes.pop();
    g.place = around;
    made
}

/// As many statements as the budget allows.
pub fn statements(g: &mut Generator, count: usize) -> Vec<Node> {
    let mut made = Vec::new();
    for _ in 0..count {
        if g.budget == 0 {
            break;
        }
        g.budget -= 1;
        made.push(g.choose(STATEMENTS, || Node::line("print(1);")));
    }
    made
}

fn ranged(g: &mut Generator, variable: bool) -> Option<Node> {
    if g.place.loops > 2 {
        return None;
    }
    let index = g.fresh("$i");
    let end = match variable {
        true => format!("({} & 15)", g.variable(|one| one.ty == Ty::Integer)?.name),
        false => g.random.pick(&["2", "5", "13", "40"]).to_owned(),
    };
    let around = Place { loops: g.place.loops + 1, unrolled: false, ..g.place };
    let body = within(g, around, &[(&index, Ty::Integer)]);
    Some(Node::block(format!("for ({index} : {}..{end})", g.random.pick(&["0", "1", "-2"])), body))
}

fn over_a_map(g: &mut Generator, map: &Map) -> Node {
    let pair = g.fresh("$kv");
    let around = Place { loops: g.place.loops + 1, unrolled: false, ..g.place };
    let key = map.key.clone().unwrap_or(Ty::Integer);
    let (key_name, value_name) = (format!("{pair}.0"), format!("{pair}.1"));
    let mut variables = vec![(key_name.as_str(), key)];
    match &map.value {
        Shape::Plain(ty) => variables.push((value_name.as_str(), ty.clone())),
        shape if shape.is_number() => variables.push((value_name.as_str(), Ty::Integer)),
        Shape::Aggregate(..) => {}
    }
    let body = within(g, around, &variables);
    Node::block(format!("for ({pair} : {})", map.name), body)
}
