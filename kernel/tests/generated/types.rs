//! The types that generated programs use, and values of them.

use crate::expressions::{BOOLEANS, INTEGERS, TEXTS};
use crate::generator::Generator;

/// Members of `struct Pair`; the definition is in [`PREAMBLE`].
pub const PREAMBLE: &str = "struct Inner { short s; unsigned char c; };
struct Pair { int a; unsigned long b; char name[16]; unsigned char mac[6]; struct Inner inner; int row[4]; \
unsigned f : 3; unsigned g : 13; struct Pair *next; };
enum Color { RED = 1, GREEN, BLUE = 40 };
#define FORTY 40";

#[derive(Clone, Debug, PartialEq)]
pub enum Ty {
    Integer,
    Boolean,
    Text,
    Tuple(Vec<Ty>),
    Record(Vec<Ty>),
    /// The array's type and the integer type from which it is cast.
    Array(&'static str, &'static str),
    /// `struct Pair`
    Structure,
    /// `struct Pair *`
    Pointer,
    Enumeration,
    Mac,
    Inet,
    Buffer,
    /// A stack of a certain length and mode, as it is asked for.
    Stack(&'static str),
    KernelSymbol,
    UserSymbol,
}

/// What a map holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    Plain(Ty),
    /// An aggregation: its name, and its arguments behind the first.
    Aggregate(&'static str, &'static str),
}

#[derive(Clone, Debug)]
pub struct Map {
    /// With its `@`.
    pub name: String,
    pub key: Option<Ty>,
    pub value: Shape,
}

/// Aggregations with everything behind their first argument; `count` has none.
pub const AGGREGATES: [(&str, &str); 14] = [
    ("count", ""),
    ("sum", ""),
    ("avg", ""),
    ("min", ""),
    ("max", ""),
    ("stats", ""),
    ("hist", ""),
    ("hist", ", 2"),
    ("hist", ", 5"),
    ("lhist", ", 0, 100, 10"),
    ("lhist", ", 50, 1000, 7"),
    ("tseries", ", 1s, 4"),
    ("tseries", ", 10ms, 3, \"avg\""),
    ("tseries", ", 1s, 5, \"max\""),
];

const ARRAYS: [(&str, &str); 5] = [
    ("int8[4]", "int32"),
    ("uint8[8]", "uint64"),
    ("uint16[2]", "uint32"),
    ("int32[2]", "int64"),
    ("uint16[4]", "uint64"),
];

const STACKS: [&str; 6] = ["kstack", "kstack(3)", "kstack(perf, 5)", "ustack", "ustack(3)", "ustack(raw, 2)"];

impl Shape {
    /// Whether it can be used as a number.
    pub fn is_number(&self) -> bool {
        match self {
            Shape::Plain(ty) => *ty == Ty::Integer,
            Shape::Aggregate(name, _) => matches!(*name, "count" | "sum" | "avg" | "min" | "max"),
        }
    }
}

impl Generator {
    /// Some type; `depth` bounds how tuples nest.
    pub fn any_type(&mut self, depth: usize) -> Ty {
        let (name, ty) = match self.random.below(if depth > 0 { 19 } else { 15 }) {
            0..=2 => ("type integer", Ty::Integer),
            3 => ("type boolean", Ty::Boolean),
            4 | 5 => ("type string", Ty::Text),
            6 => {
                let (array, from) = self.random.pick(&ARRAYS);
                ("type array", Ty::Array(array, from))
            }
            7 => ("type structure", Ty::Structure),
            8 => ("type pointer", Ty::Pointer),
            9 => ("type enumeration", Ty::Enumeration),
            10 => ("type mac", Ty::Mac),
            11 => ("type inet", Ty::Inet),
            12 => ("type buffer", Ty::Buffer),
            13 => ("type stack", Ty::Stack(self.random.pick(&STACKS))),
            14 if self.random.chance(50) => ("type kernel symbol", Ty::KernelSymbol),
            14 => ("type user symbol", Ty::UserSymbol),
            15 => ("type record", Ty::Record(self.some_types(depth))),
            _ => ("type tuple", Ty::Tuple(self.some_types(depth))),
        };
        self.cover(name);
        ty
    }

    fn some_types(&mut self, depth: usize) -> Vec<Ty> {
        (0..self.random.between(1, 4)).map(|_| self.any_type(depth - 1)).collect()
    }

    /// An expression of a type.
    pub fn value(&mut self, ty: &Ty) -> String {
        if !matches!(ty, Ty::Integer | Ty::Boolean | Ty::Text) && self.random.chance(30) {
            let held = self.variable(|one| one.ty == *ty).map(|one| one.name);
            if let Some(held) = held.or_else(|| self.stored(ty)) {
                return held;
            }
        }
        match ty {
            Ty::Integer => self.integer(),
            Ty::Boolean => self.boolean(),
            Ty::Text => self.text(),
            Ty::Tuple(elements) => {
                let values: Vec<String> = elements.iter().map(|element| self.value(element)).collect();
                format!("({}{})", values.join(", "), if values.len() == 1 { "," } else { "" })
            }
            Ty::Record(fields) => {
                let values: Vec<String> = fields.iter().map(|field| self.value(field)).collect();
                let fields: Vec<String> =
                    values.iter().enumerate().map(|(index, value)| format!("f{index}={value}")).collect();
                format!("({})", fields.join(", "))
            }
            Ty::Array(array, from) => format!("(({array})(({from})({})))", self.integer()),
            Ty::Structure => format!("*{}", self.pointer()),
            Ty::Pointer => self.pointer(),
            Ty::Enumeration => match self.variable(|one| one.ty == Ty::Integer) {
                Some(number) if self.random.chance(50) => format!("((enum Color){})", number.name),
                _ => self.random.pick(&["RED", "GREEN", "BLUE"]).to_owned(),
            },
            Ty::Mac => format!("macaddr({}->mac)", self.pointer()),
            Ty::Inet => match self.random.below(3) {
                0 => format!("ntop({})", self.integer()),
                1 => "ntop(pton(\"::1\"))".to_owned(),
                _ => "ntop(pton(\"127.0.0.1\"))".to_owned(),
            },
            Ty::Buffer => match self.random.below(3) {
                0 => format!("buf(\"some bytes\", {})", self.random.between(1, 10)),
                1 => format!("buf({}->row)", self.pointer()),
                _ => format!("buf((uint8 *){}, 16)", self.pointer()),
            },
            Ty::Stack(call) => (*call).to_owned(),
            Ty::KernelSymbol => format!("ksym({})", self.integer()),
            Ty::UserSymbol => format!("usym({})", self.integer()),
        }
    }

    pub fn integer(&mut self) -> String {
        self.choose(INTEGERS, || "1".to_owned())
    }

    pub fn boolean(&mut self) -> String {
        self.choose(BOOLEANS, || "true".to_owned())
    }

    pub fn text(&mut self) -> String {
        self.choose(TEXTS, || "comm".to_owned())
    }

    /// A pointer to `struct Pair`, whatever lies there: reading it never fails.
    pub fn pointer(&mut self) -> String {
        if self.random.chance(25)
            && let Some(held) = self.variable(|one| one.ty == Ty::Pointer)
        {
            return held.name;
        }
        match self.random.below(4) {
            0 => format!("((struct Pair *)({}))", self.integer()),
            1 => "((struct Pair *)curtask)->next".to_owned(),
            2 => format!("(((struct Pair *)curtask) + {})", self.random.below(4)),
            _ => "((struct Pair *)curtask)".to_owned(),
        }
    }

    /// `printf`'s conversion and the argument for it.
    pub fn printed(&mut self) -> (&'static str, String) {
        let ty = self.any_type(1);
        let value = self.value(&ty);
        let conversion = match ty {
            Ty::Integer => self.random.pick(&["%d", "%u", "%x", "%lld", "%5d", "%-5d|", "%08x", "%llu", "%c", "%s"]),
            Ty::Text => self.random.pick(&["%s", "%20s", "%-20s|", "%.3s"]),
            Ty::Pointer => self.random.pick(&["%p", "%x"]),
            Ty::Buffer => self.random.pick(&["%r", "%rx", "%rh"]),
            Ty::Boolean | Ty::Enumeration => self.random.pick(&["%d", "%s"]),
            _ => "%s",
        };
        (conversion, value)
    }
}
