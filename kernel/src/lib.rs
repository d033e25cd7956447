//! The kernel: Jupyter wire protocol, cells, magics, rendering, command line.

pub mod cli;
pub mod doctor;
pub mod engine;
pub mod install;
pub mod jupyter;
pub mod render;
pub mod session;
pub mod signals;
