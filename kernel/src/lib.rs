//! The kernel: Jupyter wire protocol, cells, magics, rendering, command line.

pub mod install;
pub mod jupyter;
