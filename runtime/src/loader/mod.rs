//! All that needs privilege, behind one narrow door: instructions and names in, descriptors out.
//!
//! Nothing here knows of sessions, probes or output. It could run in a small privileged process
//! that passes descriptors back.

pub mod bpf;
pub mod child;
pub mod control;
pub mod feature;
pub mod heap;
pub mod inspect;
pub mod limits;
pub mod link;
pub mod map_io;
pub mod mount;
pub mod object;
pub mod perf;
pub mod privilege;
pub mod program;
pub mod verifier_log;
