//! `strftime` and `time`.

use std::fmt::Write;

use jiff::fmt::strtime::{BrokenDownTime, Config, PosixCustom};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// `strftime(format, time)`: strftime(3) in the C locale with bpftrace's fractions of the second,
/// `%l` milliseconds, `%f` microseconds and `%k` nanoseconds.
///
/// `nanoseconds` count from 1970. The first second of 1970 gives `(?)`, as in bpftrace: it is what
/// a time that was never set looks like.
pub fn strftime(format: &str, nanoseconds: i64, zone: &TimeZone) -> String {
    if (0..1_000_000_000).contains(&nanoseconds) {
        return "(?)".into();
    }
    let time = Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default();
    let time = time.to_zoned(zone.clone());
    formatted(&with_fractions(format, time.subsec_nanosecond()), &time)
}

/// `time(format)`: strftime(3) as it is.
pub fn time(format: &str, now: &Zoned) -> String {
    let mut portable = String::with_capacity(format.len());
    each_conversion(format, |piece| match piece {
        // The hour padded with a space: bpftrace's own meaning of these is strftime()'s only.
        "%k" => portable.push_str("%_H"),
        "%l" => portable.push_str("%_I"),
        "%f" => portable.push_str("%%f"),
        other => portable.push_str(other),
    });
    formatted(&portable, now)
}

fn formatted(format: &str, time: &Zoned) -> String {
    let config = Config::new().custom(PosixCustom::new()).lenient(true);
    let broken_down = BrokenDownTime::from(time);
    broken_down.to_string_with_config(&config, format).unwrap_or_else(|_| format.to_owned())
}

fn with_fractions(format: &str, nanoseconds: i32) -> String {
    let mut out = String::with_capacity(format.len() + 16);
    each_conversion(format, |piece| {
        let _ = match piece {
            "%k" => write!(out, "{nanoseconds:09}"),
            "%f" => write!(out, "{:06}", nanoseconds / 1_000),
            "%l" => write!(out, "{:03}", nanoseconds / 1_000_000),
            other => write!(out, "{other}"),
        };
    });
    out
}

/// Cuts the format into `%` with what follows it, and the text between. The locale modifiers `E`
/// and `O` change nothing in the C locale and are left out.
fn each_conversion(format: &str, mut visit: impl FnMut(&str)) {
    let mut rest = format;
    while let Some(start) = rest.find('%') {
        let (text, conversion) = rest.split_at(start);
        visit(text);
        let after = conversion.get(1..).unwrap_or_default();
        let modified = after.strip_prefix(['E', 'O']).filter(|after| !after.is_empty());
        let after = modified.unwrap_or(after);
        let length = after.chars().next().map_or(0, char::len_utf8);
        let (letter, remaining) = after.split_at(length);
        visit(&format!("%{letter}"));
        rest = remaining;
    }
    visit(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: i64 = 1_700_000_000_123_456_789;

    fn utc(format: &str) -> String {
        strftime(format, TIME, &TimeZone::UTC)
    }

    #[test]
    fn conversions_are_those_of_the_c_library() {
        assert_eq!(utc("%m/%d/%y %H:%M:%S"), "11/14/23 22:13:20");
        assert_eq!(utc("%c|%a %b %e|%j|%s|%p %I|%%"), "Tue Nov 14 22:13:20 2023|Tue Nov 14|318|1700000000|PM 10|%");
        assert_eq!(utc("%Ey %Od %F %T %Z"), "23 14 2023-11-14 22:13:20 UTC");
    }

    #[test]
    fn fractions_are_bpftraces_own() {
        assert_eq!(utc("%S.%l %S.%f %S.%k %%f"), "20.123 20.123456 20.123456789 %f");
        let now = Timestamp::from_nanosecond(TIME.into()).unwrap().to_zoned(TimeZone::UTC);
        assert_eq!(time("%H:%M:%S\n%l|%f", &now), "22:13:20\n10|%f");
    }

    #[test]
    fn unknown_conversions_are_kept() {
        assert_eq!(utc("%v %"), "%v %");
    }

    #[test]
    fn a_time_that_was_never_set_has_no_text() {
        assert_eq!(strftime("%H", 5, &TimeZone::UTC), "(?)");
    }

    #[test]
    fn times_are_local() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(strftime("%d %H", TIME, &zone), "15 00");
    }
}
