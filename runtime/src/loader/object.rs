//! From the compiler's ELF object to instructions that the kernel takes.
//!
//! aya-obj reads the ELF, links callbacks behind their callers and brings function and line
//! information along. What is ours is replacing the plan's indices by descriptors.

use std::collections::HashSet;
use std::ffi::CString;
use std::os::fd::RawFd;

use aya_obj::btf::BtfFeatures;
use aya_obj::generated::bpf_insn;
use aya_obj::{Function, Object};
use probebook_compiler::ir::Helper;
use probebook_compiler::plan::ProgramPlan;

/// `BPF_LD | BPF_IMM | BPF_DW`: the first half of a 16-byte load.
const LOAD_IMMEDIATE_64: u8 = 0x18;
/// Source registers that make such a load a map (`BPF_PSEUDO_MAP_FD`) or an address in a map's
/// value (`BPF_PSEUDO_MAP_VALUE`), both in `linux/bpf.h`.
const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;

/// `BPF_JMP | BPF_CALL`, and the source register that makes it a call of a kernel function.
const CALL: u8 = 0x85;
const PSEUDO_KFUNC_CALL: u8 = 2;

/// Why an object cannot be used. Each is a bug of the compiler, never the user's mistake.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("the object cannot be read: {0}")]
    Parse(#[from] aya_obj::ParseError),
    #[error("the object's type information cannot be read: {0}")]
    Btf(#[from] aya_obj::btf::BtfError),
    #[error("the object's functions cannot be linked: {0}")]
    Link(#[from] aya_obj::relocation::EbpfRelocationError),
    #[error("the object has no program `{0}`")]
    MissingProgram(String),
    #[error("`{program}` speaks of map {index}, but the plan has {count}")]
    MissingMap { program: String, index: i32, count: usize },
    #[error("`{program}` calls kernel function {index}, but the plan has {count}")]
    MissingFunction { program: String, index: i32, count: usize },
}

/// A program's place in the script for one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineInfo {
    /// Index of the first instruction that comes from there.
    pub instruction: u32,
    /// Counted from 1, as the compiler wrote them.
    pub line: u32,
    pub column: u32,
}

/// One program, ready for `BPF_PROG_LOAD`.
pub struct Executable {
    pub symbol: String,
    pub license: CString,
    pub instructions: Vec<bpf_insn>,
    pub lines: Vec<LineInfo>,
    pub(crate) func_info: Vec<u8>,
    pub(crate) func_info_size: u32,
    pub(crate) line_info: Vec<u8>,
    pub(crate) line_info_size: u32,
}

/// All programs of a plan, and the type information that those of each object share.
pub struct Executables {
    pub programs: Vec<Executable>,
    pub btf: Vec<Option<Vec<u8>>>,
}

/// What the numbers in programs stand for.
#[derive(Clone, Copy)]
pub struct Numbers<'a> {
    /// The descriptors of the plan's maps.
    pub maps: &'a [RawFd],
    /// The kernel's numbers of the plan's kernel functions.
    pub functions: &'a [u32],
    /// The descriptors of the maps that the object defines itself, by their names.
    pub defined: &'a [(&'a str, RawFd)],
}

/// A map that an object defines: data of C sources, or a map of theirs.
pub struct Definition {
    pub name: String,
    pub map: aya_obj::Map,
}

/// The maps that an object defines itself.
pub fn definitions(object: &[u8]) -> Result<Vec<Definition>, ObjectError> {
    let maps = Object::parse(object)?.maps.into_iter();
    let mut definitions: Vec<_> = maps.map(|(name, map)| Definition { name, map }).collect();
    definitions.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(definitions)
}

/// Reads a plan's objects.
pub fn read(objects: &[Vec<u8>], plans: &[ProgramPlan], numbers: Numbers<'_>) -> Result<Executables, ObjectError> {
    let (mut parsed, mut btf) = (Vec::new(), Vec::new());
    for object in objects {
        let (object, types) = parse(object, numbers)?;
        parsed.push(object);
        btf.push(types);
    }
    let program = |plan: &ProgramPlan| {
        let object = parsed.get(plan.object).ok_or_else(|| ObjectError::MissingProgram(plan.symbol.clone()))?;
        executable(object, plan)
    };
    Ok(Executables { programs: plans.iter().map(program).collect::<Result<_, _>>()?, btf })
}

/// An object with its calls linked, and its type information.
fn parse(object: &[u8], numbers: Numbers<'_>) -> Result<(Object, Option<Vec<u8>>), ObjectError> {
    let mut parsed = Object::parse(object)?;
    let btf = parsed.fixup_and_sanitize_btf(&btf_features())?.map(|btf| btf.to_bytes());
    replace_numbers(&mut parsed, numbers)?;
    let text_sections: HashSet<usize> = parsed.functions.keys().map(|(section, _)| *section).collect();
    let maps = std::mem::take(&mut parsed.maps);
    let defined = numbers.defined.iter().filter_map(|(name, fd)| Some((*name, *fd, maps.get(*name)?)));
    parsed.relocate_maps(defined, &text_sections)?;
    parsed.relocate_calls(&text_sections)?;
    Ok((parsed, btf))
}

/// Everything that BTF has offered since Linux 5.17; the oldest kernel that is supported is 6.1. Only
/// functions are never global, which those of imported C sources would be: of a global function the
/// verifier does not look at what it is called with.
fn btf_features() -> BtfFeatures {
    let (functions, global_functions) = (true, false);
    BtfFeatures::new(functions, global_functions, true, true, true, true, true, true)
}

/// Puts the kernel's numbers in the place of the plan's, in all functions. Descriptors look like the plan's
/// indices, so this comes before the maps that the object defines.
fn replace_numbers(object: &mut Object, numbers: Numbers<'_>) -> Result<(), ObjectError> {
    for function in object.functions.values_mut() {
        let program = || function.name.clone();
        let (maps, functions) = (numbers.maps, numbers.functions);
        let missing = |index| ObjectError::MissingMap { program: program(), index, count: maps.len() };
        replace_maps(&mut function.instructions, maps).map_err(missing)?;
        let missing = |index| ObjectError::MissingFunction { program: program(), index, count: functions.len() };
        replace_functions(&mut function.instructions, functions).map_err(missing)?;
    }
    Ok(())
}

fn executable(object: &Object, plan: &ProgramPlan) -> Result<Executable, ObjectError> {
    let missing = || ObjectError::MissingProgram(plan.symbol.clone());
    let program = object.programs.get(&plan.code).ok_or_else(missing)?;
    let function = object.functions.get(&program.function_key()).ok_or_else(missing)?;
    Ok(Executable {
        symbol: plan.symbol.clone(),
        license: object.license.clone(),
        instructions: function.instructions.clone(),
        lines: line_table(function),
        func_info: function.func_info.func_info_bytes(),
        func_info_size: u32::try_from(function.func_info_rec_size).unwrap_or(0),
        line_info: function.line_info.line_info_bytes(),
        line_info_size: u32::try_from(function.line_info_rec_size).unwrap_or(0),
    })
}

/// Puts descriptors where the compiler left indices; fails with an index that is not there.
fn replace_maps(instructions: &mut [bpf_insn], maps: &[RawFd]) -> Result<(), i32> {
    let mut position = 0;
    while let Some(instruction) = instructions.get_mut(position) {
        if instruction.code != LOAD_IMMEDIATE_64 {
            position += 1;
            continue;
        }
        if matches!(instruction.src_reg(), PSEUDO_MAP_FD | PSEUDO_MAP_VALUE) {
            let index = instruction.imm;
            let fd = usize::try_from(index).ok().and_then(|index| maps.get(index)).ok_or(index)?;
            instruction.imm = *fd;
        }
        position += 2;
    }
    Ok(())
}

/// Makes calls of kernel functions of those that the compiler wrote as calls of helpers.
fn replace_functions(instructions: &mut [bpf_insn], functions: &[u32]) -> Result<(), i32> {
    let first = Helper::KERNEL_FUNCTIONS.cast_signed();
    let is_ours = |instruction: &&mut bpf_insn| {
        instruction.code == CALL && instruction.src_reg() == 0 && instruction.imm >= first
    };
    for instruction in instructions.iter_mut().filter(is_ours) {
        let index = instruction.imm - first;
        let number = usize::try_from(index).ok().and_then(|index| functions.get(index)).ok_or(index)?;
        instruction.set_src_reg(PSEUDO_KFUNC_CALL);
        instruction.imm = number.cast_signed();
    }
    Ok(())
}

/// Lines are kept as `line << 10 | column` (`BPF_LINE_INFO_LINE_NUM` in `linux/bpf.h`).
fn line_table(function: &Function) -> Vec<LineInfo> {
    let lines = function.line_info.line_info.iter();
    lines
        .map(|info| LineInfo { instruction: info.insn_off, line: info.line_col >> 10, column: info.line_col & 0x3ff })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(source: u8, value: i32) -> [bpf_insn; 2] {
        let mut first = bpf_insn {
            code: LOAD_IMMEDIATE_64,
            _bitfield_align_1: [],
            _bitfield_1: bpf_insn::new_bitfield_1(1, source),
            off: 0,
            imm: value,
        };
        let mut second = first;
        first.imm = value;
        second.code = 0;
        second.imm = 24;
        [first, second]
    }

    #[test]
    fn map_indices_become_descriptors_and_offsets_stay() {
        let mut code = [load(1, 1), load(2, 0), load(0, 1)].concat();
        assert_eq!(replace_maps(&mut code, &[40, 41]), Ok(()));
        let immediates: Vec<i32> = code.iter().map(|instruction| instruction.imm).collect();
        assert_eq!(immediates, [41, 24, 40, 24, 1, 24]);
    }

    #[test]
    fn an_index_beyond_the_plan_is_an_error() {
        assert_eq!(replace_maps(&mut load(1, 2), &[40, 41]), Err(2));
        assert_eq!(replace_maps(&mut load(1, -1), &[40, 41]), Err(-1));
    }
}
