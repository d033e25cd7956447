//! What the compiler may ask of user programs and libraries: symbols, static probes, debug
//! information. `runtime` answers for real; tests fake it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::kernel_info::Unavailable;
use crate::types::{EnumType, StructType, Type};

/// A function or an object of an ELF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSymbol {
    pub name: String,
    /// Where it lies in the file, as uprobes want it.
    pub file_offset: u64,
    pub address: u64,
    pub size: u64,
    pub is_function: bool,
}

/// A user binary or library with its symbols, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserBinary {
    /// As it was asked for; may name a file in an archive.
    pub path: PathBuf,
    /// The file that offsets are in: the archive, if it is in one.
    pub file: PathBuf,
    pub symbols: Vec<UserSymbol>,
    /// Its functions take their arguments by another convention than the machine's.
    pub is_32_bit: bool,
}

/// A static tracepoint (`.note.stapsdt`). The same probe may stand in several places, with its
/// arguments elsewhere in each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsdtProbe {
    pub provider: String,
    pub name: String,
    pub locations: Vec<UsdtLocation>,
}

/// One place of a static tracepoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsdtLocation {
    /// Where it lies in the file.
    pub file_offset: u64,
    pub address: u64,
    /// Where in the file its semaphore lies; 0 if it has none.
    pub semaphore: u64,
    /// Where the arguments are, as the note says: `-4@%eax 8@-8(%rbp)`.
    pub arguments: String,
}

/// A function's parameters and what it returns, from debug information.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPrototype {
    pub parameters: Vec<Parameter>,
    /// How what it returns is passed back: large structures shift the parameters.
    pub result: Passing,
    /// The compiler knows all callers, and has them pass the parameters in its own way.
    pub is_called_otherwise: bool,
}

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Empty if it has none.
    pub name: String,
    /// `void`, where the language has no such type (floating point).
    pub ty: Type,
    /// As C writes it: `const char*`.
    pub c_type: String,
    pub passing: Passing,
    pub at_entry: AtEntry,
}

/// Where debug information says that a parameter is at its function's first instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AtEntry {
    /// It does not say, or in a way that does not hold there: unoptimised code tells where parameters
    /// are later on.
    #[default]
    Unsaid,
    /// In these registers, word by word, by DWARF's numbers.
    Registers(Vec<u16>),
    /// On the stack, so many bytes above the caller's frame's end.
    Stack(u32),
    /// In memory, at the address that is in this register.
    Behind(u16),
    /// It always has this value, and is not passed.
    Constant(i64),
    /// It has been optimised away.
    Nowhere,
}

/// What calling conventions ask of a value, to decide where it is passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passing {
    /// In bytes; 0 for `void`.
    pub size: u32,
    pub align: u32,
    /// What the first two words of eight bytes hold.
    pub words: [Word; 2],
    /// How many numbers of one floating-point type it consists of, if it does and they are at most four.
    pub floats: u8,
    /// In registers only if it is smaller than two words and laid out naturally.
    pub is_composite: bool,
    /// An object that only its own constructor can copy: its address is passed.
    pub by_reference: bool,
    /// Not in registers, whatever its size: it is packed, or of a type like `long double`.
    pub in_memory: bool,
}

/// What eight bytes of a value hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Word {
    #[default]
    Nothing,
    /// Floating-point numbers only.
    Float,
    /// Integers or pointers, perhaps beside floating-point numbers.
    Integer,
}

/// Where an offset into a function lies among its instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// At the first byte of an instruction.
    Start,
    /// Behind it: a breakpoint there would change what the instruction does.
    Inside,
    /// The code could not be read or understood.
    Unknown,
}

/// User programs and libraries. Answers may be cached; asking twice is cheap.
pub trait UserInfo {
    /// The paths that a binary's name in a probe stands for: absolute, relative, found on `PATH`,
    /// or a library's name such as `libc` or `libssl.so.3`. Wildcards may give several; no name is
    /// the program that process `pid` runs.
    fn resolve_binary(&self, name: &str, pid: Option<u32>) -> Result<Vec<PathBuf>, Unavailable>;

    /// Programs and libraries that a process has mapped, or all processes have.
    fn mapped_binaries(&self, pid: Option<u32>) -> Vec<PathBuf>;

    fn user_binary(&self, path: &Path) -> Result<Arc<UserBinary>, Unavailable>;

    /// A binary's static tracepoints, sorted by provider and name.
    fn usdt_probes(&self, path: &Path) -> Result<Arc<Vec<UsdtProbe>>, Unavailable>;

    /// Whether an instruction starts `offset` bytes behind the start of a function.
    fn boundary(&self, path: &Path, function: &UserSymbol, offset: u64) -> Boundary;

    /// A symbol's name as its language writes it; `None` if it is not mangled.
    fn demangled(&self, symbol: &str) -> Option<String>;

    /// What the function at an address takes and returns, from debug information.
    fn user_prototype(&self, path: &Path, address: u64) -> Result<Arc<UserPrototype>, Unavailable>;

    /// A structure by `struct name` or `union name` from a binary's debug information, with its
    /// members. Of several of that name the one is taken that code at the address `near` means.
    fn user_struct(&self, path: &Path, near: u64, name: &str) -> Option<Arc<StructType>>;

    /// A type that has a name without a keyword: a typedef, or a class of C++.
    fn user_typedef(&self, path: &Path, near: u64, name: &str) -> Option<Type>;

    /// An enumeration by its name alone.
    fn user_enum(&self, path: &Path, near: u64, name: &str) -> Option<Arc<EnumType>>;

    /// The address of the first instruction of a line of a source file; column 0 is any.
    fn line_address(&self, path: &Path, file: &str, line: u64, column: u64) -> Result<u64, Unavailable>;
}
