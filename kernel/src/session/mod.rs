//! A notebook's session: cells, magics, background jobs, completion, inspection.

mod cell;
mod complete;
pub mod documentation;
mod errors;
mod jobs;
mod magics;
mod notebook;
mod notebook_sink;
pub mod probe_list;
mod tables;
mod words;

pub use notebook::Notebook;
