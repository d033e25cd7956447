//! How large functions become. A jump of BPF before version 4 reaches 32,767 instructions; where that is
//! not enough LLVM ends the process, and no handler can keep it from that.

use inkwell::basic_block::BasicBlock;
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::module::Module;
use inkwell::values::{FunctionValue, InstructionOpcode, InstructionValue};

use super::{CodegenError, Result};

/// What a jump reaches, less a little.
const REACH: u64 = 32_000;
const INSTRUCTION_SIZE: u64 = 8;

/// Whether jumps of version 3 certainly reach across every function of an optimised module.
pub(super) fn surely_in_reach(module: &Module<'_>) -> bool {
    module.get_functions().all(|function| at_most(function) <= REACH)
}

/// A bound on a function's BPF instructions.
fn at_most(function: FunctionValue<'_>) -> u64 {
    let instructions = |block: BasicBlock<'_>| block.get_instructions().map(weight).sum::<u64>();
    function.get_basic_block_iter().map(instructions).sum()
}

/// The most BPF instructions that LLVM makes of one of its own: a call sets five registers, with two
/// words for a constant each; memory is copied or set by up to 128 loads and stores.
fn weight(instruction: InstructionValue<'_>) -> u64 {
    match instruction.get_opcode() {
        InstructionOpcode::Call if is_memory_intrinsic(instruction) => 260,
        InstructionOpcode::Call => 16,
        InstructionOpcode::Switch => 4 * u64::from(instruction.get_num_operands()),
        _ => 4,
    }
}

fn is_memory_intrinsic(call: InstructionValue<'_>) -> bool {
    let callee = call.get_num_operands().checked_sub(1).and_then(|last| call.get_operand(last)?.value());
    let name = callee.map(|callee| callee.into_pointer_value().get_name().to_bytes().to_vec());
    name.is_some_and(|name| name.starts_with(b"llvm.mem"))
}

/// Whether the functions of an object for version 4 are so small that jumps of version 3 reach across
/// them too: code of version 3 is less than twice as long.
pub(super) fn fits_version_3(elf: &[u8]) -> Result<bool> {
    let buffer = MemoryBuffer::create_from_memory_range_copy(elf, "object");
    let file = buffer.create_binary_file(None).map_err(|message| CodegenError::malformed(message.to_string()))?;
    let Some(mut symbols) = file.get_symbols() else { return Ok(true) };
    while let Some(symbol) = symbols.next_symbol() {
        if symbol.get_size() / INSTRUCTION_SIZE > REACH / 2 {
            return Ok(false);
        }
    }
    Ok(true)
}
