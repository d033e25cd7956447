//! What asks about types, and is a part of the grammar: it is lowered where expressions and types are.

use super::{Entry, Lower, Mode};

/// What these entries share.
const OPERATOR: Entry =
    Entry { mode: Mode::CompileTime, arguments: (1, Some(1)), lower: Lower::Grammar, ..Entry::BASE };

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "sizeof",
        signatures: &["uint64 sizeof(TYPE)", "uint64 sizeof(EXPRESSION)"],
        documentation: "The size in bytes of a type, or of an expression's, which is not evaluated.",
        example: "begin { printf(\"%d %d\\n\", sizeof(struct task_struct), sizeof(comm)); }",
        ..OPERATOR
    },
    Entry {
        name: "offsetof",
        signatures: &["uint64 offsetof(STRUCT, FIELD[.SUBFIELD])", "uint64 offsetof(EXPRESSION, FIELD[.SUBFIELD])"],
        documentation: "Where in a structure a field lies, in bytes from its beginning.",
        example: "begin { print(offsetof(struct task_struct, se.vruntime)); }",
        arguments: (2, Some(2)),
        ..OPERATOR
    },
    Entry {
        name: "typeof",
        signatures: &["TYPE typeof(TYPE)", "TYPE typeof(EXPRESSION)"],
        documentation: "The type of an expression, wherever a type can stand: in casts, declarations, `sizeof`.",
        example: "begin { $a = (uint16)7; let $b: typeof($a) = 8; print(($a, $b)); }",
        ..OPERATOR
    },
    Entry {
        name: "typeinfo",
        signatures: &["record typeinfo(TYPE)", "record typeinfo(EXPRESSION)"],
        documentation: "What the compiler knows of a type, as a record of `btf_id`, `base_type` and `full_type`. Unstable: it is allowed by `config = { unstable_typeinfo=enable }`.",
        example: "config = { unstable_typeinfo=enable } begin { print(typeinfo(pid).full_type); }",
        ..OPERATOR
    },
];
