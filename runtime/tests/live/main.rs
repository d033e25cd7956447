//! Whole traces on the running kernel. Each test says why it is skipped where it cannot run.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, clippy::expect_used)]

mod begin;
mod maps;
mod probes;
mod script;
mod sink;
mod symbols;
