//! Registers: where `struct pt_regs` keeps them, and which hold arguments.

/// One architecture's `struct pt_regs` (`arch/*/include/uapi/asm/ptrace.h`) and calling convention.
pub struct Registers {
    /// Byte offsets by name, aliases included.
    pub offsets: &'static [(&'static str, u32)],
    /// Offsets of the registers that hold a function's integer arguments.
    pub arguments: &'static [u32],
    /// Offsets by DWARF's numbers of the registers, from 0 on.
    pub dwarf: &'static [u32],
    pub return_value: u32,
    /// How many registers hold floating-point arguments; `struct pt_regs` has none of them.
    pub float_arguments: u32,
    /// Where the first argument that is in no register lies, as a function is entered: bytes above
    /// the stack pointer.
    pub stack_arguments: u32,
    /// How structures of more than two words, and those returned, are passed.
    pub structures: Structures,
    /// What the processor's watchpoints can wait for, letters in alphabetical order.
    pub watchpoint_modes: &'static [&'static str],
}

/// What a calling convention says of structures and other values that one register does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structures {
    /// System V (`https://gitlab.com/x86-psABIs/x86-64-ABI`, section 3.2.3): each word goes by what it
    /// holds, large ones are copied to the stack, and where to return one is the first argument.
    ByWord,
    /// AAPCS64 (`https://github.com/ARM-software/abi-aa`, section 6.8.2): of large ones the address is
    /// passed, and where to return one is in a register of its own.
    ByAddress,
}

pub const X86_64: Registers = Registers {
    offsets: &[
        ("r15", 0),
        ("r14", 8),
        ("r13", 16),
        ("r12", 24),
        ("bp", 32),
        ("bx", 40),
        ("r11", 48),
        ("r10", 56),
        ("r9", 64),
        ("r8", 72),
        ("ax", 80),
        ("cx", 88),
        ("dx", 96),
        ("si", 104),
        ("di", 112),
        ("orig_ax", 120),
        ("orig_rax", 120),
        ("ip", 128),
        ("pc", 128),
        ("cs", 136),
        ("flags", 144),
        ("sp", 152),
        ("ss", 160),
    ],
    arguments: &[112, 104, 96, 88, 72, 64],
    // Figure 3.36 of the same document.
    dwarf: &[80, 96, 88, 40, 104, 112, 32, 152, 72, 64, 56, 48, 24, 16, 8, 0],
    return_value: 80,
    float_arguments: 8,
    // Below it lies the return address.
    stack_arguments: 8,
    structures: Structures::ByWord,
    // Processors of this kind cannot tell reading from writing (Intel's manual, volume 3, "Debug
    // control register").
    watchpoint_modes: &["w", "rw", "x"],
};

pub const AARCH64: Registers = Registers {
    offsets: &[
        ("r0", 0),
        ("r1", 8),
        ("r2", 16),
        ("r3", 24),
        ("r4", 32),
        ("r5", 40),
        ("r6", 48),
        ("r7", 56),
        ("r8", 64),
        ("r9", 72),
        ("r10", 80),
        ("r11", 88),
        ("r12", 96),
        ("r13", 104),
        ("r14", 112),
        ("r15", 120),
        ("r16", 128),
        ("r17", 136),
        ("r18", 144),
        ("r19", 152),
        ("r20", 160),
        ("r21", 168),
        ("r22", 176),
        ("r23", 184),
        ("r24", 192),
        ("r25", 200),
        ("r26", 208),
        ("r27", 216),
        ("r28", 224),
        ("r29", 232),
        ("r30", 240),
        ("sp", 248),
        ("pc", 256),
        ("ip", 256),
        ("pstate", 264),
    ],
    arguments: &[0, 8, 16, 24, 32, 40, 48, 56],
    // `aadwarf64` in the same place, section 4.1.
    dwarf: &[
        0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 136, 144, 152, 160, 168, 176, 184, 192,
        200, 208, 216, 224, 232, 240, 248,
    ],
    return_value: 0,
    float_arguments: 8,
    stack_arguments: 0,
    structures: Structures::ByAddress,
    watchpoint_modes: &["r", "w", "rw", "x"],
};

/// The table of the machine that programs are compiled for.
pub const NATIVE: Registers = if cfg!(target_arch = "aarch64") { AARCH64 } else { X86_64 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_registers_of_the_table() {
        for registers in [&X86_64, &AARCH64] {
            let known = |offset: &u32| registers.offsets.iter().any(|(_, o)| o == offset);
            assert!(registers.arguments.iter().all(known));
            assert!(known(&registers.return_value));
        }
    }
}
