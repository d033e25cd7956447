//! Builds a program, generates code for it, and runs it in the kernel.

use std::os::fd::{AsFd, AsRawFd};

use aya::maps::{Array, HashMap, Map, MapData};
use aya::programs::{ProgramError, RawTracePoint, RawTracePointRunOptions, TestRun};
use aya::{EbpfLoader, VerifierLogLevel};
use probebook_compiler::codegen::{self, Cpu, Object, Options};
use probebook_compiler::diagnostics::Sources;
use probebook_compiler::ir::*;
use probebook_compiler::plan::ProgramKind;
use probebook_compiler::syntax::ast::{SourceId, Span};

/// Words that a program can leave behind.
pub const OUTPUTS: usize = 512;
/// The map whose only value holds them.
pub const OUTPUT: MapIndex = MapIndex(0);
/// One entry of 16 KiB, per CPU.
pub const SCRATCH: MapIndex = MapIndex(1);
/// From `u32` to `u64`.
pub const HASH: MapIndex = MapIndex(2);

const SCRATCH_SIZE: u32 = 16 * 1024;
const BPF_MAP_TYPE_HASH: u32 = 1;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_PERCPU_ARRAY: u32 = 6;

/// A program in the making.
pub struct Script {
    pub program: Program,
    pub cpu: Cpu,
    /// What the program finds in [`HASH`].
    pub entries: Vec<(u32, u64)>,
    next_output: u32,
}

/// What a run left behind.
#[derive(Debug)]
pub struct Outcome {
    pub returned: i32,
    pub words: Vec<u64>,
    pub entries: Vec<(u32, u64)>,
}

pub fn constant(ty: Scalar, value: i64) -> Expr {
    Expr::Const { ty, value }
}

pub fn word(value: i64) -> Expr {
    constant(Scalar::I64, value)
}

pub fn var(var: Var) -> Expr {
    Expr::Var(var)
}

pub fn opaque(expr: Expr) -> Expr {
    Expr::Opaque(Box::new(expr))
}

pub fn binary(op: Op, left: Expr, right: Expr) -> Expr {
    Expr::Binary { op, left: Box::new(left), right: Box::new(right) }
}

pub fn add(left: Expr, right: Expr) -> Expr {
    binary(Op::Add, left, right)
}

pub fn convert(op: Conversion, to: Scalar, value: Expr) -> Expr {
    Expr::Convert { op, to, value: Box::new(value) }
}

pub fn load(ty: Scalar, address: Expr) -> Expr {
    Expr::Load { ty, address: Box::new(address) }
}

pub fn offset(base: Expr, by: i64) -> Expr {
    Expr::Offset { base: Box::new(base), by: Box::new(word(by)) }
}

pub fn helper(id: Helper, arguments: Vec<Expr>, returns: Scalar) -> Expr {
    Expr::Helper { id, arguments, returns }
}

pub fn when(condition: Expr, then: Vec<Stmt>) -> Stmt {
    Stmt::If { condition, then, otherwise: Vec::new() }
}

pub fn output(index: u32) -> Expr {
    Expr::MapValue { map: OUTPUT, offset: index * 8 }
}

impl Script {
    pub fn new() -> Self {
        let program = Program {
            symbol: "test_program".into(),
            kind: ProgramKind::Run,
            vars: Vec::new(),
            slots: Vec::new(),
            body: Vec::new(),
            default_return: 0,
        };
        Self { program, cpu: newest_cpu(), entries: Vec::new(), next_output: 0 }
    }

    pub fn var(&mut self, ty: Scalar) -> Var {
        self.program.vars.push(ty);
        Var(self.program.vars.len() as u32 - 1)
    }

    pub fn slot(&mut self, size: u32, align: u32) -> Slot {
        self.program.slots.push(SlotInfo { size, align, scratch: None });
        Slot(self.program.slots.len() as u32 - 1)
    }

    pub fn push(&mut self, stmt: Stmt) {
        self.program.body.push(stmt);
    }

    /// Leaves a 64-bit value in the next output word.
    pub fn output(&mut self, value: Expr) {
        let address = output(self.next_output);
        self.next_output += 1;
        self.push(Stmt::Store { ty: Scalar::I64, address, value });
    }

    /// Leaves an integer, zero-extended.
    pub fn output_widened(&mut self, ty: Scalar, value: Expr) {
        let wide = if ty == Scalar::I64 { value } else { convert(Conversion::ZeroExtend, Scalar::I64, value) };
        self.output(wide);
    }

    pub fn module(&self) -> Module {
        let mut program = self.program.clone();
        let source = SourceId(0);
        program.body.insert(0, Stmt::At(Span { source, start: 8, end: 12 }));
        let mut module = Module { programs: vec![program], license: "GPL".into(), ..Module::default() };
        let scratch = codegen::place_slots(&mut module);
        assert!(scratch <= SCRATCH_SIZE, "the test needs too much scratch memory");
        module.scratch = (scratch > 0).then_some(SCRATCH);
        module
    }

    pub fn generate(&self) -> Result<Object, codegen::CodegenError> {
        codegen::generate(&self.module(), &sources(), &Options { cpu: self.cpu, newest: self.cpu, one_file: true })
    }

    /// Runs the program; `None` where that is not permitted.
    pub fn run(&self) -> Option<Outcome> {
        let outcome = self.try_run()?;
        Some(outcome.unwrap_or_else(|error| panic!("the verifier refused: {error:#?}")))
    }

    /// The same, but the verifier may refuse the program.
    pub fn try_run(&self) -> Option<Result<Outcome, ProgramError>> {
        let object = self.generate().expect("the program translates");
        // SAFETY: `geteuid` has no preconditions.
        if unsafe { libc::geteuid() } != 0 {
            println!("skipped: needs root");
            return None;
        }
        if self.cpu != newest_cpu() && self.cpu == Cpu::V4 {
            println!("skipped: version 4 of the instruction set needs Linux 6.6");
            return None;
        }
        Some(self.run_object(object))
    }

    fn run_object(&self, object: Object) -> Result<Outcome, ProgramError> {
        let words = create(BPF_MAP_TYPE_ARRAY, (OUTPUTS * 8) as u32, 1);
        let scratch = create(BPF_MAP_TYPE_PERCPU_ARRAY, SCRATCH_SIZE, 1);
        let hash = create(BPF_MAP_TYPE_HASH, 8, 64);
        let fds = [&words, &scratch, &hash].map(|map| map.fd().as_fd().as_raw_fd());
        let words = Array::<_, [u64; OUTPUTS]>::try_from(Map::Array(words)).expect("an array");
        let mut hash = HashMap::<_, u32, u64>::try_from(Map::HashMap(hash)).expect("a hash");
        for (key, value) in &self.entries {
            hash.insert(key, value, 0).expect("an entry");
        }
        let returned = run_elf(object, &fds)?;
        let mut entries: Vec<(u32, u64)> = hash.iter().map(|entry| entry.expect("an entry")).collect();
        entries.sort_unstable();
        Ok(Outcome { returned, words: words.get(&0, 0).expect("the words").to_vec(), entries })
    }
}

/// What this kernel understands.
fn newest_cpu() -> Cpu {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (6, 6) { Cpu::V4 } else { Cpu::V3 }
}

/// A script's text for line information.
pub fn sources() -> Sources {
    let mut sources = Sources::default();
    sources.add("In [1]", "begin {\n  @ = count();\n}\n");
    sources
}

fn create(kind: u32, value_size: u32, max_entries: u32) -> MapData {
    let definition = aya_obj::Map::new_from_params(kind, 4, value_size, max_entries, 0);
    MapData::create(definition, "test", None).expect("a map")
}

/// Loads the first program of an object and runs it once.
fn run_elf(object: Object, fds: &[i32]) -> Result<i32, ProgramError> {
    let mut elf = object.files[0].clone();
    insert_descriptors(&mut elf, fds);
    let mut ebpf =
        EbpfLoader::new().verifier_log_level(VerifierLogLevel::VERBOSE).load(&elf).expect("aya takes the object");
    let program = ebpf.program_mut(&object.programs[0].symbol).expect("the program");
    let program: &mut RawTracePoint = program.try_into().expect("a raw tracepoint");
    program.load()?;
    let options = RawTracePointRunOptions { args: std::array::from_fn(|i| 100 + i as u64), cpu: None };
    Ok(program.test_run(options)?.return_value as i32)
}

/// Replaces map indexes by descriptors in every executable section of a 64-bit little-endian ELF
/// file.
pub fn insert_descriptors(elf: &mut [u8], fds: &[i32]) {
    for section in code_sections(elf) {
        let code = &mut elf[section];
        let mut at = 0;
        while at < code.len() {
            let (opcode, source) = (code[at], code[at + 1] >> 4);
            let is_wide = opcode == 0x18;
            if is_wide && matches!(source, 1 | 2) {
                let index = u32::from_le_bytes(code[at + 4..at + 8].try_into().unwrap());
                code[at + 4..at + 8].copy_from_slice(&fds[index as usize].to_le_bytes());
            }
            at += if is_wide { 16 } else { 8 };
        }
    }
}

/// Where the executable sections of an ELF file lie.
pub fn code_sections(elf: &[u8]) -> Vec<std::ops::Range<usize>> {
    let number = |at: usize, size: usize| {
        elf[at..at + size].iter().rev().fold(0usize, |value, byte| value << 8 | usize::from(*byte))
    };
    let (table, entry_size, count) = (number(40, 8), number(58, 2), number(60, 2));
    (0..count)
        .map(|index| table + index * entry_size)
        .filter(|header| number(header + 4, 4) == 1 && number(header + 8, 8) & 4 != 0)
        .map(|header| number(header + 24, 8)..number(header + 24, 8) + number(header + 32, 8))
        .collect()
}
