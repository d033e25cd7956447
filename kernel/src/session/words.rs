//! The word at a cursor.

/// Start and end, in code points, of the word that ends at or surrounds the cursor.
///
/// A word is made of letters, digits and `_`, and may start with `@`, `$` or `%`.
pub fn around(code: &[char], cursor: usize) -> (usize, usize) {
    let cursor = cursor.min(code.len());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut start = cursor;
    while start > 0 && code.get(start - 1).copied().is_some_and(is_word) {
        start -= 1;
    }
    while start > 0 && code.get(start - 1).is_some_and(|c| matches!(c, '@' | '$' | '%')) {
        start -= 1;
    }
    let mut end = cursor;
    while code.get(end).copied().is_some_and(is_word) {
        end += 1;
    }
    (start, end)
}

/// The word whose member begins at `start`, as in `args.filename` and `args->filename`: empty if it is
/// no word that the dot follows.
pub fn owner(code: &[char], start: usize) -> Option<String> {
    let before = code.get(..start)?;
    let end = match before {
        [.., '-', '>'] => before.len() - 2,
        [.., '.'] => before.len() - 1,
        _ => return None,
    };
    let (start, end) = around(code.get(..end)?, end);
    Some(code.get(start..end)?.iter().collect())
}

/// Start and end of the attach point around the cursor.
pub fn attach_point(code: &[char], cursor: usize) -> (usize, usize) {
    let cursor = cursor.min(code.len());
    let rest = code.get(cursor..).unwrap_or_default();
    let end = rest.iter().position(|c| !in_attach_point(*c)).unwrap_or(rest.len());
    (attach_point_start(code, cursor), cursor + end)
}

fn in_attach_point(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, ':' | '_' | '*' | '.' | '-' | '/' | '+')
}

/// Start of an attach point that ends at the cursor: letters, digits and `:_*.-/`.
pub fn attach_point_start(code: &[char], cursor: usize) -> usize {
    let mut start = cursor.min(code.len());
    while start > 0 && code.get(start - 1).copied().is_some_and(in_attach_point) {
        start -= 1;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_take_their_sigil_along() {
        let code: Vec<char> = "print(@lat, 5)".chars().collect();
        assert_eq!(around(&code, 8), (6, 10));
        assert_eq!(around(&code, 3), (0, 5));
        assert_eq!(around(&code, 14), (14, 14));
    }

    #[test]
    fn members_have_an_owner() {
        let owner_of = |text: &str| {
            let code: Vec<char> = text.chars().collect();
            owner(&code, around(&code, code.len()).0)
        };
        assert_eq!(owner_of("str(args.file").as_deref(), Some("args"));
        assert_eq!(owner_of("args->").as_deref(), Some("args"));
        assert_eq!(owner_of("$task->comm").as_deref(), Some("$task"));
        assert_eq!(owner_of("f(x).comm").as_deref(), Some(""));
        assert_eq!(owner_of("1 + comm"), None);
    }

    #[test]
    fn attach_points_go_on_behind_the_cursor() {
        let code: Vec<char> = "k:a, tracepoint:sched:sched_switch { }".chars().collect();
        assert_eq!(attach_point(&code, 12), (5, 34));
    }
}
