//! A case and how it is read from its file; the format is described in `tests/conformance/README.md`.

use std::time::Duration;

use super::notes::{self, Note};

/// How long a case may take unless it says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One script, how it is run, and what must come of it.
#[derive(Debug, Default)]
pub struct Case {
    /// The file's name without its ending.
    pub topic: String,
    pub name: String,
    /// Where the case begins in its file, from 1.
    pub line: usize,
    /// The script without its caret notes.
    pub script: String,
    /// What carets in the script say about it.
    pub notes: Vec<Note>,
    /// Flags before the script, each one argument.
    pub args: Vec<String>,
    /// Arguments after the script.
    pub params: Vec<String>,
    /// Pass the script as a file rather than by `-e`.
    pub by_file: bool,
    pub env: Vec<(String, String)>,
    /// A command that runs from before the script starts until it has ended.
    pub before: Option<String>,
    /// How long the script waits for what `before` needs to get going.
    pub delay: Option<Duration>,
    /// A command that runs once the probes are attached; its end interrupts the script.
    pub during: Option<String>,
    /// Interrupt the script this long after its probes were attached.
    pub interrupt: Option<Duration>,
    pub timeout: Duration,
    pub exit: Option<i32>,
    pub needs: Vec<String>,
    /// The script is in error where carets cannot point: at the first two columns, or at lines.
    refused: bool,
    /// Nothing else may run beside it.
    pub alone: bool,
    /// What must be printed while the script runs.
    pub expect: Option<String>,
    /// What must be printed after the two blank lines that end a run: the maps.
    pub maps: Option<String>,
    /// All of standard output, where the convention above does not hold.
    pub output: Option<String>,
    /// Lines that must be somewhere in standard output, in any order.
    pub contains: Vec<String>,
    /// Texts that must not be in standard output.
    pub lacks: Vec<String>,
    /// Lines that must be somewhere in standard error, in any order.
    pub stderr: Vec<String>,
    /// Texts that must not be in standard error.
    pub stderr_lacks: Vec<String>,
    /// What the file `{{dir}}/out` must hold.
    pub file: Option<String>,
    /// Files that lie in `{{dir}}` before the script starts: path and text.
    pub writes: Vec<(String, String)>,
}

impl Case {
    /// `topic: name`, for people.
    pub fn title(&self) -> String {
        format!("{}: {}", self.topic, self.name)
    }

    /// Whether the script must be refused before anything is loaded.
    pub fn refused(&self) -> bool {
        self.refused || self.notes.iter().any(Note::is_error)
    }

    /// Whether nothing tells on standard error that the probes are attached.
    pub fn silent(&self) -> bool {
        self.args.iter().any(|argument| argument == "-q" || argument == "json")
    }

    /// Whether nothing tells on standard output either: that goes into a file.
    pub fn writes_elsewhere(&self) -> bool {
        self.silent() && self.args.iter().any(|argument| argument == "-o")
    }

    /// Whether the case says nothing that could fail.
    fn expects_nothing(&self) -> bool {
        let texts = [&self.expect, &self.maps, &self.output, &self.file];
        let lists = [&self.contains, &self.lacks, &self.stderr, &self.stderr_lacks];
        self.notes.is_empty()
            && self.exit.is_none()
            && texts.iter().all(|it| it.is_none())
            && lists.iter().all(|it| it.is_empty())
    }
}

/// The cases of one file; a message with its line if the file is malformed.
pub fn parse(topic: &str, text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    let mut section: Option<(usize, String, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if let Some(name) = line.strip_prefix("=== ") {
            finish(cases.last_mut(), section.take())?;
            cases.push(Case {
                topic: topic.into(),
                name: name.trim().into(),
                line: number,
                timeout: TIMEOUT,
                ..Case::default()
            });
        } else if let Some(name) = line.strip_prefix("--- ") {
            finish(cases.last_mut(), section.take())?;
            section = Some((number, name.trim().into(), String::new()));
        } else if let Some((_, _, body)) = &mut section {
            body.push_str(line);
            body.push('\n');
        } else if !(line.trim().is_empty() || line.starts_with('#')) {
            let case = cases.last_mut().ok_or(format!("line {number}: no case has begun"))?;
            attribute(case, line).map_err(|error| format!("line {number}: {error}"))?;
        }
    }
    finish(cases.last_mut(), section.take())?;
    match cases.iter().find(|case| case.script.is_empty() || case.expects_nothing()) {
        Some(case) => Err(format!("line {}: {} has no script or expects nothing", case.line, case.name)),
        None => Ok(cases),
    }
}

fn attribute(case: &mut Case, line: &str) -> Result<(), String> {
    let (key, value) = line.split_once(':').ok_or(format!("neither a section nor `key: value`: {line}"))?;
    let value = value.trim();
    let words = || shlex::split(value).ok_or(format!("unbalanced quotes: {value}"));
    match key {
        "args" => case.args = words()?,
        "params" => case.params = words()?,
        "by" if value == "file" => case.by_file = true,
        "env" => case.env = pairs(&words()?)?,
        "delay" => case.delay = Some(duration(value)?),
        "before" => case.before = Some(value.into()),
        "while" => case.during = Some(value.into()),
        "interrupt" => case.interrupt = Some(duration(value)?),
        "timeout" => case.timeout = duration(value)?,
        "exit" => case.exit = Some(value.parse().map_err(|_| format!("not an exit code: {value}"))?),
        "needs" => case.needs = value.split(',').map(|need| need.trim().to_owned()).collect(),
        "alone" if value == "yes" => case.alone = true,
        "refused" if value == "yes" => case.refused = true,
        _ => return Err(format!("unknown: {line}")),
    }
    Ok(())
}

fn pairs(words: &[String]) -> Result<Vec<(String, String)>, String> {
    let pair = |word: &String| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    words.iter().map(|word| pair(word).ok_or(format!("not NAME=VALUE: {word}"))).collect()
}

/// `250ms` or `5s`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("not a duration such as 250ms or 5s: {text}");
    let number = |digits: &str| digits.parse::<u64>().map_err(|_| wrong());
    if let Some(digits) = text.strip_suffix("ms") {
        return Ok(Duration::from_millis(number(digits)?));
    }
    Ok(Duration::from_secs(number(text.strip_suffix('s').ok_or_else(wrong)?)?))
}

/// Puts a section's body where it belongs.
fn finish(case: Option<&mut Case>, section: Option<(usize, String, String)>) -> Result<(), String> {
    let Some((line, name, body)) = section else {
        return Ok(());
    };
    let case = case.ok_or(format!("line {line}: a section outside of a case"))?;
    let body = body.trim_end_matches('\n').to_owned();
    let lines = || body.lines().map(str::to_owned).collect();
    match name.as_str() {
        "script" => (case.script, case.notes) = notes::split(&body),
        "expect" => case.expect = Some(body),
        "maps" => case.maps = Some(body),
        "output" => case.output = Some(body),
        "file" => case.file = Some(body),
        "contains" => case.contains = lines(),
        "lacks" => case.lacks = lines(),
        "stderr" => case.stderr = lines(),
        "stderr-lacks" => case.stderr_lacks = lines(),
        other => match other.strip_prefix("write ") {
            Some(path) => case.writes.push((path.trim().to_owned(), body)),
            None => return Err(format!("line {line}: unknown section: {name}")),
        },
    }
    Ok(())
}

#[test]
fn a_case_is_read_with_its_attributes_and_sections() {
    let text = "# words\n=== one\nargs: -q -p '1 2'\ntimeout: 250ms\n--- script\nbegin { }\n\n--- expect\na\n\nb\n\n\
                === two\nexit: 3\n--- write d/x.h\nint x;\n--- script\nend { }\n";
    let cases = parse("topic", text).expect("well formed");
    assert_eq!(cases.len(), 2);
    assert_eq!(cases[0].title(), "topic: one");
    assert_eq!(cases[0].args, ["-q", "-p", "1 2"]);
    assert_eq!(cases[0].timeout, Duration::from_millis(250));
    assert_eq!(cases[0].script, "begin { }");
    assert_eq!(cases[0].expect.as_deref(), Some("a\n\nb"));
    assert_eq!((cases[1].line, cases[1].exit), (13, Some(3)));
    assert_eq!(cases[1].writes, [("d/x.h".to_owned(), "int x;".to_owned())]);
}

#[test]
fn malformed_files_are_refused() {
    for (text, message) in [
        ("=== a\nnonsense: 1\n--- script\nx\n--- expect\ny", "unknown: nonsense: 1"),
        ("=== a\n--- script\nx\n--- hope\ny", "unknown section: hope"),
        ("--- script\nx", "a section outside of a case"),
        ("=== a\n--- script\nbegin { }", "expects nothing"),
        ("=== a\ntimeout: soon\n--- script\nx\n--- expect\n", "not a duration"),
    ] {
        let error = parse("topic", text).expect_err("malformed");
        assert!(error.contains(message), "{error}");
    }
}
