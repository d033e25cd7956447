//! Data and maps of imported C sources: made anew for each trace, and gone with it.

use std::os::fd::{AsFd, AsRawFd, RawFd};

use aya::maps::MapData;
use aya_obj::generated::bpf_map_type;
use aya_obj::maps::PinningType;

use super::memory::Reservation;
use super::table::MapTable;
use super::{MapError, live};
use crate::loader::map_io::MapIo;
use crate::loader::object::Definition;

/// `BPF_F_RDONLY_PROG` in `linux/bpf.h`: constants, which nobody changes from then on.
const READ_ONLY: u32 = 1 << 7;
/// What the kernel adds to an element of a hash map, about.
const ELEMENT: u64 = 64;
const PER_CPU: [bpf_map_type; 3] = [
    bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY,
    bpf_map_type::BPF_MAP_TYPE_PERCPU_HASH,
    bpf_map_type::BPF_MAP_TYPE_LRU_PERCPU_HASH,
];

/// The maps of one trace, by the names that the object has for them.
#[derive(Default)]
pub struct CData {
    maps: Vec<(String, MapData, Reservation)>,
}

impl CData {
    /// Makes a map for each definition, and fills in what is there from the start.
    ///
    /// # Errors
    ///
    /// One is not of a kind that can be made here, or takes more memory than there is for maps.
    pub fn create(definitions: Vec<Definition>, table: &MapTable) -> Result<CData, MapError> {
        let maps = definitions.into_iter().map(|definition| create(definition, table));
        Ok(CData { maps: maps.collect::<Result<_, _>>()? })
    }

    /// Names and descriptors.
    pub fn descriptors(&self) -> Vec<(&str, RawFd)> {
        self.maps.iter().map(|(name, data, _)| (name.as_str(), data.fd().as_fd().as_raw_fd())).collect()
    }
}

fn create(definition: Definition, table: &MapTable) -> Result<(String, MapData, Reservation), MapError> {
    let Definition { name, map } = definition;
    let shown = format!("{name} of an imported C source");
    let unsupported = |what: &str| MapError::Unsupported { map: shown.clone(), what: what.to_owned() };
    if map.pinning() != PinningType::None {
        return Err(unsupported("maps of a trace are not pinned"));
    }
    if map.inner().is_some() {
        return Err(unsupported("maps of maps cannot be made"));
    }
    let (kind, flags) = (map.map_type(), map.map_flags());
    let (key, value, entries) = (map.key_size(), map.value_size(), map.max_entries());
    let copies = if PER_CPU.iter().any(|one| *one as u32 == kind) { u64::from(table.cpus()) } else { 1 };
    let memory = match kind {
        // Its entries are bytes.
        _ if kind == bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32 => u64::from(entries),
        _ => {
            let element = (u64::from(value) * copies).saturating_add(u64::from(key) + ELEMENT);
            element.saturating_mul(u64::from(entries))
        }
    };
    let memory = table.reserve(&shown, entries, memory)?;
    let object = aya_obj::Map::new_from_params(kind, key, value, entries, flags);
    let data =
        MapData::create(object, &kernel_name(&name), None).map_err(|error| live::refused_or(error, shown.clone()))?;
    if !map.data().is_empty() {
        let io = MapIo { fd: data.fd().as_fd(), key_size: key as usize, value_size: value as usize };
        let filled = io.update(&0u32.to_ne_bytes(), map.data());
        let filled = filled.and_then(|()| if flags & READ_ONLY != 0 { io.freeze() } else { Ok(()) });
        filled.map_err(|source| MapError::Access { map: shown, source })?;
    }
    Ok((name, data, memory))
}

/// Up to 15 letters, digits, dots and underscores.
fn kernel_name(name: &str) -> String {
    let letters = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' });
    format!("pb_c_{name}", name = letters.take(10).collect::<String>())
}
