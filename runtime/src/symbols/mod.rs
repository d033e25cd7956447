//! Names for numbers: kernel and user symbols, stacks, times, users, cgroups.

mod cgroups;
mod processes;
mod stacks;
mod unwind;
mod unwound;
mod user;
mod users;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::tz::TimeZone;

use crate::maps::{MapTable, RemovedStack};
use crate::system::System;
use crate::text;
use crate::value::{Frame, Resolve};

pub use user::UserSymbols;

/// What a plan's types leave open: formats by index, and how symbols are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formats {
    /// `strftime` formats.
    pub times: Vec<String>,
    /// `cgroup_path` filters, wildcards in them.
    pub cgroups: Vec<String>,
    pub show: Show,
}

/// How symbols are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Show {
    /// C++ and Rust names as their authors wrote them.
    pub demangled: bool,
    /// Source lines and inlined functions where debug information has them.
    pub debug_info: bool,
}

impl Default for Show {
    fn default() -> Show {
        Show { demangled: true, debug_info: false }
    }
}

/// Everything that a session knows of names; shared by its traces.
pub struct Symbols {
    system: Arc<System>,
    user: UserSymbols,
    stacks: stacks::StackCache,
    unwound: unwound::UnwoundStacks,
    users: users::Users,
    cgroups: cgroups::Cgroups,
    zone: TimeZone,
    /// Wall-clock time at boot as the last trace was told; 0 before the first.
    boot_time: AtomicI64,
}

impl Symbols {
    pub fn new(system: Arc<System>) -> std::io::Result<Symbols> {
        Ok(Symbols {
            user: UserSymbols::start(Arc::clone(&system))?,
            system,
            stacks: stacks::StackCache::default(),
            unwound: unwound::UnwoundStacks::default(),
            users: users::Users::default(),
            cgroups: cgroups::Cgroups::default(),
            zone: TimeZone::system(),
            boot_time: AtomicI64::new(0),
        })
    }

    pub fn user(&self) -> &UserSymbols {
        &self.user
    }

    /// Wall-clock time at boot, in nanoseconds since 1970, read anew: it is what formatted times are
    /// counted from until the next call, so that their differences are right.
    pub fn set_boot_time(&self) -> i64 {
        let now = self.system.boot_time_ns();
        self.boot_time.store(now, Ordering::Relaxed);
        now
    }

    /// See [`Symbols::set_boot_time`].
    pub fn boot_time(&self) -> i64 {
        match self.boot_time.load(Ordering::Relaxed) {
            0 => self.set_boot_time(),
            known => known,
        }
    }

    /// Unwinds what an event of `dw_ustack` holds, for when the stack is printed. Gives the process and where
    /// it has its code.
    pub fn unwind(&self, event: &[u8]) -> Option<(u32, [u64; 4])> {
        let found = self.user.unwind(event)?;
        let answer = (found.pid, found.code);
        self.unwound.put(found.id, found.pid, found.addresses);
        Some(answer)
    }

    /// How many stacks of `dw_ustack` there has been no room for so far.
    pub fn forgotten_stacks(&self) -> u64 {
        self.unwound.forgotten()
    }

    /// Forgets the stacks of a map that were removed from it.
    pub fn forget_stacks(&self, gone: &[RemovedStack]) {
        self.stacks.forget(gone);
    }

    pub fn time_zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Resolves with a plan's formats.
    pub fn resolver<'a>(&'a self, formats: &'a Formats, maps: &'a MapTable) -> Resolver<'a> {
        Resolver { symbols: self, formats, maps }
    }
}

/// Answers what decoding asks.
pub struct Resolver<'a> {
    symbols: &'a Symbols,
    formats: &'a Formats,
    maps: &'a MapTable,
}

impl Resolve for Resolver<'_> {
    fn kernel_symbol(&self, address: u64) -> String {
        match self.symbols.system.kallsyms().lookup(address) {
            Some(found) => found.name.to_owned(),
            None => hexadecimal(address),
        }
    }

    fn user_symbol(&self, address: u64, pid: u32) -> String {
        let frames = self.symbols.user.resolve(pid, vec![address], self.formats.show);
        let name = frames.into_iter().next().and_then(|frame| frame.symbol).map(|symbol| symbol.name);
        name.unwrap_or_else(|| hexadecimal(address))
    }

    fn stack(&self, user: bool, limit: u32, build_ids: bool, id: i64, pid: u32) -> Arc<Vec<Frame>> {
        self.symbols.stack(self.maps, stacks::StackKey { user, limit, build_ids, id, pid, show: self.formats.show })
    }

    fn canonical_stack(&self, id: i64, pid: u32, limit: u32) -> i64 {
        self.symbols.unwound.canonical(id, pid, limit)
    }

    fn time(&self, nanoseconds: u64, format: u32) -> String {
        let format = self.formats.times.get(format as usize).map_or("%H:%M:%S", String::as_str);
        let since_1970 = self.symbols.boot_time().saturating_add_unsigned(nanoseconds);
        text::strftime(format, since_1970, &self.symbols.zone)
    }

    fn cgroup_path(&self, id: u64, filter: u32) -> String {
        let filter = self.formats.cgroups.get(filter as usize).map_or("*", String::as_str);
        self.symbols.cgroups.path(id, filter)
    }

    fn username(&self, uid: u64) -> String {
        self.symbols.users.name(uid)
    }
}

/// An address that nothing is known of.
fn hexadecimal(address: u64) -> String {
    format!("{address:#x}")
}
