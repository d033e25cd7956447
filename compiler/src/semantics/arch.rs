//! Registers: where `struct pt_regs` keeps them, and which hold arguments.

/// One architecture's `struct pt_regs` (`arch/*/include/uapi/asm/ptrace.h`) and calling convention.
pub struct Registers {
    /// Byte offsets by name, aliases included.
    pub offsets: &'static [(&'static str, u32)],
    /// Offsets of the registers that hold a function's integer arguments.
    pub arguments: &'static [u32],
    pub return_value: u32,
    /// What the processor's watchpoints can wait for, letters in alphabetical order.
    pub watchpoint_modes: &'static [&'static str],
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
    return_value: 80,
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
    return_value: 0,
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
