//! How many CPUs there are, and which of them run.

use std::fs;

/// Numbers of the CPUs that run; at least CPU 0.
pub fn online() -> Vec<u32> {
    let text = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let cpus = parse(&text);
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// One more than the highest number that a CPU can have, as per-CPU maps count.
pub fn possible() -> u32 {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    parse(&text).last().map_or(1, |highest| highest + 1)
}

/// `0-3,8` is 0, 1, 2, 3 and 8.
fn parse(text: &str) -> Vec<u32> {
    let ranges = text.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_numbers() {
        assert_eq!(parse("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(parse("0"), [0]);
        assert!(parse("").is_empty());
    }
}
