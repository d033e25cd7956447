//! Definitions as scripts write them, and what becomes of them. Sizes and offsets were taken from
//! GCC on x86-64 (`offsetof`, `sizeof`).

use super::*;
use crate::diagnostics::Sources;
use crate::pipeline::{self, Request};
use crate::semantics::fake::FakeKernel;
use crate::syntax;
use crate::types::AddressSpace;

fn read_into(types: &mut CTypes, text: &str) -> Result<(), Vec<Diagnostic>> {
    let mut sources = Sources::default();
    let source = sources.add("cell", text);
    let script = syntax::parse(text, source)?;
    let info = &FakeKernel::default();
    read(&script.c_definitions, types, &Surroundings { sources: &sources, info, include_dirs: &[] }).map(|_| ())
}

fn read_text(text: &str) -> CTypes {
    let mut types = CTypes::default();
    read_into(&mut types, text).unwrap();
    types
}

/// The id of the first error and the text that it points at.
fn error_of(text: &str) -> (&'static str, String) {
    let errors = read_into(&mut CTypes::default(), text).unwrap_err();
    let span = errors[0].primary.span;
    (errors[0].id, text[span.start as usize..span.end as usize].to_string())
}

fn structure(types: &CTypes, name: &str) -> Arc<StructType> {
    types.struct_type(name, &FakeKernel::default()).unwrap()
}

/// Size, then name, offset and type of each field.
fn shown(types: &CTypes, name: &str) -> String {
    let info = structure(types, name);
    let fields = info.fields.iter().map(|field| {
        let bits = field.bitfield.map_or(String::new(), |(offset, width)| format!(":{offset}+{width}"));
        format!("{}@{}{bits} {}", field.name, field.offset, field.ty)
    });
    format!("{}: {}", info.size, fields.collect::<Vec<_>>().join("; "))
}

#[test]
fn integers_of_every_spelling_are_laid_out() {
    let types = read_text(
        "struct s { char c; unsigned short int us; long long ll; signed char sc; int unsigned iu; _Bool b; \
         const volatile long unsigned int lu; uint16_t u16; __u8 u8; size_t size; double d; }",
    );
    assert_eq!(
        shown(&types, "struct s"),
        "64: c@0 int8; us@2 uint16; ll@8 int64; sc@16 int8; iu@20 uint32; b@24 bool; lu@32 uint64; u16@40 uint16; \
         u8@42 uint8; size@48 uint64; d@56 void"
    );
}

#[test]
fn arrays_pointers_and_functions_are_read_inside_out() {
    let types = read_text(
        "struct s { int *a[4]; int (*b)[4]; int y[2][3]; char name[16]; char lines[2][8]; void (*call)(int, char *); \
         void **v; unsigned char raw[]; };",
    );
    assert_eq!(
        shown(&types, "struct s"),
        "112: a@0 int32 *[4]; b@32 int32[4] *; y@40 int32[3][2]; name@64 string[16]; lines@80 string[8][2]; \
         call@96 void *; v@104 void * *; raw@112 uint8[0]"
    );
}

#[test]
fn pointers_to_structures_are_by_name() {
    let types = read_text("struct list { struct list *next; struct unknown *other; int n; }");
    let info = structure(&types, "struct list");
    let Type::Pointer { to, space: AddressSpace::Unknown } = &info.fields[0].ty else { panic!("{info:?}") };
    let Type::Struct(next) = to.as_ref() else { panic!("{to:?}") };
    assert_eq!((next.name.as_str(), next.fields.len()), ("struct list", 0));
    assert!(types.is_declared("struct unknown"));
}

#[test]
fn members_of_unnamed_structures_belong_to_the_one_around() {
    let types = read_text(
        "struct s { char a; union { int b; struct { short c; long d; }; }; struct { int m[1] } y; union { long q; } *p; }",
    );
    assert_eq!(
        shown(&types, "struct s"),
        "40: a@0 int8; b@8 int32; c@8 int16; d@16 int64; y@24 struct s::y; p@32 union s::p *"
    );
    assert_eq!(shown(&types, "union s::p"), "8: q@0 int64");
}

#[test]
fn bitfields_lie_where_gcc_puts_them() {
    let types = read_text(
        "struct s { unsigned a:3, :2, b:4; int c:30; long d:40; char e:4; unsigned long f:50; int :0; short g:5; _Bool h:1; }",
    );
    assert_eq!(
        shown(&types, "struct s"),
        "32: a@0:0+3 uint32; b@0:5+4 uint32; c@4:0+30 int32; d@8:0+40 int64; e@13:0+4 int8; f@16:0+50 uint64; \
         g@24:0+5 int16; h@24:5+1 bool"
    );
}

#[test]
fn attributes_pack_and_align() {
    let types = read_text(
        "struct a { int x; char y; int z; } __attribute__((packed)) __attribute__((aligned(1)))\n\
         struct __attribute__((packed)) b { char x; long y; struct a z; };\n\
         struct c { char x; int y __attribute__((aligned(16))); char z; };\n\
         struct d { char x; long y __attribute__((__packed__)); } /**/ __attribute__ ((unused));",
    );
    assert_eq!(shown(&types, "struct a"), "9: x@0 int32; y@4 int8; z@5 int32");
    assert_eq!(shown(&types, "struct b"), "18: x@0 int8; y@1 int64; z@9 struct a");
    assert_eq!(shown(&types, "struct c"), "32: x@0 int8; y@16 int32; z@20 int8");
    assert_eq!(shown(&types, "struct d"), "9: x@0 int8; y@1 int64");
}

#[test]
fn typedefs_stand_for_what_they_name() {
    let types = read_text(
        "typedef struct later later_t; typedef struct { int x; } point_t, *point_p; typedef unsigned int u, v[3];\n\
         typedef char text[8]; typedef int (*callback)(void *);\n\
         struct later { int n; }\nstruct s { later_t l; point_t p; point_p q; v w; text t; callback c; u x; };",
    );
    assert_eq!(
        shown(&types, "struct s"),
        "56: l@0 struct later; p@4 point_t; q@8 point_t *; w@16 uint32[3]; t@28 string[8]; c@40 void *; x@48 uint32"
    );
}

#[test]
fn enumerations_count_and_choose_their_width() {
    let types = read_text(
        "enum small { A, B = 5, C, D = B * 2 + sizeof(long), };\nenum negative { E = -3, F };\n\
         enum large { G = 1UL << 40 };\nenum { H = 'a', I = C | 0x100 };\nstruct s { enum small e; int n[C]; enum large l; }",
    );
    let info = FakeKernel::default();
    let value = |name: &str| types.enum_constant(name, &info).map(|(_, value)| value);
    let names = ["A", "B", "C", "D", "E", "F", "G", "H", "I"];
    assert_eq!(names.map(|name| value(name).unwrap()), [0, 5, 6, 18, -3, -2, 1 << 40, 97, 0x106]);
    let width = |name: &str| types.enum_type(name, &info).map(|it| (it.bits, it.signed)).unwrap();
    assert_eq!([width("small"), width("negative"), width("large")], [(32, false), (32, true), (64, false)]);
    assert_eq!(shown(&types, "struct s"), "40: e@0 enum small; n@4 int32[6]; l@32 enum large");
}

#[test]
fn macros_are_read_when_used() {
    let types = read_text(
        "#define SIZE (COUNT * 2) // later\n#define COUNT 4\n#define TEXT \"a\\tb\" \"c\"\n#define WORD unsigned long\n\
         #define SELF SELF\n#define EMPTY\nstruct s { WORD w[SIZE]; };",
    );
    let info = FakeKernel::default();
    let value = |name: &str| types.macro_value(name, &info).unwrap();
    assert_eq!(value("SIZE").unwrap(), MacroValue::Integer(8));
    assert_eq!(value("TEXT").unwrap(), MacroValue::Text("a\tbc".into()));
    assert_eq!(value("WORD").unwrap_err().id, "not-supported-yet");
    assert_eq!(value("SELF").unwrap_err().id, "invalid-constant");
    assert_eq!(types.typedef("WORD", &info), Some(Type::U64));
    assert!(types.macro_value("NONE", &info).is_none());
    assert_eq!(shown(&types, "struct s"), "64: w@0 uint64[8]");
}

#[test]
fn conditionals_choose_what_is_read() {
    let text = "#define YES 1\n#ifdef YES\nstruct a { int x; }\n#ifdef NO\nstruct b { int x; }\n#else\nstruct c { int x; }\n\
                #endif\n#else\nstruct a { long x; }\n#endif\n#if defined(NO) || YES > 2\n#elif !defined NO\nenum e { E };\n#endif\n\
                #ifndef BPFTRACE_HAVE_BTF\n#include <stdint.h>\nstruct d { int x; };\n#endif\nbegin { }";
    let types = read_text(text);
    let names: Vec<&String> = types.structures.keys().collect();
    assert_eq!(names, ["struct a", "struct c", "struct d"]);
    assert_eq!(structure(&types, "struct a").size, 4);
    assert!(types.enums.contains_key("e"));
}

#[test]
fn a_later_cell_replaces_what_an_earlier_one_defined() {
    let mut types = read_text("struct s { int x; }\nenum e { A, B };\n#define N 1\n");
    read_into(&mut types, "struct s { int x[N]; long y; }\nenum e { B, C };\n").unwrap();
    assert_eq!(structure(&types, "struct s").size, 16);
    let info = FakeKernel::default();
    assert_eq!(types.enum_constant("A", &info), None);
    assert_eq!(types.enum_constant("B", &info).map(|(_, value)| value), Some(0));
}

#[test]
fn what_is_wrong_is_pointed_at() {
    let at = |id, text: &str| (id, text.to_string());
    assert_eq!(error_of("struct s { int x; nothing_t y; }"), at("unknown-type", "nothing_t"));
    assert_eq!(error_of("struct s { struct t y; }"), at("invalid-c-type", "y"));
    assert_eq!(error_of("struct s { void y; }"), at("invalid-c-type", "y"));
    assert_eq!(error_of("struct s { int x:33; }"), at("invalid-c-type", "33"));
    assert_eq!(error_of("struct s { int x; int x; }"), at("c-redefinition", "s"));
    assert_eq!(error_of("struct s { int x; }\nstruct s { long x; }"), at("c-redefinition", "s"));
    assert_eq!(error_of("struct s { int x y; }"), at("c-syntax", "y"));
    assert_eq!(error_of("struct s { int x[NONE]; }"), at("unknown-name", "NONE"));
    assert_eq!(error_of("struct s { int x[1 / 0]; }"), at("invalid-constant", "1 / 0"));
    assert_eq!(error_of("struct s { int x[-1]; }"), at("invalid-c-type", "-1"));
    assert_eq!(error_of("struct s { long x[0x10000000]; }"), at("invalid-c-type", "x[0x10000000]"));
    assert_eq!(error_of("struct s { long int char x; }"), at("unknown-type", "long int char"));
    assert_eq!(error_of("#include <mine/own.h>\n"), at("needs-libclang", "#include <mine/own.h>"));
    assert_eq!(error_of("#include <linux/fs.h>\n").0, "needs-libclang");
    assert_eq!(error_of("#define F(x x\n"), at("c-syntax", "F(x x"));
    assert_eq!(error_of("#error \"no\"\n"), at("c-error", "#error \"no\""));
    assert_eq!(error_of("#endif\n"), at("c-syntax", "#endif"));
    assert_eq!(error_of("#ifdef A\n"), at("c-syntax", "#ifdef A"));
    assert_eq!(error_of("#define X (1 +\nstruct s { int x[X]; }").0, "not-supported-yet");
}

#[test]
fn definitions_hold_for_later_cells() {
    let compile = |text: &str, c_types: &CTypes| {
        let mut sources = Sources::default();
        let source = sources.add("cell", text);
        pipeline::compile(&Request { c_types, ..Request::new(&sources, source, &FakeKernel::default()) })
    };
    let script = "begin { print(*(struct s *)0); print((sizeof(word), E, N)); }";
    assert!(compile(script, &CTypes::default()).is_err());
    let first = compile("struct s { int x; };\nenum e { E };\ntypedef int word;\n#define N 3\n", &CTypes::default());
    let first = first.map_err(|errors| format!("{errors:?}")).unwrap();
    assert!(compile(script, &first.c_types).is_ok());
}

#[test]
fn hostile_texts_end() {
    for text in [
        format!("struct s {{ int x[{}1]; }}", "-".repeat(100_000)),
        format!("struct s {{ int x[{}1]; }}", "1+".repeat(50_000)),
        format!("struct s {{ int {}x; }}", "*".repeat(10_000)),
        format!("enum e {{ A = {}1{} }};", "(".repeat(5000), ")".repeat(5000)),
        format!("struct s {{ int x{}; }}", "[2]".repeat(40)),
    ] {
        let _ = read_into(&mut CTypes::default(), &text);
    }
}
