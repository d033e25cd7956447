//! What people write who are used to another language, and how that is written here.

/// Words that begin what stands outside of probes.
const ITEMS: [&str; 8] = ["macro", "fn", "import", "config", "struct", "union", "enum", "typedef"];
const KEYWORDS: [&str; 10] = ["if", "else", "for", "while", "unroll", "let", "return", "break", "continue", "import"];

/// A hint, if the grammar did not know the way from `before`, which is what the statement has so far, to
/// `token` because of such a habit.
pub(super) fn hint(before: &str, token: &str) -> Option<String> {
    let before = before.trim();
    let word = last_word(before);
    let is_logic = |word: &str| matches!(word, "and" | "or" | "not");
    if is_logic(word) || is_logic(token) {
        return Some("`and` is written &&, `or` ||, and `not` !".into());
    }
    let is_argument = before.ends_with(['(', ',']);
    if let Some(item) = [word, token].into_iter().find(|word| ITEMS.contains(word))
        && !is_argument
    {
        return Some(format!("`{item}` belongs outside of probes"));
    }
    if token == "{" && ["elseif", "elsif", "elif"].iter().any(|word| before.starts_with(word)) {
        return Some("write else if (…) { … }".into());
    }
    if token == "{" && before.starts_with("switch") {
        return Some("choose by if (…) { … } else if (…) { … }".into());
    }
    if word.is_empty() || KEYWORDS.contains(&word) || word != before {
        return None;
    }
    if token.starts_with('$') {
        return Some(format!("to declare a variable: let {token} = …, or with a type: let {token}: int32 = …"));
    }
    let is_name = token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !KEYWORDS.contains(&token);
    is_name.then(|| format!("a variable is `$` and a name; with a type: let ${token}: int32 = …"))
}

/// The word that a text ends with, if it is one without `$` or `@`.
pub(super) fn last_word(text: &str) -> &str {
    let start = text.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).map_or(0, |at| at + 1);
    match text.get(..start).unwrap_or_default().ends_with(['$', '@']) {
        true => "",
        false => text.get(start..).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_of_other_languages_are_known() {
        let known = |before, token| hint(before, token).unwrap_or_default();
        assert!(known("int", "x").contains("let $x: int32"));
        assert!(known("var", "$x").contains("let $x = "));
        assert!(known("$x = 5", "and").contains("&&"));
        assert!(known("elif (2)", "{").contains("else if"));
        assert!(known("macro", "x").contains("outside"));
        assert!(known("switch (x)", "{").contains("else if"));
    }

    #[test]
    fn what_is_merely_unfinished_is_none() {
        for (before, token) in
            [("print(1)", "print"), ("$x = 1", "$y"), ("@count += 1", "if"), ("return", "x"), ("", "x")]
        {
            assert_eq!(hint(before, token), None, "{before} {token}");
        }
    }
}
