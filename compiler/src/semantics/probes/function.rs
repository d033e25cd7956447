//! Places in functions as they are written: `function+0x10`.

/// `function`, `function+0x10`: name and offset.
pub(super) fn split_offset(text: &str) -> Option<(&str, u64)> {
    match text.rsplit_once('+') {
        None => Some((text, 0)),
        Some((name, offset)) => Some((name, parse_number(offset)?)),
    }
}

pub(super) fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
