//! bpftrace's own text and JSON formats.
//!
//! What bpftrace prints is reproduced to the byte, with one deliberate difference: bytes that come
//! from the traced system never reach the reader as control characters (see [`escape`]).

mod escape;
mod format;
mod gfp;
pub mod json;
mod map;
mod printf;
mod stack;
mod time;
mod tseries;
mod value;

#[cfg(test)]
mod tests;

use jiff::tz::TimeZone;

pub use escape::{Escaper, push_escaped};
pub use format::{Format, FormatError};
pub use map::{SEPARATOR, map, map_entry};
pub use printf::EventFormat;
pub use time::{strftime, time};
pub use tseries::clock;
pub use value::{key, print, value};

/// What the text of a value depends on besides the value.
#[derive(Clone, Debug)]
pub struct TextOptions {
    /// Follows a string that was cut (`str_trunc_trailer`).
    pub truncation_trailer: String,
    pub time_zone: TimeZone,
}

impl Default for TextOptions {
    /// bpftrace's trailer, the system's time zone, and times counted as if from 1970.
    fn default() -> TextOptions {
        TextOptions { truncation_trailer: "..".into(), time_zone: TimeZone::system() }
    }
}

/// What went wrong with a system call, as strerror(3) says it.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
