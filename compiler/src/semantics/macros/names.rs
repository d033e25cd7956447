//! Names of a macro's own variables: unlike any that can be written, and shown as they were written.

/// Stands between a variable's name and the number of the expansion; a character that no
/// identifier can have.
const MARK: char = '\u{e000}';

/// The name of a variable of one expansion.
pub fn marked(name: &str, expansion: u32) -> String {
    format!("{name}{MARK}{expansion}")
}

/// A message with the names in it as the macro has them.
pub fn unmarked(text: &str) -> String {
    let mut pieces = text.split(MARK);
    let first = pieces.next().unwrap_or_default().to_string();
    pieces.fold(first, |shown, piece| shown + piece.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_off_again() {
        let text = format!("no ${} and ${}", marked("x", 12), marked(&marked("y1", 3), 40));
        assert_eq!(unmarked(&text), "no $x and $y1");
        assert_eq!(unmarked("$x 12"), "$x 12");
    }
}
