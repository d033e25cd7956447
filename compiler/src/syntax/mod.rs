//! Text to syntax tree: one pest grammar, a builder that gives it its shape, and the words for
//! what went wrong.

pub mod ast;
mod attach_points;
mod builder;
mod completeness;
mod delimiters;
mod errors;
mod expressions;
mod grammar;
mod habits;
mod items;
mod literals;
mod parser;
mod place;
mod statements;
mod types;

pub use attach_points::with_parameters;
pub use completeness::{Completeness, completeness};
pub use parser::{parse, parse_after, parse_expression};
pub use place::{Place, place};
