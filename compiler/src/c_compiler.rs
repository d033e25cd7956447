//! C as only a C compiler reads it: headers, and what scripts import. `runtime` asks libclang, which
//! need not be there; tests fake it.

use std::path::{Path, PathBuf};

use crate::kernel_info::Unavailable;
use crate::types::{EnumType, Type};

pub use crate::semantics::c_types::{CType, Kind};

/// A text of C, and what surrounds it.
#[derive(Clone, Debug, Default)]
pub struct CUnit {
    pub text: String,
    /// What headers beside the text are found from; empty for the current folder.
    pub folder: PathBuf,
    /// Folders to look for headers in before the usual ones.
    pub include_dirs: Vec<PathBuf>,
    /// Definitions that come before the text; nothing in it is reported back.
    pub prelude: String,
    /// Macros that are defined as 1.
    pub defined: Vec<String>,
    /// Headers to be taken for empty where there is no file of that name.
    pub absent: Vec<String>,
    /// For the BPF target rather than this machine's.
    pub for_bpf: bool,
}

/// What a text of C declares, in order; of two with the same name the last holds.
#[derive(Clone, Debug, Default)]
pub struct CDeclarations {
    pub structures: Vec<CStructure>,
    /// Structures and unions of which only the name is told: `struct name`.
    pub declared: Vec<String>,
    pub enums: Vec<EnumType>,
    pub typedefs: Vec<(String, CType)>,
    pub macros: Vec<CMacro>,
    /// Functions that the text itself defines.
    pub functions: Vec<CFunction>,
    pub problems: Vec<CProblem>,
}

/// A structure or union with its members.
#[derive(Clone, Debug)]
pub struct CStructure {
    /// `struct name`, `union name`, or the typedef of one without a name.
    pub name: String,
    pub size: u32,
    pub align: u32,
    pub fields: Vec<CField>,
}

/// A member; those of unnamed members count as the structure's own.
#[derive(Clone, Debug)]
pub struct CField {
    pub name: String,
    /// From the structure's beginning.
    pub bit_offset: u64,
    pub ty: Type,
    /// The width of a bitfield.
    pub bits: Option<u32>,
}

/// A macro: what stands behind `#define`, its name included, and where that begins.
#[derive(Clone, Debug)]
pub struct CMacro {
    pub text: String,
    pub place: CPlace,
}

/// A function that scripts may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CFunction {
    pub name: String,
    pub parameters: Vec<Type>,
    pub returns: Type,
    /// Where its name stands.
    pub place: CPlace,
}

/// Something that is wrong with the text, or with a header.
#[derive(Clone, Debug)]
pub struct CProblem {
    pub is_error: bool,
    pub message: String,
    pub place: CPlace,
}

/// Where something is, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CPlace {
    /// In the text.
    Text(u32, u32),
    /// In a header; the line and the column count from 1.
    File { path: PathBuf, start: u32, end: u32, line: u32, column: u32 },
    /// In what has no place: the command line, the prelude.
    Nowhere,
}

/// A compiler for C.
pub trait CCompiler: Send + Sync {
    /// Reads the declarations of a text.
    ///
    /// # Errors
    ///
    /// There is no such compiler; the remedy tells how to get one.
    fn read(&self, unit: &CUnit) -> Result<CDeclarations, Unavailable>;

    /// Translates a text to LLVM's bitcode for the BPF target. It has been read without errors; what
    /// is wrong nevertheless is told in the compiler's own words.
    ///
    /// # Errors
    ///
    /// There is no such compiler; the remedy tells how to get one.
    fn translate(&self, unit: &CUnit, path: &Path) -> Result<Result<Vec<u8>, String>, Unavailable>;
}

/// A machine without one.
#[derive(Clone, Copy, Debug)]
pub struct NoCompiler;

impl CCompiler for NoCompiler {
    fn read(&self, _: &CUnit) -> Result<CDeclarations, Unavailable> {
        Err(Unavailable { reason: "there is no C compiler here".to_owned(), remedy: None })
    }

    fn translate(&self, _: &CUnit, _: &Path) -> Result<Result<Vec<u8>, String>, Unavailable> {
        Err(Unavailable { reason: "there is no C compiler here".to_owned(), remedy: None })
    }
}
