//! Debug information of real programs, in every form that compilers and tools here write.

mod damaged;
mod packed;
mod unusual;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use probebook_compiler::types::{AddressSpace, StructType, Type};
use probebook_compiler::user_info::UserPrototype;

use super::*;
use crate::system::user::{binary, compressed};

const C: &str = include_str!("program.c");
const CPP: &str = include_str!("classes.cpp");

/// A folder with a program in it, built by a compiler that is here.
struct Built {
    folder: tempfile::TempDir,
    program: PathBuf,
}

/// `None`, and a word about it, where there is no such compiler.
fn build(compiler: &str, name: &str, source: &str, flags: &[&str]) -> Option<Built> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), source).unwrap();
    let built = run(folder.path(), compiler, &[flags, &["-o", "program", name]].concat());
    if !built {
        println!("skipped: {compiler} {} does not work", flags.join(" "));
        return None;
    }
    let program = folder.path().join("program");
    Some(Built { folder, program })
}

fn run(folder: &Path, command: &str, arguments: &[&str]) -> bool {
    Command::new(command).args(arguments).current_dir(folder).output().is_ok_and(|output| output.status.success())
}

fn open(program: &Path) -> DebugInfo {
    DebugInfo::open(program, &DebugFiles::default(), &mut LookedAt::new()).unwrap()
}

fn address(program: &Path, function: &str) -> u64 {
    let binary = binary::read(program, &DebugFiles::default(), &mut LookedAt::new()).unwrap();
    binary.symbols.iter().find(|symbol| symbol.name.contains(function)).unwrap().address
}

fn prototype(program: &Path, info: &DebugInfo, function: &str) -> Arc<UserPrototype> {
    info.prototype(address(program, function)).unwrap()
}

/// `int a, char* b`
fn parameters(program: &Path, info: &DebugInfo, function: &str) -> String {
    let prototype = prototype(program, info, function);
    let texts: Vec<String> = prototype.parameters.iter().map(|it| format!("{} {}", it.c_type, it.name)).collect();
    texts.join(", ")
}

/// `offset name: type`, with the bits of bitfields
fn fields(structure: &StructType) -> Vec<String> {
    let shown = |field: &probebook_compiler::types::StructField| {
        let bits = field.bitfield.map(|(from, width)| format!(" bits {from}+{width}")).unwrap_or_default();
        format!("{} {}: {}{bits}", field.offset, field.name, field.ty)
    };
    structure.fields.iter().map(shown).collect()
}

const OUTER: [&str; 16] = [
    "0 tag: int8",
    "2 in: struct inner",
    "16 next: struct outer *",
    "24 color: enum color",
    "28 i: int32",
    "28 bytes: uint8[4]",
    "32 grid: int32[3][2]",
    "56 a: uint32 bits 0+3",
    "56 b: uint32 bits 3+5",
    "56 c: uint64 bits 8+40",
    "64 d: void",
    "80 wide: uint64[2]",
    "96 call: void *",
    "104 where: point",
    "",
    "",
];

/// What every form must tell of the C program.
fn check(program: &Path, info: &DebugInfo) {
    let shown = |function| parameters(program, info, function);
    assert_eq!(shown("scalars"), "char c, short unsigned int u, long int l, enum sign s, _Bool b");
    assert_eq!(
        shown("pointers"),
        "const char* text, struct outer* o, void* nothing, int (*)(int, char*) call, point* p"
    );
    assert_eq!(shown("hidden"), "int only");
    let outer = info.structure(0, "struct outer").unwrap();
    let expected: Vec<&str> = OUTER.iter().copied().filter(|line| !line.is_empty()).collect();
    assert_eq!((fields(&outer), outer.size), (expected.iter().map(|line| (*line).to_string()).collect(), 112));
    let prototype = prototype(program, info, "pointers");
    let to_outer = Type::pointer(
        Type::Struct(Arc::new(StructType { name: "struct outer".into(), size: 0, fields: Vec::new() })),
        AddressSpace::User,
    );
    assert_eq!(prototype.parameters[1].ty, to_outer);
    assert_eq!(fields(&info.structure(0, "point").unwrap()), ["0 x: int32", "4 y: int32"]);
    assert!(matches!(info.typedef(0, "point"), Some(Type::Struct(info)) if info.size == 8));
    let sign = info.enumeration(0, "sign").unwrap();
    assert_eq!((sign.signed, sign.variants.as_slice()), (true, &[("MINUS".into(), -1), ("PLUS".into(), 1)][..]));
    let line = |line, column| info.line(Line { file: "program.c", line, column });
    let here = 1 + C.lines().position(|text| text.contains("int scalars(")).unwrap() as u64;
    assert_eq!(line(here, 0), Ok(address(program, "scalars")));
    assert!(line(1, 0).unwrap_err().contains("Unable to map 'program.c:1' to address"), "{:?}", line(1, 0));
    let elsewhere = info.line(Line { file: "rogram.c", line: here, column: 0 });
    assert_eq!(elsewhere, Err("No compilation unit matches rogram.c".into()));
}

#[test]
fn every_version_of_the_format_is_read() {
    for flags in [
        &["-gdwarf-5"][..],
        &["-gdwarf-4"],
        &["-gdwarf-3", "-gstrict-dwarf"],
        &["-gdwarf-2", "-gstrict-dwarf"],
        &["-gdwarf-5", "-fdebug-types-section"],
        &["-gdwarf-4", "-fdebug-types-section"],
        &["-gdwarf-5", "-gz=zlib"],
        &["-gdwarf-5", "-gdwarf64"],
        &["-gdwarf-5", "-static"],
    ] {
        if let Some(built) = build("cc", "program.c", C, flags) {
            println!("{flags:?}");
            check(&built.program, &open(&built.program));
        }
    }
}

#[test]
fn split_debug_information_is_put_together() {
    for flags in [&["-gdwarf-5"][..], &["-gdwarf-4"], &["-gdwarf-5", "-fdebug-types-section"]] {
        let flags = [flags, &["-gsplit-dwarf"]].concat();
        let Some(built) = build("cc", "program.c", C, &flags) else { continue };
        println!("{flags:?}");
        check(&built.program, &open(&built.program));
        // Not every version of these tools knows every version of the format, or of type units.
        let has_types = flags.contains(&"-fdebug-types-section");
        let pack = |tool| run(built.folder.path(), tool, &["-e", "program", "-o", "program.dwp"]);
        if !has_types && (pack("llvm-dwp") || pack("dwp")) {
            println!("packed");
            let is_half = |path: &Path| path.extension().is_some_and(|extension| extension == "dwo");
            let halves = fs::read_dir(built.folder.path()).unwrap().map(|entry| entry.unwrap().path());
            halves.filter(|path| is_half(path)).for_each(|half| fs::remove_file(half).unwrap());
            check(&built.program, &open(&built.program));
        }
    }
}

#[test]
fn what_was_stripped_off_is_found() {
    let Some(built) = build("cc", "program.c", C, &["-g"]) else { return };
    let folder = built.folder.path();
    let stripped = folder.join("stripped");
    if !run(folder, "objcopy", &["--only-keep-debug", "program", "stripped.debug"])
        || !run(folder, "objcopy", &["--strip-all", "--add-gnu-debuglink=stripped.debug", "program", "stripped"])
    {
        return println!("skipped: objcopy does not work");
    }
    check(&stripped, &open(&stripped));
    fs::create_dir(folder.join("elsewhere")).unwrap();
    fs::rename(folder.join("stripped.debug"), folder.join("elsewhere/stripped.debug")).unwrap();
    let error = DebugInfo::open(&stripped, &DebugFiles::default(), &mut LookedAt::new()).err().unwrap();
    assert_eq!(error.reason, format!("no debuginfo found for {}", stripped.display()));
    let files = DebugFiles::default();
    files.set_directories(vec!["elsewhere".into()]);
    assert!(
        DebugInfo::open(&stripped, &files, &mut LookedAt::new())
            .unwrap()
            .prototype(address_of_main(&built.program))
            .is_some()
    );
}

fn address_of_main(program: &Path) -> u64 {
    let binary = binary::read(program, &DebugFiles::default(), &mut LookedAt::new()).unwrap();
    binary.symbols.iter().find(|symbol| symbol.name == "main").unwrap().address
}

#[test]
fn optimised_functions_keep_their_parameters() {
    let Some(built) = build("cc", "program.c", C, &["-g", "-O2"]) else { return };
    let info = open(&built.program);
    assert_eq!(parameters(&built.program, &info, "scalars").split(',').next(), Some("char c"));
    assert_eq!(info.prototype(address_of_main(&built.program)).unwrap().parameters.len(), 2);
}

#[test]
fn values_say_how_they_are_passed() {
    let Some(built) = build("cc", "program.c", C, &["-g"]) else { return };
    let info = open(&built.program);
    let of = |function: &str| prototype(&built.program, &info, function);
    let passing = |function: &str, index: usize| of(function).parameters[index].passing;
    use probebook_compiler::user_info::Word::{Float, Integer, Nothing};
    let point = passing("by_value", 0);
    assert_eq!((point.size, point.words, point.is_composite), (8, [Integer, Nothing], true));
    assert!(passing("by_value", 1).in_memory && of("by_value").result.in_memory);
    let mixed = passing("by_value", 2);
    assert_eq!((mixed.words, mixed.floats, mixed.in_memory), ([Float, Integer], 0, false));
    let double = passing("floating", 0);
    assert_eq!((double.words, double.floats), ([Float, Nothing], 1));
    assert_eq!(passing("floating", 1).words, [Integer, Nothing]);
    assert_eq!(passing("floating", 3).in_memory, cfg!(target_arch = "x86_64"));
}

#[test]
fn classes_have_what_they_inherit() {
    let Some(built) = build("c++", "classes.cpp", CPP, &["-g"]) else { return };
    let info = open(&built.program);
    let circle = info.structure(0, "struct shapes::Circle").unwrap();
    let expected =
        ["0 _vptr.Base: void * *", "8 id: int32", "16 second: int64", "24 radius: int32", "28 shared: int32"];
    assert_eq!(fields(&circle), expected);
    assert_eq!(info.structure(0, "struct Circle"), Some(circle));
    assert!(matches!(info.typedef(0, "Circle"), Some(Type::Struct(info)) if info.name == "struct shapes::Circle"));
    let shown = parameters(&built.program, &info, "take");
    assert_eq!(
        shown,
        "struct shapes::Circle& circle, const struct Plain* plain, int&& moved, struct shapes::Circle copy"
    );
    let prototype = prototype(&built.program, &info, "take");
    assert!(prototype.parameters[3].passing.by_reference);
    assert!(matches!(&prototype.parameters[2].ty, Type::Pointer { to, .. } if **to == Type::I32));
    let plain = info.structure(0, "struct Plain").unwrap();
    assert_eq!(fields(&plain), ["0 a: int32", "8 reference: struct shapes::Second *"]);
    assert_eq!(parameters(&built.program, &info, "area"), "const struct shapes::Circle* const this, int scale");
}
