//! The syntax layer from outside: what parses and to which tree, what is refused and with which
//! words, and that no text at all makes it panic, hang or lie about places.

// Helpers outside of test functions may unwrap as tests do.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unreachable, clippy::unwrap_used)]

mod accepted;
mod limits;
mod properties;
mod refused;
mod shape;
mod walk;
