//! The unit of a map's values, which scripts can only tell by the map's name: `@read_ns`, `@bytes`.

/// The last word of a name that names a unit, by the unit's symbol.
const UNITS: &[(&str, &[&str])] = &[
    ("ns", &["ns", "nsec", "nsecs", "nanoseconds"]),
    ("µs", &["us", "usec", "usecs", "microseconds"]),
    ("ms", &["ms", "msec", "msecs", "milliseconds"]),
    ("s", &["s", "sec", "secs", "seconds"]),
    ("bytes", &["bytes"]),
    ("kB", &["kb", "kbytes"]),
    ("MB", &["mb", "mbytes"]),
    ("KiB", &["kib"]),
    ("MiB", &["mib"]),
    ("pages", &["pages"]),
    ("Hz", &["hz"]),
    ("%", &["pct", "percent"]),
];

/// What stands at the axis of a map's values: their unit, or just `value`.
pub fn of_values(map: &str) -> &'static str {
    let words = map.split('_').rev().map(str::to_ascii_lowercase);
    let unit = words.filter_map(|word| UNITS.iter().find(|(_, names)| names.contains(&word.as_str())));
    unit.map(|(symbol, _)| *symbol).next().unwrap_or("value")
}

/// The same, behind what an aggregation makes of the values: `sum, bytes`. Counts are of events.
pub fn of_aggregate(what: &'static str, map: &str) -> String {
    match (what, of_values(map)) {
        ("count", _) => what.into(),
        ("value", unit) => unit.into(),
        (_, "value") => what.into(),
        (_, unit) => format!("{what}, {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_units() {
        assert_eq!(of_values("read_ns"), "ns");
        assert_eq!(of_values("usecs"), "µs");
        assert_eq!(of_values("bytes_by_comm"), "bytes");
        assert_eq!(of_values("ms_to_bytes"), "bytes");
        assert_eq!(of_values(""), "value");
        assert_eq!(of_values("columns"), "value");
        assert_eq!(of_aggregate("sum", "bytes"), "sum, bytes");
        assert_eq!(of_aggregate("count", "reads_by_bytes"), "count");
        assert_eq!(of_aggregate("max", "depth"), "max");
    }
}
