//! C for scripts that need it: libclang, looked for and loaded when a script first does.

mod declarations;
mod flags;
mod libclang;
mod translate;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use probebook_compiler::c_compiler::{CCompiler, CDeclarations, CUnit};
use probebook_compiler::kernel_info::Unavailable;

use crate::text::reason;

/// How often one looks whether libclang is still waited for.
const TICK: Duration = Duration::from_millis(20);

/// The C compiler of this machine.
#[derive(Clone, Debug, Default)]
pub struct Clang {
    given_up: GivenUp,
}

/// Whether what is being compiled is wanted no more.
#[derive(Clone, Debug, Default)]
pub struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    pub fn set(&self, given_up: bool) {
        self.0.store(given_up, Ordering::Release);
    }

    fn check(&self) -> Result<(), Unavailable> {
        match self.0.load(Ordering::Acquire) {
            true => Err(Unavailable { reason: "it was interrupted".to_owned(), remedy: None }),
            false => Ok(()),
        }
    }
}

impl Clang {
    /// Set, it ends what clang is doing.
    pub fn given_up(&self) -> &GivenUp {
        &self.given_up
    }
}

impl CCompiler for Clang {
    /// libclang cannot be stopped: if it is given up, it is left to itself on a thread of its own.
    fn read(&self, unit: &CUnit) -> Result<CDeclarations, Unavailable> {
        let unit = unit.clone();
        let (sender, receiver) = mpsc::channel();
        let reader = thread::Builder::new().name("libclang".into()).spawn(move || {
            // Nobody may wait for it any more.
            let _ = sender.send(read(&unit));
        });
        let failed = |reason: String| Unavailable { reason, remedy: None };
        reader.map_err(|error| failed(format!("there is no thread for libclang: {}", reason(&error))))?;
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(declarations) => return declarations,
                Err(RecvTimeoutError::Timeout) => self.given_up.check()?,
                Err(RecvTimeoutError::Disconnected) => return Err(failed("libclang failed".to_owned())),
            }
        }
    }

    fn translate(&self, unit: &CUnit, path: &Path) -> Result<Result<Vec<u8>, String>, Unavailable> {
        translate::translate(unit, &flags::of(unit), path, &self.given_up)
    }
}

fn read(unit: &CUnit) -> Result<CDeclarations, Unavailable> {
    libclang::load()?;
    let parsed = libclang::Parsed::parse(unit, &flags::of(unit))?;
    Ok(declarations::of(&parsed))
}

#[cfg(test)]
mod tests {
    use probebook_compiler::c_compiler::{CField, CPlace};
    use probebook_compiler::types::Type;

    use super::*;

    /// `None`, with a word why, where there is no libclang.
    fn read(text: &str) -> Option<CDeclarations> {
        match Clang::default().read(&CUnit { text: text.to_owned(), ..CUnit::default() }) {
            Ok(declarations) => Some(declarations),
            Err(reason) => {
                println!("skipped: {reason}");
                None
            }
        }
    }

    fn shown(fields: &[CField]) -> Vec<String> {
        let bits = |field: &CField| field.bits.map_or(String::new(), |bits| format!(":{bits}"));
        fields.iter().map(|field| format!("{}@{}{} {}", field.name, field.bit_offset, bits(field), field.ty)).collect()
    }

    #[test]
    fn structures_have_their_members() {
        let text = "struct other; struct s { char name[8]; int a:3, :2, b:30; union { long u; char c; }; \
                    struct { short x; } inner; struct other *next; unsigned char bytes[4][2]; _Bool flag; };";
        let Some(found) = read(text) else { return };
        let s = found.structures.iter().find(|one| one.name == "struct s").unwrap();
        assert_eq!(
            shown(&s.fields),
            [
                "name@0 string[8]",
                "a@64:3 int32",
                "b@96:30 int32",
                "u@128 int64",
                "c@128 int8",
                "inner@192 struct s::inner",
                "next@256 struct other *",
                "bytes@320 uint8[2][4]",
                "flag@384 bool",
            ]
        );
        assert_eq!((s.size, s.align), (56, 8));
        assert!(found.declared.contains(&"struct other".to_owned()));
    }

    #[test]
    fn enumerations_typedefs_macros_and_functions_are_found() {
        let text = "enum e { A = -1, B };\ntypedef unsigned long size;\n#define TWICE(x) ((x) * 2)\n#define N 3\n\
                    typedef struct { int x; } point;\nint add(int a, const char *b) { return a; }\n";
        let Some(found) = read(text) else { return };
        assert_eq!(found.enums[0].variants, [("A".to_owned(), -1), ("B".to_owned(), 0)]);
        assert!(found.enums[0].signed);
        assert_eq!(found.typedefs[0].0, "size");
        assert_eq!(found.typedefs[0].1.ty, Type::U64);
        let macros: Vec<&str> = found.macros.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(macros, ["TWICE(x) ((x) * 2)", "N 3"]);
        assert_eq!(found.macros[1].place, CPlace::Text(85, 88));
        assert!(found.structures.iter().any(|one| one.name == "point" && one.size == 4));
        assert_eq!(found.functions[0].name, "add");
        assert_eq!(found.functions[0].parameters.len(), 2);
        assert_eq!(found.functions[0].returns, Type::I32);
    }

    #[test]
    fn mistakes_have_places() {
        let Some(found) = read("struct s {\n  nothing_t x;\n};\n") else { return };
        assert_eq!(found.problems[0].message, "unknown type name 'nothing_t'");
        assert_eq!(found.problems[0].place, CPlace::Text(13, 22));
        let found = read("#include <no/such/header.h>\n").unwrap();
        assert_eq!(found.problems[0].message, "'no/such/header.h' file not found");
    }

    #[test]
    fn headers_of_the_system_are_found() {
        let Some(found) = read("#include <errno.h>\n#include <stdint.h>\n") else { return };
        let eperm = found.macros.iter().find(|one| one.text.starts_with("EPERM")).unwrap();
        assert!(matches!(&eperm.place, CPlace::File { path, .. } if path.ends_with("errno-base.h")));
        assert!(found.typedefs.iter().any(|(name, ty)| name == "uint8_t" && ty.ty == Type::U8));
        assert!(found.problems.is_empty());
    }
}
