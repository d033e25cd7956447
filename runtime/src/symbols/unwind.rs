//! Unwinds a stack by the tables (`.eh_frame`) of the files that the process has mapped.
//!
//! Works on a copy of the registers and of the innermost part of the stack, so the process may go on.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, NativeEndian, Register, RegisterRule, UnwindContext, UnwindSection,
    UnwindTableRow,
};
use object::{Object, ObjectSection, ObjectSegment};
use probebook_compiler::plan::UnwindSample;

use super::processes::{Found, Place, Processes};
use crate::system::user::compressed;
use crate::system::user::stamp::Stamp;

/// More frames than any stack is shown with.
const MOST_FRAMES: usize = 127;
/// More files than this are not kept in memory.
const MOST_FILES: usize = 256;

/// Larger files are not read: any process may have one mapped.
const LARGEST_FILE: u64 = 1 << 30;

/// DWARF's numbers of x86-64's registers (System V ABI, AMD64 supplement, figure 3.36).
const RBX: usize = 3;
const RBP: usize = 6;
const RSP: usize = 7;
const RETURN: usize = 16;
/// Where `struct pt_regs` keeps DWARF's registers 0 to 16: rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, r8
/// to r15, rip.
const IN_PT_REGS: [usize; 17] = [80, 96, 88, 40, 104, 112, 32, 152, 72, 64, 56, 48, 24, 16, 8, 0, 128];

/// What a program has copied of a task.
pub struct Sample<'a> {
    pub id: i64,
    pub pid: u32,
    registers: [u64; 17],
    stack: &'a [u8],
}

impl<'a> Sample<'a> {
    /// Reads an event; see [`UnwindSample`].
    pub fn read(event: &'a [u8]) -> Option<Sample<'a>> {
        let word = |offset: usize| Some(u64::from_ne_bytes(*event.get(offset..)?.first_chunk()?));
        let mut registers = [0; 17];
        for (register, offset) in registers.iter_mut().zip(IN_PT_REGS) {
            *register = word(UnwindSample::REGISTERS as usize + offset)?;
        }
        let length = usize::try_from(word(UnwindSample::LENGTH as usize)?).ok()?;
        let stack = event.get(UnwindSample::STACK as usize..)?.get(..length)?;
        let pid = u32::try_from(word(UnwindSample::PROCESS as usize)?).ok()?;
        Some(Sample { id: word(UnwindSample::ID as usize)?.cast_signed(), pid, registers, stack })
    }
}

/// The tables of files, kept from stack to stack.
#[derive(Default)]
pub struct Unwinder {
    files: HashMap<Stamp, Option<Tables>>,
    context: UnwindContext<usize>,
}

/// `None` for anything but a regular file of a size that may be read.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    (metadata.is_file() && metadata.len() <= LARGEST_FILE).then(|| Stamp::from(&metadata))
}

/// What a file says of its frames.
struct Tables {
    /// File offset, size, address of each segment.
    segments: Vec<(u64, u64, u64)>,
    /// Address and bytes.
    eh_frame: (u64, Vec<u8>),
    eh_frame_hdr: Option<(u64, Vec<u8>)>,
    text: u64,
}

impl Unwinder {
    /// The addresses of the frames, innermost first.
    pub fn unwind(&mut self, sample: &Sample<'_>, processes: &mut Processes) -> Vec<u64> {
        let mut registers = sample.registers.map(Some);
        let bottom = sample.registers[RSP];
        let mut frames = Vec::new();
        while let Some(address) = registers[RETURN].filter(|address| *address != 0) {
            frames.push(address);
            if frames.len() == MOST_FRAMES {
                break;
            }
            // A return address is behind the call; the call may be the last that the function does.
            let within = if frames.len() == 1 { address } else { address - 1 };
            let Found::File(place) = processes.find(sample.pid, within) else { break };
            let memory = |address: u64| read(sample.stack, bottom, address);
            let Some(caller) = self.step(&place, &registers, &memory) else { break };
            // Frames lie ever further up; anything else would go in circles.
            if caller[RSP] <= registers[RSP] {
                break;
            }
            registers = caller;
        }
        frames
    }

    /// The registers of the caller.
    fn step(
        &mut self,
        place: &Place,
        registers: &[Option<u64>; 17],
        memory: &dyn Fn(u64) -> Option<u64>,
    ) -> Option<[Option<u64>; 17]> {
        if self.files.len() > MOST_FILES {
            self.files.clear();
        }
        let file = stamp(&place.file)?;
        let tables = self.files.entry(file).or_insert_with(|| Tables::read(&place.file)).as_ref()?;
        let address = tables.address(place.offset)?;
        tables.with_row(address, &mut self.context, |row| caller(row, registers, memory)).flatten()
    }
}

/// Eight bytes of the copied stack.
fn read(stack: &[u8], bottom: u64, address: u64) -> Option<u64> {
    let offset = usize::try_from(address.checked_sub(bottom)?).ok()?;
    Some(u64::from_ne_bytes(*stack.get(offset..)?.first_chunk()?))
}

fn caller(
    row: &UnwindTableRow<usize>,
    registers: &[Option<u64>; 17],
    memory: &dyn Fn(u64) -> Option<u64>,
) -> Option<[Option<u64>; 17]> {
    let value = |register: Register| registers.get(usize::from(register.0)).copied().flatten();
    // Expressions stand in the linkage table and in signal frames only: stacks end there.
    let CfaRule::RegisterAndOffset { register, offset } = row.cfa() else { return None };
    let cfa = value(*register)?.wrapping_add_signed(*offset);
    let mut caller = [None; 17];
    for (number, slot) in caller.iter_mut().enumerate() {
        let register = Register(u16::try_from(number).ok()?);
        *slot = match row.register(register) {
            Some(RegisterRule::Offset(offset)) => memory(cfa.wrapping_add_signed(offset)),
            Some(RegisterRule::ValOffset(offset)) => Some(cfa.wrapping_add_signed(offset)),
            Some(RegisterRule::Register(other)) => value(other),
            Some(RegisterRule::SameValue) => value(register),
            // Callees keep these for their callers (System V ABI, AMD64 supplement, figure 3.4).
            None if matches!(number, RBX | RBP | 12..=15) => value(register),
            _ => None,
        };
    }
    caller[RSP] = Some(cfa);
    Some(caller)
}

impl Tables {
    fn read(path: &Path) -> Option<Tables> {
        let mut data = Vec::new();
        File::open(path).ok()?.take(LARGEST_FILE).read_to_end(&mut data).ok()?;
        let file = object::File::parse(data.as_slice()).ok()?;
        let section = |name: &str| {
            let section = file.section_by_name(name)?;
            Some((section.address(), compressed::contents(&section, LARGEST_FILE).ok()?.into_owned()))
        };
        let segments = file.segments().map(|segment| {
            let (offset, size) = segment.file_range();
            (offset, size, segment.address())
        });
        Some(Tables {
            segments: segments.collect(),
            eh_frame: section(".eh_frame")?,
            eh_frame_hdr: section(".eh_frame_hdr"),
            text: file.section_by_name(".text").map_or(0, |text| text.address()),
        })
    }

    /// The address that the file has for a place in it.
    fn address(&self, offset: u64) -> Option<u64> {
        let within = |start: u64| offset.checked_sub(start);
        let holds = |(start, size, _): &&(u64, u64, u64)| within(*start).is_some_and(|within| within < *size);
        let (start, _, address) = self.segments.iter().find(holds)?;
        within(*start)?.checked_add(*address)
    }

    /// Shows the row of the table that holds for an address.
    fn with_row<R>(
        &self,
        address: u64,
        context: &mut UnwindContext<usize>,
        then: impl FnOnce(&UnwindTableRow<usize>) -> R,
    ) -> Option<R> {
        let (at, bytes) = &self.eh_frame;
        let bases = BaseAddresses::default().set_eh_frame(*at).set_text(self.text);
        let frames = EhFrame::new(bytes, NativeEndian);
        let header = self.eh_frame_hdr.as_ref();
        let description = header
            .and_then(|(header_at, header)| {
                let bases = bases.clone().set_eh_frame_hdr(*header_at);
                let parsed = EhFrameHdr::new(header, NativeEndian).parse(&bases, 8).ok()?;
                parsed.table()?.fde_for_address(&frames, &bases, address, EhFrame::cie_from_offset).ok()
            })
            .or_else(|| frames.fde_for_address(&bases, address, EhFrame::cie_from_offset).ok())?;
        let row = description.unwind_info_for_address(&frames, &bases, context, address).ok()?;
        Some(then(row))
    }
}
