//! Loads, attaches, keeps maps alive.
//!
//! A [`Session`] lives as long as a notebook: its maps, its symbols, what it knows of the system.
//! It starts a [`Trace`] for each plan that the compiler makes; a trace attaches its programs,
//! hands what they say to a [`events::Sink`], and sums up what was lost.

pub mod attach;
mod c;
pub mod decode;
pub mod events;
pub mod loader;
pub mod maps;
mod process;
mod session;
pub mod symbols;
pub mod system;
pub mod text;
mod trace;
pub mod value;

pub use attach::Mechanisms;
pub use session::{PreparedMaps, Session, SessionOptions, StartError, StartOptions};
pub use trace::{Measurement, Status, Summary, Trace, TraceError, TraceHandle, WeakTraceHandle};
