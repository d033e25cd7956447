//! The typed intermediate form between semantics and code generation, and its printer.
//!
//! A program is structured statements over expression trees. Everything a register can hold is a
//! scalar; all else lies in memory and is spoken of by address. What a statement costs is visible
//! here: each helper call, each store. Code generation adds nothing but the mechanics.
//!
//! Pointers are 64-bit scalars ([`Scalar::Pointer`]); address arithmetic is [`Expr::Offset`].

use std::fmt;
use std::sync::Arc;

use crate::plan::ProgramKind;
use crate::syntax::ast::Span;

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// A truth value, the result of a comparison; stored as a byte 0 or 1.
    Bool,
    I8,
    I16,
    I32,
    I64,
    /// An address that BPF itself may follow: stack, map value, context, scratch.
    Pointer,
}

/// A virtual register of a program. It may be set many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Var(pub u32);

/// A piece of memory that lives as long as the program runs: on the BPF stack if it is small and
/// there is room, in per-CPU scratch memory otherwise. Its bytes are undefined until stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

/// An index into the plan's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapIndex(pub u32);

/// One BPF program before code generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// A valid C identifier, unique in the module.
    pub symbol: String,
    pub kind: ProgramKind,
    pub vars: Vec<Scalar>,
    pub slots: Vec<SlotInfo>,
    pub body: Vec<Stmt>,
    /// The value that `Return` without one, or falling off the end, returns.
    pub default_return: i32,
}

/// A function that programs and other functions call (BPF subprogram). It gives an I64; its body
/// returns to the caller. It has no context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    pub program: Program,
    /// What the arguments arrive in: an I64 or a pointer each, five at most.
    pub parameters: Vec<Var>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotInfo {
    pub size: u32,
    /// 1, 2, 4 or 8.
    pub align: u32,
    /// Offset in the scratch map's value, or `None` on the BPF stack. Set by the `resources` pass.
    pub scratch: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stmt {
    /// The statements that follow come from this place (line information for the verifier's log).
    At(Span),
    Set(Var, Expr),
    Store {
        ty: Scalar,
        address: Expr,
        value: Expr,
    },
    /// `*address += value`, atomically, without a result.
    AtomicAdd {
        ty: Scalar,
        address: Expr,
        value: Expr,
    },
    /// Copies a constant number of bytes between places that BPF may access directly. They do not
    /// overlap; alignment of both is at least `align`.
    Copy {
        to: Expr,
        from: Expr,
        size: u32,
        align: u32,
    },
    /// Sets `size` bytes to zero.
    Zero {
        to: Expr,
        size: u32,
        align: u32,
    },
    /// Writes constant bytes.
    Bytes {
        to: Expr,
        bytes: Vec<u8>,
        align: u32,
    },
    /// For its effect.
    Evaluate(Expr),
    If {
        condition: Expr,
        then: Vec<Stmt>,
        otherwise: Vec<Stmt>,
    },
    /// Repeats until [`Stmt::Break`]; the verifier must see that it ends.
    Loop {
        body: Vec<Stmt>,
    },
    /// Calls `body` with `index` = `start`, `start + 1` … below `end` (64-bit signed) through the
    /// `bpf_loop` helper, at most 8,388,608 times. Break, Continue and Return mean what they say.
    Range {
        index: Var,
        start: Expr,
        end: Expr,
        body: Vec<Stmt>,
    },
    /// Calls `body` for each element through `bpf_for_each_map_elem`; `key` and `value` are set to
    /// the addresses of the element's.
    ForEach {
        map: MapIndex,
        key: Var,
        value: Var,
        body: Vec<Stmt>,
    },
    /// A part of a long program, in a function of its own. It runs where it stands; Return means what it
    /// says. Made by the `division` pass.
    Apart {
        body: Vec<Stmt>,
    },
    Break,
    Continue,
    /// Ends the program (not only a loop's callback).
    Return(Option<Expr>),
}

/// A scalar-valued expression. Operands are evaluated from left to right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// The low bits of `value` count.
    Const {
        ty: Scalar,
        value: i64,
    },
    Var(Var),
    /// The address of a slot.
    Slot(Slot),
    /// The program's context.
    Context,
    /// A read that the verifier allows directly.
    Load {
        ty: Scalar,
        address: Box<Expr>,
    },
    /// `base + by` bytes; `by` is an I64.
    Offset {
        base: Box<Expr>,
        by: Box<Expr>,
    },
    Binary {
        op: Op,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Convert {
        op: Conversion,
        to: Scalar,
        value: Box<Expr>,
    },
    /// Evaluates one of two values.
    Select {
        condition: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    /// Calls a BPF helper by its number (`enum bpf_func_id` in `linux/bpf.h`).
    Helper {
        id: Helper,
        arguments: Vec<Expr>,
        returns: Scalar,
    },
    /// Calls one of the module's functions, which gives an I64.
    Call {
        function: u32,
        arguments: Vec<Expr>,
    },
    /// Calls a function of an imported C source with integers and addresses, which are I64. Gives an
    /// I64, 0 if the function gives nothing.
    CallC {
        symbol: String,
        arguments: Vec<(Expr, CParameter)>,
        returns: Option<CParameter>,
    },
    /// The map itself, as helpers take it.
    Map(MapIndex),
    /// The address of byte `offset` in the only value of an array map.
    MapValue {
        map: MapIndex,
        offset: u32,
    },
    /// Stops LLVM from reasoning about the value, for bounds checks that the verifier must see.
    Opaque(Box<Expr>),
    /// Byte swap of an integer.
    Swap(Box<Expr>),
}

/// How C passes a value: pointers are pointers, and integers are extended to a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CParameter {
    pub is_pointer: bool,
    pub is_signed: bool,
}

/// Integer operations on two operands of one type. Division is guarded: x / 0 is 0, x % 0 is x,
/// as the kernel defines BPF's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Add,
    Sub,
    Mul,
    UDiv,
    SDiv,
    URem,
    SRem,
    And,
    Or,
    Xor,
    Shl,
    LShr,
    AShr,
    /// The comparisons give a [`Scalar::Bool`]; pointers may be compared for equality.
    Eq,
    Ne,
    ULt,
    ULe,
    SLt,
    SLe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conversion {
    ZeroExtend,
    SignExtend,
    Truncate,
    /// Pointer to I64.
    ToInteger,
    /// I64 to Pointer.
    ToPointer,
}

/// A BPF helper function: its number in `enum bpf_func_id` (`include/uapi/linux/bpf.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Helper(pub u32);

impl Helper {
    pub const MAP_LOOKUP_ELEM: Helper = Helper(1);
    pub const MAP_UPDATE_ELEM: Helper = Helper(2);
    pub const MAP_DELETE_ELEM: Helper = Helper(3);
    pub const KTIME_GET_NS: Helper = Helper(5);
    pub const TRACE_PRINTK: Helper = Helper(6);
    pub const GET_PRANDOM_U32: Helper = Helper(7);
    pub const GET_SMP_PROCESSOR_ID: Helper = Helper(8);
    pub const GET_CURRENT_PID_TGID: Helper = Helper(14);
    pub const GET_CURRENT_UID_GID: Helper = Helper(15);
    pub const GET_CURRENT_COMM: Helper = Helper(16);
    pub const GET_STACKID: Helper = Helper(27);
    pub const GET_CURRENT_TASK: Helper = Helper(35);
    pub const PROBE_WRITE_USER: Helper = Helper(36);
    pub const GET_NUMA_NODE_ID: Helper = Helper(42);
    pub const GET_SOCKET_COOKIE: Helper = Helper(46);
    pub const OVERRIDE_RETURN: Helper = Helper(58);
    pub const GET_STACK: Helper = Helper(67);
    pub const GET_CURRENT_CGROUP_ID: Helper = Helper(80);
    pub const SEND_SIGNAL: Helper = Helper(109);
    pub const SKB_OUTPUT: Helper = Helper(111);
    pub const TASK_PT_REGS: Helper = Helper(175);
    pub const PROBE_READ_USER: Helper = Helper(112);
    pub const PROBE_READ_KERNEL: Helper = Helper(113);
    pub const PROBE_READ_USER_STR: Helper = Helper(114);
    pub const PROBE_READ_KERNEL_STR: Helper = Helper(115);
    pub const SEND_SIGNAL_THREAD: Helper = Helper(117);
    pub const JIFFIES64: Helper = Helper(118);
    pub const GET_NS_CURRENT_PID_TGID: Helper = Helper(120);
    pub const KTIME_GET_BOOT_NS: Helper = Helper(125);
    pub const SEQ_PRINTF: Helper = Helper(126);
    pub const RINGBUF_OUTPUT: Helper = Helper(130);
    pub const D_PATH: Helper = Helper(147);
    pub const FOR_EACH_MAP_ELEM: Helper = Helper(164);
    pub const GET_FUNC_IP: Helper = Helper(173);
    pub const GET_ATTACH_COOKIE: Helper = Helper(174);
    pub const GET_CURRENT_TASK_BTF: Helper = Helper(158);
    pub const LOOP: Helper = Helper(181);
    pub const GET_FUNC_ARG: Helper = Helper(183);
    pub const MAP_LOOKUP_PERCPU_ELEM: Helper = Helper(195);
    pub const KTIME_GET_TAI_NS: Helper = Helper(208);

    /// Numbers from here on are kernel functions: indices into the plan's list of their names, which
    /// the loader replaces by the kernel's numbers.
    pub const KERNEL_FUNCTIONS: u32 = 0x4000_0000;

    /// Whether only the lower half of the result may be relied on. Programs call the map's own function for
    /// these (`map_update_elem` in `struct bpf_map_ops`), and that gave an `int` before Linux 6.4.
    pub fn gives_int(self) -> bool {
        matches!(self, Helper::MAP_UPDATE_ELEM | Helper::MAP_DELETE_ELEM)
    }

    /// Whether the helper gives the same each time a program calls it in one run: who runs, and
    /// where (programs do not migrate). Repeated calls are then made once, unused ones not at all.
    pub fn is_constant(self) -> bool {
        matches!(
            self,
            Helper::GET_CURRENT_PID_TGID
                | Helper::GET_CURRENT_UID_GID
                | Helper::GET_CURRENT_TASK
                | Helper::GET_CURRENT_TASK_BTF
                | Helper::GET_CURRENT_CGROUP_ID
                | Helper::GET_SMP_PROCESSOR_ID
        )
    }
}

impl Scalar {
    /// Bytes in memory.
    pub fn size(self) -> u32 {
        match self {
            Scalar::Bool | Scalar::I8 => 1,
            Scalar::I16 => 2,
            Scalar::I32 => 4,
            Scalar::I64 | Scalar::Pointer => 8,
        }
    }

    /// The integer of so many bits (8, 16, 32; everything else is 64).
    pub fn of_bits(bits: u8) -> Scalar {
        match bits {
            8 => Scalar::I8,
            16 => Scalar::I16,
            32 => Scalar::I32,
            _ => Scalar::I64,
        }
    }
}

/// All programs of a script, and what code generation must know of its maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    pub programs: Vec<Program>,
    /// What they call. In the scratch map their entries follow those of the programs.
    pub functions: Vec<Function>,
    /// Imported C sources, translated.
    pub c_code: Vec<Bitcode>,
    /// How many functions of the kernel the script's own programs call; those of C sources follow.
    pub kernel_functions: u32,
    /// The scratch map, if the plan has one: per CPU, one entry a program, in their order.
    pub scratch: Option<MapIndex>,
    /// The scratch map is an ordinary array instead: the entries of all programs for CPU 0, then
    /// for CPU 1 … (a per-CPU entry cannot be larger than 32 KiB).
    pub scratch_by_cpu: bool,
    /// `license` of the object.
    pub license: String,
}

/// LLVM's bitcode for the BPF target.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitcode(pub Arc<[u8]>);

impl fmt::Debug for Bitcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bitcode({} bytes)", self.0.len())
    }
}
