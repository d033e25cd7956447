//! Debug information and symbols that distributions have made smaller: compressed, shared, put aside.

use std::os::unix::fs::FileExt;

use super::*;

/// `None`, and a word about it, where a tool is missing.
fn converted(flags: &[&str], steps: &[(&str, &[&str])]) -> Option<Built> {
    let built = build("cc", "program.c", C, flags)?;
    for (tool, arguments) in steps {
        if !run(built.folder.path(), tool, arguments) {
            println!("skipped: {tool} {} does not work", arguments.join(" "));
            return None;
        }
    }
    Some(built)
}

#[test]
fn compressed_sections_are_read() {
    for flags in [&["-g", "-gz=zlib"][..], &["-g", "-gz=zlib-gnu"], &["-g", "-gz=zstd"]] {
        if let Some(built) = converted(flags, &[]) {
            println!("{flags:?}");
            check(&built.program, &open(&built.program));
        }
    }
    for objcopy in ["llvm-objcopy-22", "/usr/lib/llvm-22/bin/llvm-objcopy", "objcopy"] {
        if let Some(built) = converted(&["-g"], &[(objcopy, &["--compress-debug-sections=zstd", "program"])]) {
            println!("{objcopy} zstd");
            check(&built.program, &open(&built.program));
        }
    }
}

/// Where the compressed `.debug_info` of a program starts.
fn compressed_info(program: &Path) -> u64 {
    use object::read::{Object, ObjectSection};
    let data = fs::read(program).unwrap();
    let elf = object::File::parse(data.as_slice()).unwrap();
    elf.section_by_name(".debug_info").unwrap().file_range().unwrap().0
}

#[test]
fn compressed_sections_hold_what_they_announce() {
    const ZSTD: u32 = 2;
    let Some(built) = converted(&["-g", "-gz=zlib"], &[]) else { return };
    let at = compressed_info(&built.program);
    let file = fs::OpenOptions::new().write(true).open(&built.program).unwrap();
    let refused = |kind: u32, size: u64, data: &[u8]| {
        // `Elf64_Chdr`: kind, 4 bytes that are reserved, size, alignment.
        file.write_all_at(&kind.to_le_bytes(), at).unwrap();
        file.write_all_at(&size.to_le_bytes(), at + 8).unwrap();
        file.write_all_at(data, at + 24).unwrap();
        let opened = DebugInfo::open(&built.program, &DebugFiles::default(), &mut LookedAt::new());
        opened.err().map(|error| error.reason).unwrap_or_default()
    };
    assert!(refused(1, 1 << 40, &[]).ends_with(".debug_info announces 1.0 TiB, more than there is room for"));
    assert!(refused(1, 1 << 28, &[]).contains("announces 268435456 bytes, more than it can hold"));
    // A frame without a checksum whose one block says "128 KiB of the letter a", though 5 bytes are announced.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x03, 0x00, 0x10, b'a'];
    assert!(refused(ZSTD, 5, &frame).ends_with("its zstd data are not as long as announced"));
    assert!(refused(ZSTD, 5, b"no frame").contains("its zstd data are damaged: "));
}

#[test]
fn what_dwz_has_moved_to_another_file_is_found() {
    const FILE: &str = "common/shared.debug";
    for (flags, dwz) in [
        (["-gdwarf-4"], &["-m", FILE, "-M", FILE, "program", "other"][..]),
        (["-gdwarf-5"], &["-m", FILE, "-M", FILE, "program", "other"]),
        (["-gdwarf-5"], &["-5", "-m", FILE, "-M", FILE, "program", "other"]),
    ] {
        let steps: [(&str, &[&str]); 3] = [("cp", &["program", "other"]), ("mkdir", &["common"]), ("dwz", dwz)];
        let Some(built) = converted(&flags, &steps) else { continue };
        println!("{flags:?} {dwz:?}");
        assert!(built.folder.path().join("common/shared.debug").is_file());
        check(&built.program, &open(&built.program));
        fs::remove_dir_all(built.folder.path().join("common")).unwrap();
        let error = DebugInfo::open(&built.program, &DebugFiles::default(), &mut LookedAt::new()).err().unwrap();
        assert!(error.reason.ends_with("which is not there"), "{error}");
    }
}

/// Files of one program may have different types of one name; here two files each have the same.
#[test]
fn a_function_s_own_types_are_preferred_after_dwz() {
    let folder = tempfile::tempdir().unwrap();
    for (file, field) in [("a1", "in_a"), ("a2", "in_a"), ("b1", "in_b"), ("b2", "in_b")] {
        let more: String = (0..20).map(|n| format!("int more_{field}_{n}; ")).collect();
        fs::write(folder.path().join(format!("{field}.h")), format!("struct same {{ long {field}[3]; {more} }};\n"))
            .unwrap();
        let text = format!("#include \"{field}.h\"\nlong {file}(struct same *s) {{ return s->{field}[1]; }}\n");
        fs::write(folder.path().join(format!("{file}.c")), text).unwrap();
    }
    fs::write(folder.path().join("main.c"), "int main(void) { return 0; }\n").unwrap();
    if !run(folder.path(), "sh", &["-c", "cc -g -o program a1.c a2.c b1.c b2.c main.c && dwz program"]) {
        return println!("skipped: cc or dwz does not work");
    }
    let program = folder.path().join("program");
    let info = open(&program);
    for (function, field) in [("a1", "in_a"), ("a2", "in_a"), ("b1", "in_b"), ("b2", "in_b")] {
        let found = info.structure(address(&program, function), "struct same").unwrap();
        assert_eq!(found.fields.first().map(|it| it.name.as_str()), Some(field), "{function}");
    }
}

#[test]
fn symbols_that_are_embedded_are_found() {
    // As `find-debuginfo` does it; local functions have no other symbols.
    let steps: &[(&str, &[&str])] = &[
        ("objcopy", &["-S", "--remove-section=.comment", "-K", "hidden", "program", "mini"]),
        ("xz", &["mini"]),
        ("strip", &["--strip-all", "-o", "stripped", "program"]),
        ("objcopy", &["--add-section", ".gnu_debugdata=mini.xz", "stripped"]),
    ];
    let Some(built) = converted(&["-g"], steps) else { return };
    let stripped = built.folder.path().join("stripped");
    assert_eq!(address(&stripped, "hidden"), address(&built.program, "hidden"));
    // Without room for it, or damaged, there are only the others.
    let data = fs::read(built.folder.path().join("mini.xz")).unwrap();
    assert!(compressed::xz(&data, 1 << 20).is_ok_and(|plain| plain.starts_with(b"\x7fELF")));
    assert!(compressed::xz(&data, 100).unwrap_err().contains("larger than there is room for"));
    assert!(compressed::xz(&data[..200], 1 << 20).unwrap_err().contains("damaged"));
}
