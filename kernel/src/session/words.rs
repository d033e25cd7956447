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

/// Start of an attach point that ends at the cursor: letters, digits and `:_*.-/`.
pub fn attach_point_start(code: &[char], cursor: usize) -> usize {
    let mut start = cursor.min(code.len());
    let belongs = |c: char| c.is_alphanumeric() || matches!(c, ':' | '_' | '*' | '.' | '-' | '/' | '+');
    while start > 0 && code.get(start - 1).copied().is_some_and(belongs) {
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
}
