//! Programs that are not as compilers leave them, or not of this machine.

use std::os::unix::fs::FileExt;

use super::*;
use crate::system::user::{boundary, file, notes};

/// Offsets in the header of a 64-bit ELF file (`Elf64_Ehdr`).
const MACHINE: u64 = 18;
const SECTIONS: u64 = 40;
const SECTION_COUNT: u64 = 60;

fn write(file: &Path, at: u64, bytes: &[u8]) {
    fs::OpenOptions::new().write(true).open(file).unwrap().write_all_at(bytes, at).unwrap();
}

/// As packers, and those who want to hinder debuggers, leave them.
#[test]
fn without_section_headers_dynamic_symbols_are_found() {
    for hash in ["-Wl,--hash-style=gnu", "-Wl,--hash-style=sysv"] {
        let Some(built) = build("cc", "program.c", C, &["-rdynamic", hash]) else { return };
        let whole = [address(&built.program, "scalars"), address_of_main(&built.program)];
        write(&built.program, SECTIONS, &[0; 8]);
        write(&built.program, SECTION_COUNT, &[0; 4]);
        let without = binary::read(&built.program, &DebugFiles::default(), &mut LookedAt::new()).unwrap();
        let found = |name: &str| without.symbols.iter().find(|symbol| symbol.name == name);
        assert_eq!(["scalars", "main"].map(|name| found(name).unwrap().address), whole, "{hash}");
        assert!(found("scalars").is_some_and(|it| it.is_function && it.size > 0 && it.file_offset > 0));
        assert!(found("hidden").is_none(), "it is in no dynamic symbol");
        assert!(DebugInfo::open(&built.program, &DebugFiles::default(), &mut LookedAt::new()).is_err());
    }
}

#[test]
fn programs_of_other_machines_are_refused() {
    let Some(built) = build("cc", "program.c", C, &[]) else { return };
    let (machine, name) = if cfg!(target_arch = "x86_64") { (183u16, "aarch64") } else { (62, "x86_64") };
    write(&built.program, MACHINE, &machine.to_le_bytes());
    let expected = format!("{} is for {name}, and this machine is {}", built.program.display(), std::env::consts::ARCH);
    let error = binary::read(&built.program, &DebugFiles::default(), &mut LookedAt::new()).unwrap_err();
    assert_eq!(error.reason, expected);
    assert_eq!(notes::read(&built.program).unwrap_err().reason, expected);
}

#[test]
fn programs_of_32_bits_are_known_as_such() {
    const SOURCE: &str = "int add(int a, int b) { return a + b; } void _start(void) { for (;;) add(1, 2); }";
    let Some(built) = build("cc", "small.c", SOURCE, &["-m32", "-nostdlib", "-static"]) else { return };
    let binary = binary::read(&built.program, &DebugFiles::default(), &mut LookedAt::new()).unwrap();
    assert!(binary.is_32_bit);
    let add = binary.symbols.iter().find(|symbol| symbol.name == "add").unwrap();
    // push %ebp; mov %esp,%ebp
    let at = |offset| boundary::check(&built.program, add, offset);
    use probebook_compiler::user_info::Boundary::{Inside, Start};
    assert_eq!([0, 1, 2].map(at), [Start, Start, Inside]);
}

/// A hole in a file costs nothing, but reading it would take as much memory as it announces.
#[test]
fn holes_are_not_read_into_memory() {
    use object::read::elf::{FileHeader, SectionHeader};
    let Some(built) = build("cc", "program.c", C, &["-g"]) else { return };
    let data = fs::read(&built.program).unwrap();
    let header = object::elf::FileHeader64::<object::Endianness>::parse(data.as_slice()).unwrap();
    let endian = header.endian().unwrap();
    let sections = header.section_headers(endian, data.as_slice()).unwrap();
    let table = sections.iter().position(|section| section.sh_type(endian) == object::elf::SHT_SYMTAB).unwrap();
    let at = header.e_shoff(endian) + 64 * table as u64;
    // `sh_offset` and `sh_size`
    write(&built.program, at + 24, &(1u64 << 30).to_ne_bytes());
    let size = (file::room() / 24 + 1) * 24;
    write(&built.program, at + 32, &size.to_ne_bytes());
    fs::OpenOptions::new().write(true).open(&built.program).unwrap().set_len(1 << 42).unwrap();
    assert!(binary::read(&built.program, &DebugFiles::default(), &mut LookedAt::new()).is_err());
    assert!(DebugInfo::open(&built.program, &DebugFiles::default(), &mut LookedAt::new()).is_err());
}
