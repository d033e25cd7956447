//! Where debug information says that parameters are as their function is entered. Optimising compilers leave
//! parameters out of their own functions, and move the others up.

use gimli::{AttributeValue, Expression, Operation, Register, constants};
use probebook_compiler::user_info::AtEntry;

use super::sections::Bytes;
use super::units::{Die, Entry, Units};

type Op = Operation<Bytes>;

/// Larger values are passed in memory.
const MOST_WORDS: usize = 2;
const WORD: u64 = 8;

/// Whether a function is called otherwise than the calling convention says; LLVM notes it so.
pub fn is_called_otherwise(function: &Entry) -> bool {
    function.attr_value(constants::DW_AT_calling_convention)
        == Some(AttributeValue::CallingConvention(constants::DW_CC_nocall))
}

/// Where a parameter is at the function's first instruction, which is at `start`.
pub fn at_entry(units: &Units, function: &Entry, start: u64, parameter: &Die) -> AtEntry {
    let Some(entry) = parameter.entry() else { return AtEntry::Unsaid };
    if let Some(value) = entry.attr_value(constants::DW_AT_const_value) {
        let value = value.sdata_value().or_else(|| value.udata_value().map(u64::cast_signed));
        return value.map_or(AtEntry::Unsaid, AtEntry::Constant);
    }
    let Some(location) = entry.attr_value(constants::DW_AT_location) else { return AtEntry::Nowhere };
    let unit = &parameter.unit.unit;
    let expression = match location {
        AttributeValue::Exprloc(expression) => Some(expression),
        list => parameter.unit.dwarf(units).attr_locations(unit, list).ok().flatten().and_then(|mut list| {
            while let Ok(Some(place)) = list.next() {
                if (place.range.begin..place.range.end).contains(&start) {
                    return Some(place.data);
                }
            }
            None
        }),
    };
    let in_frame = has_call_frame(parameter, function);
    expression.and_then(|it| place(&operations(parameter, it)?, parameter, in_frame)).unwrap_or(AtEntry::Unsaid)
}

/// Whether offsets into the frame count from where the caller's frame ends, which holds at the entry too.
fn has_call_frame(die: &Die, function: &Entry) -> bool {
    let Some(AttributeValue::Exprloc(base)) = function.attr_value(constants::DW_AT_frame_base) else { return false };
    operations(die, base).is_some_and(|base| matches!(base.as_slice(), [Operation::CallFrameCFA]))
}

fn operations(die: &Die, expression: Expression<Bytes>) -> Option<Vec<Op>> {
    const MOST: usize = 16;
    let mut operations = expression.operations(die.unit.unit.encoding());
    let mut found = Vec::new();
    while let Some(operation) = operations.next().ok()? {
        found.push(operation);
        if found.len() > MOST {
            return None;
        }
    }
    Some(found)
}

/// `None` if it is none of the places that can be read at the entry.
fn place(operations: &[Op], die: &Die, in_frame: bool) -> Option<AtEntry> {
    match operations {
        [Operation::Register { register }] => Some(AtEntry::Registers(vec![register.0])),
        // Slots of the function itself are filled later.
        [Operation::FrameOffset { offset }] if in_frame && *offset >= 0 => {
            Some(AtEntry::Stack(u32::try_from(*offset).ok()?))
        }
        [Operation::RegisterOffset { register, offset: 0, .. }] if !is_stack_pointer(*register) => {
            Some(AtEntry::Behind(register.0))
        }
        [Operation::EntryValue { expression }, Operation::StackValue] => {
            place(&self::operations(die, Expression(expression.clone()))?, die, in_frame)
        }
        [Operation::UnsignedConstant { value }, Operation::StackValue] => Some(AtEntry::Constant(value.cast_signed())),
        [Operation::SignedConstant { value }, Operation::StackValue] => Some(AtEntry::Constant(*value)),
        [Operation::ParameterRef { .. } | Operation::ImplicitPointer { .. }, ..] => Some(AtEntry::Nowhere),
        _ => pieces(operations),
    }
}

fn is_stack_pointer(register: Register) -> bool {
    let sp = if cfg!(target_arch = "aarch64") { gimli::AArch64::SP } else { gimli::X86_64::RSP };
    register == sp
}

/// A value in several registers, which start a word each; between them may be padding.
fn pieces(operations: &[Op]) -> Option<AtEntry> {
    let (mut words, mut bits, mut pending) = (Vec::new(), 0u64, None);
    for operation in operations {
        match operation {
            Operation::Register { register } if pending.is_none() => pending = Some(register.0),
            Operation::Piece { size_in_bits, bit_offset: None } => {
                if let Some(register) = pending.take() {
                    (bits == words.len() as u64 * WORD * 8 && words.len() < MOST_WORDS).then_some(())?;
                    words.push(register);
                }
                bits = bits.checked_add(*size_in_bits)?;
            }
            _ => return None,
        }
    }
    (pending.is_none() && !words.is_empty() && bits.div_ceil(WORD * 8) == words.len() as u64)
        .then_some(AtEntry::Registers(words))
}
