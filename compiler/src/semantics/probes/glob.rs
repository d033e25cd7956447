//! Wildcards in attach points: `*`, `?` and `[abc]`.

/// Whether a text has wildcards.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?']) || text.find('[').is_some_and(|at| text.get(at..).is_some_and(|rest| rest.contains(']')))
}

/// Whether `text` matches `pattern` as a whole.
pub fn matches(pattern: &str, text: &str) -> bool {
    match_bytes(pattern.as_bytes(), text.as_bytes())
}

/// Goes back to the last `*` only, so time is at most the product of both lengths.
fn match_bytes(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(t) {
        match step(pattern.get(p..).unwrap_or_default(), byte) {
            Step::Star => {
                star = Some((p, t));
                p += 1;
            }
            Step::Match(length) => {
                p += length;
                t += 1;
            }
            Step::Mismatch => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

enum Step {
    Star,
    /// One byte matched by so many bytes of the pattern.
    Match(usize),
    Mismatch,
}

fn step(pattern: &[u8], byte: u8) -> Step {
    match pattern {
        [b'*', ..] => Step::Star,
        [b'?', ..] => Step::Match(1),
        [b'[', rest @ ..] => match rest.iter().position(|b| *b == b']') {
            Some(end) if rest.get(..end).is_some_and(|class| class.contains(&byte)) => Step::Match(end + 2),
            Some(_) => Step::Mismatch,
            None if byte == b'[' => Step::Match(1),
            None => Step::Mismatch,
        },
        [first, ..] if *first == byte => Step::Match(1),
        _ => Step::Mismatch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_questions_and_classes() {
        assert!(matches("sys_enter_*", "sys_enter_openat"));
        assert!(matches("*open*at", "sys_enter_openat"));
        assert!(matches("sys_e[xn]it_?ead", "sys_exit_read"));
        assert!(!matches("sys_enter", "sys_enter_openat"));
        assert!(!matches("*write", "sys_enter_writev"));
        assert!(matches("**", ""));
    }
}
