//! One BPF map that exists: its descriptor, its plan, and what was lost in it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::MapData;
use aya_obj::generated::bpf_map_type;
use probebook_compiler::plan::{MapKind, MapPlan, MapRole, UserMap};

use super::MapError;
use super::memory::{Budget, Reservation, footprint, grows_on_demand, preallocated_keys};
use crate::loader::map_io::MapIo;
use crate::loader::privilege::Refusal;
use crate::symbols::Formats;
use crate::system::memory::human;

/// Flags of BPF_MAP_CREATE (`linux/bpf.h`).
const BPF_F_NO_PREALLOC: u32 = 1;
const BPF_F_STACK_BUILD_ID: u32 = 1 << 5;
const BPF_F_RDONLY_PROG: u32 = 1 << 7;
const BPF_F_MMAPABLE: u32 = 1 << 10;

/// A map in the kernel; it lives as long as this value and the programs that use it.
pub struct LiveMap {
    data: MapData,
    plan: MapPlan,
    cpus: u32,
    /// What `strftime` formats and cgroup filters in its types mean.
    formats: Arc<Formats>,
    lost_keys: AtomicU64,
    memory: Reservation,
}

impl LiveMap {
    pub fn create(
        plan: &MapPlan,
        cpus: u32,
        formats: &Arc<Formats>,
        budget: &Arc<Budget>,
    ) -> Result<LiveMap, MapError> {
        let name = display_name(&plan.role);
        let bytes = footprint(plan, cpus);
        let memory = reserve(budget, &name, plan.max_entries, bytes)?;
        let data = create(plan, cpus).map_err(|error| refused_or(error, name))?;
        let map = LiveMap {
            data,
            plan: plan.clone(),
            cpus,
            formats: Arc::clone(formats),
            lost_keys: AtomicU64::new(0),
            memory,
        };
        if let MapRole::Constants { bytes } = &plan.role {
            map.fill_constants(bytes)?;
        }
        Ok(map)
    }

    /// Writes the constants and closes the map for writing, so the verifier may rely on them.
    fn fill_constants(&self, bytes: &[u8]) -> Result<(), MapError> {
        let mut value = bytes.to_vec();
        value.resize(self.plan.value_size as usize, 0);
        let written = self.io().update(&0u32.to_ne_bytes(), &value).and_then(|()| self.io().freeze());
        written.map_err(|source| MapError::Access { map: self.name(), source })
    }

    pub fn plan(&self) -> &MapPlan {
        &self.plan
    }

    /// What the script's author knows it as, if it is one of theirs.
    pub fn user(&self) -> Option<&UserMap> {
        match &self.plan.role {
            MapRole::User(user) => Some(user),
            _ => None,
        }
    }

    /// `@name`, or what it is for.
    pub fn name(&self) -> String {
        display_name(&self.plan.role)
    }

    pub fn formats(&self) -> &Arc<Formats> {
        &self.formats
    }

    /// Bytes that were set aside for it.
    pub fn bytes(&self) -> u64 {
        self.memory.bytes()
    }

    /// With how many keys it would have all of its memory from the start.
    pub fn preallocated_keys(&self) -> u64 {
        preallocated_keys(&self.plan, self.cpus)
    }

    pub fn raw_fd(&self) -> RawFd {
        self.data.fd().as_fd().as_raw_fd()
    }

    /// New keys that found no place in it since it was created.
    pub fn lost_keys(&self) -> u64 {
        self.lost_keys.load(Ordering::Relaxed)
    }

    pub fn add_lost_keys(&self, count: u64) {
        self.lost_keys.fetch_add(count, Ordering::Relaxed);
    }

    /// Copies of a value that user space sees, and bytes from one to the next.
    pub fn copies(&self) -> (usize, usize) {
        let size = self.plan.value_size as usize;
        if self.plan.kind.is_per_cpu() { (self.cpus as usize, size.next_multiple_of(8)) } else { (1, size) }
    }

    pub fn io(&self) -> MapIo<'_> {
        let (copies, stride) = self.copies();
        MapIo { fd: self.as_fd(), key_size: self.plan.key_size as usize, value_size: copies * stride }
    }
}

impl AsFd for LiveMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.data.fd().as_fd()
    }
}

/// A descriptor of our own for the map, for aya's ring buffer reader.
pub fn duplicate(map: &LiveMap) -> Result<MapData, aya::maps::MapError> {
    let fd = map.as_fd().try_clone_to_owned().map_err(aya::maps::MapError::IoError)?;
    MapData::from_fd(fd)
}

/// Takes a map's part of what all maps may take.
pub(super) fn reserve(budget: &Arc<Budget>, name: &str, entries: u32, bytes: u64) -> Result<Reservation, MapError> {
    budget.reserve(bytes).map_err(|used| MapError::TooLarge {
        map: name.to_owned(),
        entries,
        needed: human(bytes),
        limit: human(budget.limit()),
        used: human(used),
    })
}

fn create(plan: &MapPlan, cpus: u32) -> Result<MapData, aya::maps::MapError> {
    let mut flags = 0;
    if grows_on_demand(plan, cpus) {
        flags |= BPF_F_NO_PREALLOC;
    }
    match plan.role {
        MapRole::Control => flags |= BPF_F_MMAPABLE,
        MapRole::Constants { .. } => flags |= BPF_F_RDONLY_PROG,
        MapRole::Stacks { build_ids: true, .. } => flags |= BPF_F_STACK_BUILD_ID,
        _ => {}
    }
    let (key_size, value_size) = match plan.kind {
        MapKind::RingBuffer => (0, 0),
        _ => (plan.key_size, plan.value_size),
    };
    let object =
        aya_obj::Map::new_from_params(kernel_type(plan.kind) as u32, key_size, value_size, plan.max_entries, flags);
    MapData::create(object, &kernel_name(&plan.role), None)
}

pub(super) fn refused_or(error: aya::maps::MapError, map: String) -> MapError {
    match error {
        aya::maps::MapError::CreateError { io_error, .. } => match Refusal::of(&io_error, "creating a BPF map") {
            Some(refusal) => refusal.into(),
            None => MapError::Create { map, source: io_error },
        },
        other => MapError::Create { map, source: io::Error::other(other) },
    }
}

fn kernel_type(kind: MapKind) -> bpf_map_type {
    match kind {
        MapKind::Array => bpf_map_type::BPF_MAP_TYPE_ARRAY,
        MapKind::PerCpuArray => bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY,
        MapKind::Hash => bpf_map_type::BPF_MAP_TYPE_HASH,
        MapKind::LruHash => bpf_map_type::BPF_MAP_TYPE_LRU_HASH,
        MapKind::PerCpuHash => bpf_map_type::BPF_MAP_TYPE_PERCPU_HASH,
        MapKind::LruPerCpuHash => bpf_map_type::BPF_MAP_TYPE_LRU_PERCPU_HASH,
        MapKind::StackTrace => bpf_map_type::BPF_MAP_TYPE_STACK_TRACE,
        MapKind::RingBuffer => bpf_map_type::BPF_MAP_TYPE_RINGBUF,
        MapKind::PerfEventArray => bpf_map_type::BPF_MAP_TYPE_PERF_EVENT_ARRAY,
    }
}

/// What `bpftool map` shows: up to 15 letters, digits, dots and underscores.
fn kernel_name(role: &MapRole) -> String {
    let name = match role {
        MapRole::User(user) => format!("pb_{}", user.name),
        MapRole::Stacks { user, limit, .. } => format!("pb_{}stack_{limit}", if *user { "u" } else { "k" }),
        MapRole::Events => "pb_events".into(),
        MapRole::Errors => "pb_errors".into(),
        MapRole::CodeRanges => "pb_code".into(),
        MapRole::UnwoundIds => "pb_unwound".into(),
        MapRole::Packets => "pb_packets".into(),
        MapRole::Control => "pb_control".into(),
        MapRole::Counters => "pb_losses".into(),
        MapRole::Scratch => "pb_scratch".into(),
        MapRole::Constants { .. } => "pb_constants".into(),
    };
    name.chars().take(15).map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn display_name(role: &MapRole) -> String {
    match role {
        MapRole::User(user) => format!("@{}", user.name),
        MapRole::Stacks { user: true, limit, .. } => format!("the map of user stacks of {limit} frames"),
        MapRole::Stacks { user: false, limit, .. } => format!("the map of kernel stacks of {limit} frames"),
        MapRole::Events => "the ring buffer".into(),
        MapRole::Errors => "the ring buffer for errors".into(),
        MapRole::CodeRanges => "the map of code ranges".into(),
        MapRole::UnwoundIds => "the map of stacks that were unwound".into(),
        MapRole::Packets => "the buffers for packets".into(),
        MapRole::Control => "the control map".into(),
        MapRole::Counters => "the map of losses".into(),
        MapRole::Scratch => "the scratch map".into(),
        MapRole::Constants { .. } => "the map of constants".into(),
    }
}
