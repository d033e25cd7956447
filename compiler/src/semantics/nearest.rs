//! The name that was probably meant.

/// The candidate with the fewest edits from `name`, if it is close enough to be meant.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).clamp(1, 4);
    let near = |candidate: &&str| candidate.len().abs_diff(name.len()) <= limit;
    let mut row = Vec::new();
    candidates
        .filter(near)
        .filter_map(|candidate| Some((edits(name, candidate, limit, &mut row)?, candidate)))
        // Letters that have changed places are one mistake.
        .min_by_key(|(distance, candidate)| if same_letters(name, candidate) { 0 } else { *distance })
        .map(|(_, candidate)| candidate)
}

fn same_letters(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.sort_unstable();
        bytes
    };
    a.len() == b.len() && sorted(a) == sorted(b)
}

/// Levenshtein distance by bytes, if it is at most `limit`: there may be a hundred thousand candidates, and most
/// are given up after a few letters. `row` is room to work in.
fn edits(a: &str, b: &str, limit: usize, row: &mut Vec<usize>) -> Option<usize> {
    row.clear();
    row.extend(0..=b.len());
    for (i, x) in a.bytes().enumerate() {
        // Farther from the diagonal than `limit` there are more edits than that.
        let from = i.saturating_sub(limit);
        let mut diagonal = row.get(from).copied().unwrap_or(usize::MAX);
        let mut left = if from == 0 { i + 1 } else { usize::MAX - 1 };
        let mut least = left;
        if from == 0
            && let Some(first) = row.first_mut()
        {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(from + 1).zip(b.bytes().skip(from)).take(2 * limit + 1) {
            let above = *cell;
            left = (left + 1).min(above + 1).min(diagonal + usize::from(x != y));
            diagonal = above;
            *cell = left;
            least = least.min(left);
        }
        if least > limit {
            return None;
        }
    }
    row.last().copied().filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_far_off() {
        let names = ["printf", "print", "pid", "sys_enter_openat"];
        assert_eq!(nearest("pritnf", names.into_iter()), Some("printf"));
        assert_eq!(nearest("sys_enter_opnat", names.into_iter()), Some("sys_enter_openat"));
        assert_eq!(nearest("zebra", names.into_iter()), None);
    }

    /// The whole table, without a limit.
    fn all_edits(a: &str, b: &str) -> usize {
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, x) in a.bytes().enumerate() {
            let mut next = vec![i + 1];
            for (j, y) in b.bytes().enumerate() {
                next.push((row[j] + usize::from(x != y)).min(row[j + 1] + 1).min(next[j] + 1));
            }
            row = next;
        }
        row[b.len()]
    }

    proptest::proptest! {
        #[test]
        fn distances_within_the_limit_are_those_of_the_whole_table(a in "[abc]{0,9}", b in "[abc]{0,9}", limit in 1..5usize) {
            let whole = Some(all_edits(&a, &b)).filter(|distance| *distance <= limit);
            let near = a.len().abs_diff(b.len()) <= limit;
            proptest::prop_assert!(!near || edits(&a, &b, limit, &mut Vec::new()) == whole);
        }
    }
}
