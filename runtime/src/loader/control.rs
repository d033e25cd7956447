//! The control map seen as memory: the gate that stops programs, and what `exit()` left.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use probebook_compiler::plan::Control;

/// How a script ended itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitRequest {
    pub code: i32,
    /// After a failed assertion or `fail`, not `exit()`.
    pub failed: bool,
}

/// The value of a control map, shared with the running programs.
pub struct ControlPage {
    map: MmapRaw,
}

impl ControlPage {
    /// Maps the value of an array that was created with `BPF_F_MMAPABLE`.
    pub fn new(map: BorrowedFd<'_>) -> io::Result<ControlPage> {
        let length = Control::SIZE as usize;
        let map = MmapOptions::new().len(length).map_raw(map.as_raw_fd())?;
        Ok(ControlPage { map })
    }

    /// Lets programs run, or makes them do nothing.
    pub fn set_gate(&self, open: bool) {
        self.word(Control::GATE).store(u32::from(open), Ordering::SeqCst);
    }

    /// Notes when the script started, in nanoseconds since boot, and when the system did, since 1970.
    pub fn set_times(&self, start: u64, boot: u64) {
        self.long(Control::START).store(start, Ordering::SeqCst);
        self.long(Control::BOOT_TIME).store(boot, Ordering::SeqCst);
    }

    /// Notes the `-c` command's process id (0: there is none), and by how many nanoseconds the TAI
    /// clock is ahead of the one since boot.
    pub fn set_surroundings(&self, child: u32, tai_offset: i64) {
        self.word(Control::CHILD).store(child, Ordering::SeqCst);
        self.long(Control::TAI_OFFSET).store(tai_offset.cast_unsigned(), Ordering::SeqCst);
    }

    fn long(&self, offset: u32) -> &AtomicU64 {
        // SAFETY: as in `word`; the offsets are multiples of eight.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(offset as usize).cast()) }
    }

    pub fn gate_is_open(&self) -> bool {
        self.word(Control::GATE).load(Ordering::SeqCst) != 0
    }

    /// Takes back that a program has asked for the end.
    pub fn forget_exit(&self) {
        self.word(Control::EXIT).store(0, Ordering::SeqCst);
    }

    /// Whether a program has asked for the end.
    pub fn exit_request(&self) -> Option<ExitRequest> {
        match self.word(Control::EXIT).load(Ordering::Acquire) {
            0 => None,
            how => Some(ExitRequest { code: self.code().load(Ordering::Acquire), failed: how == 2 }),
        }
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the mapping is at least `Control::SIZE` bytes, page aligned, and lives as long
        // as `self`; the offsets are multiples of four below that; programs write with the same width.
        unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(offset as usize).cast()) }
    }

    fn code(&self) -> &AtomicI32 {
        // SAFETY: as in `word`.
        unsafe { AtomicI32::from_ptr(self.map.as_mut_ptr().add(Control::EXIT_CODE as usize).cast()) }
    }
}
