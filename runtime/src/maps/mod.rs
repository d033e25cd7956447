//! The session's live maps: created, shared between cells, read, cleared.

mod c_data;
mod contents;
mod live;
pub mod memory;
mod places;
mod table;

use std::io;

use probebook_compiler::plan::UserMap;
use probebook_compiler::syntax::ast::Span;
use probebook_compiler::types::Type;

use crate::loader::privilege::Refusal;
use crate::text::reason;

pub use c_data::CData;
pub use contents::{clear, entry, is_empty, names_processes, snapshot, user_stack_processes, zero};
pub use live::{LiveMap, duplicate};
pub use table::{MapTable, Prepared, RemovedStack};

/// What can go wrong with a map.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    #[error(
        "{map} with {entries} entries may take up to {needed} of memory, but this session's maps may take {limit} \
         together and {used} of that are in use; lower max_map_keys or drop maps that are no longer needed"
    )]
    TooLarge { map: String, entries: u32, needed: String, limit: String, used: String },
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{map} could not be created: {}", reason(.source))]
    Create { map: String, source: io::Error },
    #[error("{map} could not be read or changed: {}", reason(.source))]
    Access { map: String, source: io::Error },
    #[error("@{} was {} and cannot become {}", .existing.name, describe(.existing), describe(.wanted))]
    TypeChanged { existing: Box<UserMap>, wanted: Box<UserMap> },
    #[error("{map} cannot be used: {what}")]
    Unsupported { map: String, what: String },
    #[error("there is no map @{0} in this session")]
    Unknown(String),
}

/// A map as `%maps` lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct MapInfo {
    /// Without `@`.
    pub name: String,
    /// `None` for a scalar map.
    pub key: Option<Type>,
    pub value: Type,
    pub entries: u64,
    pub max_entries: u32,
    /// Bytes with every key in use.
    pub bytes: u64,
    /// Where its types were fixed.
    pub defined: Span,
    pub lost_keys: u64,
}

fn describe(map: &UserMap) -> String {
    match &map.key {
        Some(key) => format!("{} keyed by {key}", map.value),
        None => map.value.to_string(),
    }
}
