//! Says in words what the grammar did not accept: where, what was expected there, and where known
//! what to do.

use pest::error::{Error, ErrorVariant, InputLocation};

use super::ast::{SourceId, Span};
use super::builder::{MAX_HEIGHT, MAX_NESTING};
use super::delimiters::{Scan, Unterminated, closer, scan, skip_layout, word_length};
use super::grammar::Rule;
use super::habits;
use crate::diagnostics::Diagnostic;

/// Probe types whose name at the beginning of a line means that a new probe was meant to begin.
const PROVIDERS: [&str; 24] = [
    "begin",
    "end",
    "BEGIN",
    "END",
    "kprobe",
    "kretprobe",
    "uprobe",
    "uretprobe",
    "tracepoint",
    "rawtracepoint",
    "usdt",
    "profile",
    "interval",
    "software",
    "hardware",
    "watchpoint",
    "fentry",
    "fexit",
    "iter",
    "self",
    "bench",
    "test",
    "kfunc",
    "kretfunc",
];

/// The longest list of alternatives that still helps; longer ones are given as what was found.
const MOST_ALTERNATIVES: usize = 4;

pub(super) fn too_long(source: SourceId) -> Diagnostic {
    let span = Span { source, ..Span::default() };
    Diagnostic::error("script-too-long", span, "a script must be smaller than 4 GiB")
}

pub(super) fn too_deep(span: Span) -> Diagnostic {
    let message = "this is nested too deeply";
    Diagnostic::error("nesting-too-deep", span, message)
        .hint(format!("at most {MAX_NESTING} brackets may be open, and {MAX_HEIGHT} operators build on each other"))
}

/// The grammar and the tree builder disagree: a fault of this program, told as one.
pub(super) fn incoherent(span: Span, what: &str) -> Diagnostic {
    Diagnostic::error("internal-error", span, format!("the parser contradicts itself: {what}"))
}

/// The diagnostic for a text that the grammar refused.
pub(super) fn explain(text: &str, source: SourceId, error: &Error<Rule>) -> Diagnostic {
    let place = match error.location {
        InputLocation::Pos(place) => place,
        InputLocation::Span((start, _)) => start,
    };
    let ErrorVariant::ParsingError { positives, .. } = &error.variant else {
        return too_deep(deepest(text, source));
    };
    let place = skip_layout(text, place.min(text.len()));
    let refusal = Refusal { text, source, place, expected: positives, scan: scan(text, place) };
    refusal.explain()
}

/// The innermost bracket, for a text that nests too deeply for pest.
fn deepest(text: &str, source: SourceId) -> Span {
    let (mut depth, mut most, mut at) = (0_usize, 0, 0);
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth > most {
            (most, at) = (depth, offset);
        }
        if most > MAX_NESTING {
            break;
        }
    }
    Span { source, start: at as u32, end: (at + 1).min(text.len()) as u32 }
}

/// A place in a text at which the grammar knew no way on.
struct Refusal<'t> {
    text: &'t str,
    source: SourceId,
    place: usize,
    expected: &'t [Rule],
    scan: Scan,
}

impl<'t> Refusal<'t> {
    fn explain(&self) -> Diagnostic {
        self.unterminated()
            .or_else(|| self.unfinished_definition())
            .or_else(|| self.outside_probe())
            .or_else(|| self.unfinished())
            .or_else(|| self.probe_inside_block())
            .or_else(|| self.unknown_character())
            .or_else(|| self.wrong_closer())
            .or_else(|| self.assignment_for_comparison())
            .or_else(|| self.bare_condition())
            .or_else(|| self.missing_semicolon())
            .unwrap_or_else(|| self.unexpected())
    }

    // ---- what is there ----

    fn span(&self, start: usize, end: usize) -> Span {
        Span { source: self.source, start: start as u32, end: end as u32 }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.place..).unwrap_or_default()
    }

    /// The sign or word that was not expected.
    fn token(&self) -> &'t str {
        let rest = self.rest();
        let sigil = usize::from(rest.starts_with(['$', '@']));
        let word = word_length(rest.get(sigil..).unwrap_or_default());
        let length = match rest.chars().next() {
            _ if word > 0 => sigil + word,
            Some('"') => rest.get(1..).and_then(|r| r.find(['"', '\n'])).map_or(1, |end| end + 2),
            Some(first) => OPERATORS
                .iter()
                .find(|operator| rest.starts_with(**operator))
                .map_or(first.len_utf8(), |operator| operator.len()),
            None => 0,
        };
        rest.get(..length).unwrap_or_default()
    }

    fn token_span(&self) -> Span {
        self.span(self.place, self.place + self.token().len())
    }

    /// The token as it may be quoted in a message.
    fn found(&self) -> String {
        match self.token() {
            "" => "the end of the script".into(),
            token if token.starts_with('"') => "a string".into(),
            token => format!("`{}`", token.escape_debug()),
        }
    }

    fn expects(&self, rule: Rule) -> bool {
        self.expected.contains(&rule)
    }

    /// An expression may end here, or does: what ends it is looked for before operators are.
    fn after_operand(&self) -> bool {
        use Rule::*;
        [binary_operator, assignment_operator, close_parenthesis, close_bracket, slash]
            .iter()
            .any(|rule| self.expects(*rule))
    }

    fn enclosing(&self) -> Option<(char, usize)> {
        self.scan.open.last().copied()
    }

    fn error(&self, id: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(id, self.token_span(), message)
    }

    // ---- the cases ----

    fn unterminated(&self) -> Option<Diagnostic> {
        Some(match self.scan.unterminated? {
            Unterminated::String { start, end } => {
                let span = self.span(start, end);
                Diagnostic::error("unterminated-string", span, "this string has no end")
                    .label("a closing `\"` is missing on this line")
                    .hint("a string stays on one line; write a line break as \\n")
            }
            Unterminated::Comment { start } => {
                let span = self.span(start, self.text.trim_end().len());
                Diagnostic::error("unterminated-comment", span, "this comment has no end")
                    .hint("a comment that begins with /* ends with */")
            }
        })
    }

    /// The text ends too early.
    fn unfinished(&self) -> Option<Diagnostic> {
        if !self.rest().is_empty() {
            return None;
        }
        let end = self.text.trim_end().len();
        let here = self.span(end, end);
        let Some(open) = self.enclosing() else {
            let message = format!("the script ends where {} is expected", self.wanted());
            return Some(Diagnostic::error("unexpected-end", here, message));
        };
        Some(self.unclosed(open))
    }

    /// A C definition is hardly more than a token to the grammar, and refused near its beginning.
    fn unfinished_definition(&self) -> Option<Diagnostic> {
        let whole = scan(self.text, self.text.len());
        let item = self.text.get(whole.item..)?;
        let is_c = matches!(item.get(..word_length(item))?, "struct" | "union" | "enum" | "typedef");
        let open = whole.open.first().copied()?;
        (is_c && whole.item <= self.place).then(|| self.unclosed(open))
    }

    /// The text ends while a bracket is open.
    fn unclosed(&self, (open, at): (char, usize)) -> Diagnostic {
        let end = self.text.trim_end().len();
        let here = self.span(end, end);
        let id = match open {
            '(' => "unclosed-parenthesis",
            '[' => "unclosed-bracket",
            _ => "unclosed-brace",
        };
        let message = format!("`{}` is missing at the end", closer(open));
        let diagnostic = Diagnostic::error(id, here, message);
        diagnostic.also(self.span(at, at + 1), format!("this `{open}` is never closed"))
    }

    /// A line that begins like a probe while a block is open.
    fn probe_inside_block(&self) -> Option<Diagnostic> {
        let &(open, at) = self.scan.open.iter().find(|open| open.0 == '{')?;
        let before = self.text.get(..self.place)?;
        let start = before.rfind('\n')? + 1;
        let line = self.text.get(start..)?;
        let provider = line.get(..word_length(line))?;
        let follows = line.get(provider.len()..)?.trim_start_matches([' ', '\t']);
        let header = follows.starts_with([':', '{', '/', '\n', ',']);
        if start <= at || !PROVIDERS.contains(&provider) || !header {
            return None;
        }
        let span = self.span(start, start + provider.len());
        let message = format!("a new probe begins before `{}` has closed the last one", closer(open));
        let diagnostic = Diagnostic::error("unclosed-brace", span, message);
        Some(diagnostic.also(self.span(at, at + 1), "this `{` is never closed"))
    }

    fn unknown_character(&self) -> Option<Diagnostic> {
        let first = self.rest().chars().next()?;
        let known = first.is_ascii_alphanumeric()
            || "_$@\"(){}[]<>=!~+-*/%&|^?:;,.".contains(first)
            || (first == '#' && self.enclosing().is_none());
        if known {
            return None;
        }
        let shown = first.escape_debug();
        let diagnostic = self.error("unknown-character", format!("`{shown}` has no meaning here"));
        Some(match first {
            '\'' | '‘' | '’' => {
                diagnostic.hint("strings are written in double quotes; a character is written as its number")
            }
            '“' | '”' | '„' => diagnostic.hint("strings are written in plain double quotes: \""),
            '#' => diagnostic.hint("a comment begins with //"),
            _ => diagnostic,
        })
    }

    fn wrong_closer(&self) -> Option<Diagnostic> {
        let found = self.rest().chars().next().filter(|c| matches!(c, ')' | ']' | '}'))?;
        match self.enclosing() {
            None => {
                let message = format!("there is nothing for this `{found}` to close");
                Some(self.error("unmatched-closer", message))
            }
            Some((open, at)) if closer(open) != found => {
                let id = match open {
                    '(' => "unclosed-parenthesis",
                    '[' => "unclosed-bracket",
                    _ => "unclosed-brace",
                };
                let message = format!("`{}` is missing before this `{found}`", closer(open));
                let opener = self.span(at, at + 1);
                Some(self.error(id, message).also(opener, format!("this `{open}` is still open")))
            }
            Some(_) => None,
        }
    }

    /// Statements where only probes may stand.
    fn outside_probe(&self) -> Option<Diagnostic> {
        let in_header = self.enclosing().is_none() && self.expects(Rule::block);
        let header = self.text.get(self.scan.item..self.place)?;
        let first = header.chars().next()?;
        let provider = header.split(':').next()?;
        let like_code = matches!(first, '$' | '@' | '(' | '"')
            || provider.contains('(')
            || self.rest().starts_with(['=', '(', ';', '+', '-']);
        if !in_header || !like_code || header.starts_with("macro") || header.starts_with("fn ") {
            return None;
        }
        let span = self.span(self.scan.item, self.scan.item + header.trim_end().len());
        let message = "statements belong in a probe";
        Some(Diagnostic::error("code-outside-probe", span, message).hint("to run them once, at the start: begin { … }"))
    }

    fn assignment_for_comparison(&self) -> Option<Diagnostic> {
        let single = self.rest().starts_with('=') && !self.rest().starts_with("==");
        let statement = self.enclosing().is_some_and(|open| open.0 == '{');
        let condition = self.expects(Rule::block);
        if !single || (statement && !condition) || !(self.after_operand() || condition) {
            return None;
        }
        let message = "`=` assigns, and cannot stand here";
        Some(self.error("assignment-in-expression", message).hint("to compare, use `==`"))
    }

    /// `if pid == 1 {`
    fn bare_condition(&self) -> Option<Diagnostic> {
        let operator = OPERATORS.contains(&self.token());
        if !operator || !self.expects(Rule::block) || self.enclosing()?.0 != '{' {
            return None;
        }
        let message = format!("a block is expected here, not {}", self.found());
        Some(
            self.error("syntax-error", message)
                .hint("a condition of more than one part needs parentheses: if (a == b) { … }"),
        )
    }

    /// Two statements side by side.
    fn missing_semicolon(&self) -> Option<Diagnostic> {
        let in_block = self.enclosing().is_some_and(|open| open.0 == '{');
        let between = self.expects(Rule::semicolon) && !self.expects(Rule::block_statement);
        if !in_block || !between || !self.starts_statement() {
            return None;
        }
        let found = self.found();
        let mut diagnostic = self.error("missing-semicolon", format!("`;` is missing before {found}"));
        if let Some(hint) = habits::hint(self.statement(), self.token()) {
            diagnostic = diagnostic.hint(hint);
        }
        let between = self.text.get(self.scan.last_end..self.place)?;
        if !between.contains('\n') {
            return Some(diagnostic);
        }
        let end = self.span(self.scan.last_end, self.scan.last_end);
        Some(diagnostic.also(end, "`;` belongs here"))
    }

    /// What the statement at the place has before it.
    fn statement(&self) -> &'t str {
        let before = self.text.get(..self.place).unwrap_or_default();
        let start = before.rfind([';', '{', '}']).map_or(0, |at| at + 1);
        before.get(start..).unwrap_or_default()
    }

    fn starts_statement(&self) -> bool {
        let first = self.rest().chars().next().unwrap_or_default();
        first.is_ascii_alphanumeric() || matches!(first, '_' | '$' | '@' | '"' | '{' | '(')
    }

    fn unexpected(&self) -> Diagnostic {
        let wanted = self.wanted();
        let message = match wanted.as_str() {
            "" => format!("{} is not expected here", self.found()),
            _ => format!("expected {wanted}, found {}", self.found()),
        };
        let mut diagnostic = self.error("syntax-error", message);
        if let Some((open @ ('(' | '['), at)) = self.enclosing()
            && wanted.contains(&format!("`{}`", closer(open)))
        {
            diagnostic = diagnostic.also(self.span(at, at + 1), format!("this `{open}` is still open"));
        }
        let habit = self.enclosing().and_then(|_| habits::hint(self.statement(), self.token()));
        match habit.or_else(|| self.hint().map(str::to_owned)) {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        }
    }

    /// The way out of common mistakes.
    fn hint(&self) -> Option<&'static str> {
        let inside = self.enclosing().map(|open| open.0);
        Some(match self.token() {
            "(" if habits::last_word(self.statement().trim_end()) == "for" => {
                "a loop counts over a range, for ($i : 0..3) { … }, or goes over a map, for ($kv : @map) { … }"
            }
            "{" if inside.is_none() && self.expects(Rule::colon) => {
                "a function says what it returns: fn name($x : int64) : int64 { … }, or void"
            }
            "else" => "`else` follows the `}` of an `if`",
            "$" => "a variable is `$` and a name",
            "struct" | "union" | "enum" if inside == Some('(') => "a type is given to a macro or function as typeof(…)",
            ":" if inside == Some('{') => "to give a variable a type, declare it: let $x: int64 = …",
            ";" if inside.is_none() => "a `;` ends statements, not probes",
            "{" if self.expects(Rule::slash) => "a predicate ends with a slash: /pid == 1/ { … }",
            token if OPERATORS.contains(&token) && self.is_bound() => {
                "a bound of more than one part needs parentheses: 0..(a + b)"
            }
            _ if inside == Some('[') && self.expects(Rule::integer) => "the length of a type is written as a number",
            _ if inside == Some('{') && self.expects(Rule::block) && self.ends_head() => {
                "what an `if` or a loop runs is a block: { … }"
            }
            _ if self.expects(Rule::config_value) => "a setting is a number, a word, a string, true or false",
            _ => return None,
        })
    }

    /// Behind the condition of an `if` or a loop, or behind `else`.
    fn ends_head(&self) -> bool {
        let statement = self.statement().trim_end();
        statement.ends_with(')') || habits::last_word(statement) == "else"
    }

    /// In the head of a `for`, whose bounds are operands.
    fn is_bound(&self) -> bool {
        self.expects(Rule::member) && !self.expects(Rule::binary_operator)
    }

    /// What may stand here, in words.
    fn wanted(&self) -> String {
        let mut words: Vec<&str> = Vec::new();
        for word in self.expected.iter().filter_map(|rule| wording(*rule)) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
        // The more general word says it all.
        if words.contains(&STATEMENT) && !self.after_operand() {
            words.retain(|word| *word == STATEMENT);
        } else if words.contains(&VALUE) {
            words.retain(|word| *word == VALUE || word.starts_with("`)"));
        }
        match words.as_slice() {
            [] => String::new(),
            [only] => (*only).into(),
            [most @ .., last] if words.len() <= MOST_ALTERNATIVES => {
                format!("{} or {last}", most.join(", "))
            }
            _ => format!("{} or something like it", words.first().copied().unwrap_or_default()),
        }
    }
}

const VALUE: &str = "an expression";
const STATEMENT: &str = "a statement";

/// Signs of more than one character, longest first, and the operators of one.
const OPERATORS: [&str; 40] = [
    "<<=", ">>=", "...", "||", "&&", "==", "!=", "<=", ">=", "<<", ">>", "+=", "-=", "*=", "/=", "%=", "&=", "|=",
    "^=", "++", "--", "->", "..", "=", "<", ">", "+", "-", "*", "/", "%", "&", "|", "^", "?", "!", "~", ".", ":", ",",
];

/// What a rule is called in messages; `None` for what is never worth mentioning.
fn wording(rule: Rule) -> Option<&'static str> {
    use Rule::*;
    Some(match rule {
        expression | unary | parenthesized | reference => VALUE,
        variable => "a variable ($name)",
        string => "a string",
        integer => "a number",
        close_parenthesis => "`)`",
        close_bracket => "`]`",
        close_brace => "`}`",
        trailing_comma => "`,`",
        binary_operator | assignment_operator => "an operator",
        block => "`{`",
        condition => "a condition",
        type_name | named_type | type_or_expression | c_type | aggregate_type => "a type",
        attach_point | probe => "a probe",
        predicate => "a predicate",
        semicolon => "`;`",
        slash => "`/`",
        colon => "`:`",
        equals => "`=`",
        word | identifier | digits => "a name",
        map_name => "a map (@name)",
        macro_parameters => "`(`",
        arguments => "`(`",
        record_field => "a field (name=value)",
        config_entry => "a setting (name=value)",
        config_value => "a value",
        parameter => "a parameter ($name: type)",
        kw_else => "`else`",
        block_statement => STATEMENT,
        _ => return None,
    })
}
