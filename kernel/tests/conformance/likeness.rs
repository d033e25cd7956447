//! Expected text with gaps: `{int}` and the like within a line, `...` for any number of lines.

/// What a gap takes: its name, the fewest characters, and which characters.
struct Gap {
    name: &'static str,
    least: usize,
    takes: fn(char) -> bool,
}

const GAPS: [Gap; 4] = [
    Gap { name: "{int}", least: 1, takes: |c| c.is_ascii_digit() },
    Gap { name: "{hex}", least: 1, takes: |c| c.is_ascii_digit() || ('a'..='f').contains(&c) },
    Gap { name: "{word}", least: 1, takes: |c| !c.is_whitespace() },
    Gap { name: "{any}", least: 0, takes: |_| true },
];

/// A positive number: digits that do not begin with 0.
const COUNT: &str = "{count}";

/// Whether the text is what the expected text describes.
pub fn lines_match(expected: &[&str], found: &[&str]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((&"...", rest)) => (0..=found.len()).any(|skipped| lines_match(rest, &found[skipped..])),
        Some((first, rest)) => match found.split_first() {
            Some((line, others)) => line_matches(first, line) && lines_match(rest, others),
            None => false,
        },
    }
}

/// Whether the line is what the expected line describes.
pub fn line_matches(expected: &str, found: &str) -> bool {
    if let Some(rest) = expected.strip_prefix(COUNT) {
        return !found.starts_with('0') && gap_matches(&GAPS[0], rest, found);
    }
    if let Some((gap, rest)) = GAPS.iter().find_map(|gap| Some((gap, expected.strip_prefix(gap.name)?))) {
        return gap_matches(gap, rest, found);
    }
    let (mut wanted, mut got) = (expected.chars(), found.chars());
    match (wanted.next(), got.next()) {
        (None, None) => true,
        (Some(a), Some(b)) => a == b && line_matches(wanted.as_str(), got.as_str()),
        _ => false,
    }
}

fn gap_matches(gap: &Gap, rest: &str, found: &str) -> bool {
    let ends = found.char_indices().map(|(at, c)| at + c.len_utf8());
    let lengths = found.chars().take_while(|&c| (gap.takes)(c)).count();
    let mut ends: Vec<usize> = std::iter::once(0).chain(ends.take(lengths)).skip(gap.least).collect();
    ends.reverse();
    ends.into_iter().any(|end| line_matches(rest, &found[end..]))
}

#[test]
fn gaps_take_what_their_name_says() {
    for (expected, found, matches) in [
        ("a {int} b", "a 12 b", true),
        ("a {int} b", "a x b", false),
        ("a {int}", "a ", false),
        ("{hex}", "ffffffff81000000", true),
        ("{hex}", "0x1", false),
        ("{count}", "0", false),
        ("{count} times", "10 times", true),
        ("{any}end", "the end", true),
        ("{any}", "", true),
        ("{word} {word}", "one two", true),
        ("{word}", "one two", false),
        ("{ .a = {int} }", "{ .a = 5 }", true),
    ] {
        assert_eq!(line_matches(expected, found), matches, "{expected} and {found}");
    }
}

#[test]
fn three_dots_take_lines() {
    assert!(lines_match(&["a", "...", "d"], &["a", "b", "c", "d"]));
    assert!(lines_match(&["a", "...", "d"], &["a", "d"]));
    assert!(!lines_match(&["a", "...", "d"], &["a", "b"]));
    assert!(!lines_match(&["a"], &["a", "b"]));
}
