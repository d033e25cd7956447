//! Whole traces on the running kernel. Each test says why it is skipped where it cannot run.

mod begin;
mod maps;
mod probes;
mod script;
mod sink;
mod symbols;
