//! Generated programs do what the intermediate form says: each is loaded and run in this machine's
//! kernel by BPF_PROG_TEST_RUN. Needs root; without it every test says so and counts as skipped.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod arithmetic;
mod harness;
mod loops;
mod memory;
mod objects;
