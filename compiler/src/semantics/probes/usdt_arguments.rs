//! Where the arguments of a static tracepoint are: the operands that its note tells, in the
//! assembler's notation (`https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation`).
//!
//! `-4@%eax` is a signed integer of four bytes in a register, `8@-8(%rbp)` one in memory, `4@$5` a
//! constant; on aarch64 they are written `-4@w0`, `8@[sp, 16]`, `4@5`.

use crate::semantics::arch::Registers;

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// 1, 2, 4 or 8.
    pub bytes: u8,
    pub signed: bool,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Constant(i64),
    Register(Register),
    /// In memory at `base + index * scale + offset`.
    Memory {
        base: Register,
        index: Option<(Register, u8)>,
        offset: i64,
    },
    /// In memory at `symbol + offset` of the same file.
    Symbol {
        name: String,
        offset: i64,
    },
}

/// Where a register is kept in `struct pt_regs`: its byte offset, and how many bits lie below (`%ah`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    pub offset: u32,
    pub shift: u8,
}

/// How an architecture's assembler writes operands, and where its registers are kept.
#[derive(Clone, Copy)]
pub struct Notation {
    pub registers: &'static Registers,
    /// `%eax`, `$5`, `-8(%rbp)`; otherwise `w0`, `5`, `[sp, 16]`.
    pub is_att: bool,
}

pub const X86_64: Notation = Notation { registers: &crate::semantics::arch::X86_64, is_att: true };
pub const AARCH64: Notation = Notation { registers: &crate::semantics::arch::AARCH64, is_att: false };
/// That of the machine that programs are compiled for.
pub const NATIVE: Notation = if cfg!(target_arch = "aarch64") { AARCH64 } else { X86_64 };

impl Notation {
    /// How many arguments a note tells of.
    pub fn count(self, text: &str) -> usize {
        operands(text).len()
    }

    /// The argument at an index: `None` if there are fewer, an error if its operand is not understood.
    pub fn argument(self, text: &str, index: usize) -> Option<Result<Argument, String>> {
        let operand = operands(text).into_iter().nth(index)?;
        Some(self.operand(&operand).ok_or(operand))
    }

    fn operand(self, text: &str) -> Option<Argument> {
        // Without a size it is a word.
        let (size, operand) = text.split_once('@').unwrap_or(("8", text));
        let size: i8 = size.trim().parse().ok()?;
        let bytes = size.unsigned_abs();
        if !matches!(bytes, 1 | 2 | 4 | 8) {
            return None;
        }
        let place = if self.is_att { self.att(operand.trim())? } else { self.arm(operand.trim())? };
        Some(Argument { bytes, signed: size < 0, place })
    }

    fn att(self, operand: &str) -> Option<Place> {
        if let Some(constant) = operand.strip_prefix('$') {
            return number(constant).map(Place::Constant);
        }
        if operand.starts_with('%') {
            return self.register(operand).map(Place::Register);
        }
        let (displacement, inner) = operand.strip_suffix(')')?.split_once('(')?;
        let mut parts = inner.split(',').map(str::trim);
        let base = parts.next()?;
        if base == "%rip" {
            let (name, offset) = symbol_and_offset(displacement)?;
            return Some(Place::Symbol { name, offset });
        }
        let offset = if displacement.is_empty() { 0 } else { number(displacement)? };
        let base = self.register(base)?;
        let index = match parts.next() {
            None => None,
            Some(index) => Some((self.register(index)?, parts.next().map_or(Some(1), |scale| scale.parse().ok())?)),
        };
        Some(Place::Memory { base, index, offset })
    }

    fn arm(self, operand: &str) -> Option<Place> {
        if let Some(inner) = operand.strip_prefix('[') {
            let mut parts = inner.strip_suffix(']')?.split(',').map(str::trim);
            let base = self.register(parts.next()?)?;
            let second = parts.next().unwrap_or("0");
            return Some(match number(second.trim_start_matches('#')) {
                Some(offset) => Place::Memory { base, index: None, offset },
                None => Place::Memory { base, index: Some((self.register(second)?, 1)), offset: 0 },
            });
        }
        match number(operand.trim_start_matches('#')) {
            Some(constant) => Some(Place::Constant(constant)),
            None => self.register(operand).map(Place::Register),
        }
    }

    fn register(self, name: &str) -> Option<Register> {
        let (name, shift) = if self.is_att { x86_register(name.strip_prefix('%')?)? } else { (arm_register(name)?, 0) };
        let (_, offset) = self.registers.offsets.iter().find(|(known, _)| *known == name)?;
        Some(Register { offset: *offset, shift })
    }
}

/// The operands of a note: separated by blanks, but not by those in brackets.
fn operands(text: &str) -> Vec<String> {
    let mut result = vec![String::new()];
    let mut depth = 0u32;
    for character in text.chars() {
        match character {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if character.is_ascii_whitespace() && depth == 0 {
            result.push(String::new());
        } else if let Some(last) = result.last_mut() {
            last.push(character);
        }
    }
    result.retain(|operand| !operand.is_empty());
    result
}

/// The name that the table has for a register or a part of one, and how far the part is shifted.
fn x86_register(name: &str) -> Option<(String, u8)> {
    if let [letter @ b'a'..=b'd', b'h'] = name.as_bytes() {
        return Some((format!("{}x", *letter as char), 8));
    }
    if let Some(number) = name.strip_prefix('r').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        return Some((format!("r{}", number.trim_end_matches(['d', 'w', 'b'])), 0));
    }
    let bare = name.strip_prefix(['r', 'e']).unwrap_or(name);
    let whole = match bare {
        "al" | "bl" | "cl" | "dl" => format!("{}x", bare.trim_end_matches('l')),
        "sil" | "dil" | "bpl" | "spl" => bare.trim_end_matches('l').to_string(),
        _ => bare.to_string(),
    };
    Some((whole, 0))
}

/// `x3` and `w3` are the table's `r3`.
fn arm_register(name: &str) -> Option<String> {
    match name {
        "sp" | "wsp" => Some("sp".to_string()),
        "fp" => Some("r29".to_string()),
        "lr" => Some("r30".to_string()),
        _ => {
            let number: u8 = name.strip_prefix(['x', 'w'])?.parse().ok()?;
            Some(format!("r{number}"))
        }
    }
}

/// Decimal or hexadecimal, with a sign; large unsigned ones keep their bits.
fn number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse::<u64>().ok()?,
    };
    Some(if negative { value.cast_signed().wrapping_neg() } else { value.cast_signed() })
}

/// `name`, `name+8`, `8+name`, `-8+name`.
fn symbol_and_offset(text: &str) -> Option<(String, i64)> {
    let (mut name, mut offset) = (None, 0i64);
    let mut rest = text;
    while !rest.is_empty() {
        let sign = rest.starts_with(['+', '-']) as usize;
        let end = rest.get(sign..)?.find(['+', '-']).map_or(rest.len(), |at| at + sign);
        let (term, tail) = rest.split_at_checked(end)?;
        match number(term) {
            Some(value) => offset = offset.checked_add(value)?,
            None if name.is_none() && !term.starts_with('-') => name = Some(term.trim_start_matches('+').to_string()),
            None => return None,
        }
        rest = tail;
    }
    Some((name.filter(|name| !name.is_empty())?, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(notation: Notation, text: &str) -> Vec<(i8, Place)> {
        let one = |index| notation.argument(text, index).unwrap().unwrap();
        (0..notation.count(text))
            .map(one)
            .map(|argument| {
                (if argument.signed { -(argument.bytes as i8) } else { argument.bytes as i8 }, argument.place)
            })
            .collect()
    }

    fn x86(name: &str) -> Register {
        X86_64.register(name).unwrap()
    }

    #[test]
    fn every_kind_of_operand_on_x86_64() {
        let found = places(X86_64, "-4@%eax 8@-8(%rbp) 4@$-5 1@%ah 8@(%rax,%rbx,8) -2@4(%rax,%r9) 8@%r10d %rdi");
        let register = |name| Place::Register(x86(name));
        let memory = |base, index: Option<(&str, u8)>, offset| Place::Memory {
            base: x86(base),
            index: index.map(|(name, scale)| (x86(name), scale)),
            offset,
        };
        let expected = vec![
            (-4, register("%rax")),
            (8, memory("%rbp", None, -8)),
            (4, Place::Constant(-5)),
            (1, Place::Register(Register { shift: 8, ..x86("%rax") })),
            (8, memory("%rax", Some(("%rbx", 8)), 0)),
            (-2, memory("%rax", Some(("%r9", 1)), 4)),
            (8, register("%r10")),
            (8, register("%rdi")),
        ];
        assert_eq!(found, expected);
        let symbol = Place::Symbol { name: "counter".into(), offset: 8 };
        assert_eq!(places(X86_64, "8@counter+8(%rip) 8@8+counter(%rip)"), [(8, symbol.clone()), (8, symbol)]);
    }

    #[test]
    fn every_part_of_a_register_is_known() {
        for (parts, whole) in [
            (["%rax", "%eax", "%ax", "%al"], "ax"),
            (["%rsi", "%esi", "%si", "%sil"], "si"),
            (["%rbp", "%ebp", "%bp", "%bpl"], "bp"),
            (["%r8", "%r8d", "%r8w", "%r8b"], "r8"),
            (["%r15", "%r15d", "%r15w", "%r15b"], "r15"),
        ] {
            let (_, offset) = X86_64.registers.offsets.iter().find(|(name, _)| *name == whole).unwrap();
            for part in parts {
                assert_eq!(x86(part), Register { offset: *offset, shift: 0 }, "{part}");
            }
        }
    }

    #[test]
    fn every_kind_of_operand_on_aarch64() {
        let at = |offset| Register { offset, shift: 0 };
        let found = places(AARCH64, "-4@w0 8@x21 4@5 8@[sp, 16] 1@[x1] 8@[x2,-8] 8@[x0, x3]");
        let memory = |base, index, offset| Place::Memory { base: at(base), index, offset };
        let expected = vec![
            (-4, Place::Register(at(0))),
            (8, Place::Register(at(168))),
            (4, Place::Constant(5)),
            (8, memory(248, None, 16)),
            (1, memory(8, None, 0)),
            (8, memory(16, None, -8)),
            (8, memory(0, Some((at(24), 1)), 0)),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for text in
            ["4f@%xmm0", "8@%xmm0", "3@%eax", "@", "8@(", "8@)(", "8@(%rax", "8@$", "8@-(%rip)", "8@%r", "8@(%rax,,)"]
        {
            assert_eq!(X86_64.argument(text, 0), Some(Err(text.to_string())), "{text}");
        }
        assert_eq!(X86_64.argument("8@%rax", 1), None);
        assert_eq!(X86_64.argument("", 0), None);
    }
}
