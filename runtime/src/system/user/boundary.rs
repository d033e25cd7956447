//! Whether an instruction starts at an offset into a function.

use std::path::Path;

use object::read::Object;
use probebook_compiler::user_info::{Boundary, UserSymbol};

use super::file::Binary;

/// Functions are decoded from their start, up to so many bytes.
const LONGEST: u64 = 1 << 22;

/// Reads the function's code, and steps over its instructions up to `offset`.
pub fn check(path: &Path, function: &UserSymbol, offset: u64) -> Boundary {
    let binary = Binary::open(path).ok();
    let is_64_bit = binary.as_ref().and_then(|binary| binary.elf(path).ok()).is_none_or(|elf| elf.is_64());
    if cfg!(target_arch = "aarch64") {
        // All instructions have four bytes, but for those of 32-bit programs.
        return match is_64_bit {
            true if offset.is_multiple_of(4) => Boundary::Start,
            true => Boundary::Inside,
            false => Boundary::Unknown,
        };
    }
    if offset > LONGEST {
        return Boundary::Unknown;
    }
    let length = function.size.min(LONGEST);
    match binary.as_ref().and_then(|binary| binary.bytes(function.file_offset, length)) {
        Some(code) => x86(code, if is_64_bit { 64 } else { 32 }, offset),
        None => Boundary::Unknown,
    }
}

fn x86(code: &[u8], bits: u32, offset: u64) -> Boundary {
    let mut decoder = iced_x86::Decoder::new(bits, code, iced_x86::DecoderOptions::NONE);
    while decoder.can_decode() {
        let at = decoder.position() as u64;
        if at >= offset {
            return if at == offset { Boundary::Start } else { Boundary::Inside };
        }
        if decoder.decode().is_invalid() {
            return Boundary::Unknown;
        }
    }
    Boundary::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_have_their_own_lengths() {
        // push %rbp; mov %rsp,%rbp; movabs $1,%rax; ret
        let code = [0x55, 0x48, 0x89, 0xe5, 0x48, 0xb8, 1, 0, 0, 0, 0, 0, 0, 0, 0xc3];
        let at = |offset| x86(&code, 64, offset);
        assert_eq!([0, 1, 4, 14].map(at), [Boundary::Start; 4]);
        assert_eq!([2, 3, 5, 13].map(at), [Boundary::Inside; 4]);
        assert_eq!(at(15), Boundary::Unknown);
        assert_eq!(x86(&[0x06, 0x90], 64, 1), Boundary::Unknown);
        assert_eq!(x86(&[0x06, 0x90], 32, 1), Boundary::Start);
    }
}
