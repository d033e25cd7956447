//! Magics: the lines that start with `%` at the top of a cell.

mod words;

use std::ops::Range;
use std::time::Duration;

use probebook_compiler::semantics::named_parameters::NamedParameter;

pub use words::{MagicError, Word};

/// A cell, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// How the script is run.
    pub run: RunOptions,
    /// What is done before the script, in order.
    pub commands: Vec<Command>,
    /// How many bytes of the cell stand before the script.
    pub head: usize,
}

/// `%%run` and `%%bg`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunOptions {
    pub duration: Option<Duration>,
    pub command: Option<Word>,
    /// And where it stands.
    pub pid: Option<(u32, Range<usize>)>,
    /// The name of a background job.
    pub background: Option<Word>,
    pub parameters: Vec<String>,
    /// For `getopt`, and where each stands.
    pub named: Vec<(NamedParameter, Range<usize>)>,
}

/// A magic that does something by itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Maps,
    /// Names of maps, here and below without `@`.
    Clear(Vec<Word>),
    Drop(Vec<Word>),
    DropAll,
    Jobs,
    Stop(Vec<Word>),
    StopAll,
    Wait(Vec<Word>),
    Unsafe(bool),
    Print(PrintMode),
    /// With arguments and definitions if `verbose`.
    Probes {
        pattern: Word,
        verbose: bool,
    },
    Help,
}

/// `%config print=…`: how a map that is printed again is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrintMode {
    /// One display, replaced.
    #[default]
    Update,
    /// One display for each print.
    Append,
}

/// Name, usage, and what it does: for completion and `%help`.
pub const MAGICS: &[(&str, &str, &str)] = &[
    (
        "%%run",
        "%%run [--for 5s] [-c COMMAND] [-p PID] [PARAMETER …]",
        "run this cell with a time limit, a command, for one process, with parameters",
    ),
    ("%%bg", "%%bg NAME [--for 5s] [-c COMMAND] [-p PID] [PARAMETER …]", "run this cell in the background"),
    ("%jobs", "%jobs", "list background jobs"),
    ("%stop", "%stop NAME | --all", "end background jobs: detach, run end, print maps"),
    ("%wait", "%wait NAME", "wait for a background job to end"),
    ("%maps", "%maps", "list the maps of this session"),
    ("%clear", "%clear @MAP …", "remove all entries of maps"),
    ("%drop", "%drop @MAP … | --all", "forget maps and their types"),
    ("%opt", "%opt NAME=VALUE | NAME …", "set what getopt() gives in this cell"),
    ("%unsafe", "%unsafe on | off", "allow functions that change the traced system, in this cell and those after it"),
    (
        "%config",
        "%config print=update | print=append",
        "replace the picture of a map that is printed again, or add one",
    ),
    ("%probes", "%probes [-v] PATTERN", "list probes; with -v also their arguments, or the definition of a type"),
    ("%help", "%help", "list magics"),
];

/// Takes a cell apart. Leading lines that start with `%` are magics; leading `#|` and `//|` lines
/// are options of publishing tools and skipped.
pub fn parse(text: &str) -> Result<Cell, MagicError> {
    let mut cell = Cell::default();
    let mut rest = text;
    while let Some((line, after)) = next_line(rest) {
        let trimmed = line.trim();
        if trimmed.starts_with('%') {
            let start = text.len() - rest.len() + (line.len() - line.trim_start().len());
            apply(&mut cell, &words::split(trimmed, start)?)?;
        } else if !(trimmed.is_empty() || trimmed.starts_with("#|") || trimmed.starts_with("//|")) {
            break;
        }
        rest = after;
    }
    cell.head = text.len() - rest.len();
    Ok(cell)
}

/// The script up to the cursor, without magics.
pub fn script_before(code: &[char], cursor: usize) -> String {
    let mut text: String = code.get(..cursor).unwrap_or_default().iter().collect();
    let head = parse(&text).map_or(0, |cell| cell.head);
    text.split_off(head)
}

/// A magic that stands where the script has begun already.
pub fn misplaced(script: &str) -> Option<&str> {
    let words = script.lines().filter_map(|line| line.split_whitespace().next());
    words.into_iter().find(|word| MAGICS.iter().any(|(magic, ..)| magic == word))
}

/// The first line without its end, and what follows.
fn next_line(text: &str) -> Option<(&str, &str)> {
    match text.split_once('\n') {
        Some(pair) => Some(pair),
        None if text.is_empty() => None,
        None => Some((text, "")),
    }
}

fn apply(cell: &mut Cell, words: &[Word]) -> Result<(), MagicError> {
    let Some((name, arguments)) = words.split_first() else { return Ok(()) };
    // Whatever is wrong with the arguments together.
    let usage = || MagicError {
        message: usage_of(&name.text).map_or(String::new(), |usage| format!("write {usage}")),
        place: name.place.start..words.last().unwrap_or(name).place.end,
    };
    let command = match name.text.as_str() {
        "%%run" | "%run" => return run_options(&mut cell.run, name, arguments),
        "%%bg" | "%bg" => {
            let job = arguments.split_first().filter(|(job, _)| !job.text.starts_with('-'));
            let (job, options) = job.ok_or_else(usage)?;
            cell.run.background = Some(job.clone());
            return run_options(&mut cell.run, name, options);
        }
        "%opt" if !arguments.is_empty() => return options(&mut cell.run, arguments),
        "%jobs" if arguments.is_empty() => Command::Jobs,
        "%stop" if is_one(arguments, "--all") => Command::StopAll,
        "%stop" if !arguments.is_empty() => Command::Stop(arguments.to_vec()),
        "%wait" if !arguments.is_empty() => Command::Wait(arguments.to_vec()),
        "%maps" if arguments.is_empty() => Command::Maps,
        "%drop" if is_one(arguments, "--all") => Command::DropAll,
        "%drop" if !arguments.is_empty() => Command::Drop(map_names(arguments)?),
        "%clear" if !arguments.is_empty() => Command::Clear(map_names(arguments)?),
        "%unsafe" if is_one(arguments, "on") => Command::Unsafe(true),
        "%unsafe" if is_one(arguments, "off") => Command::Unsafe(false),
        "%config" if is_one(arguments, "print=append") => Command::Print(PrintMode::Append),
        "%config" if is_one(arguments, "print=update") => Command::Print(PrintMode::Update),
        "%probes" => probes(arguments).ok_or_else(usage)?,
        "%help" | "%lsmagic" => Command::Help,
        other if usage_of(other).is_some() => return Err(usage()),
        other => return Err(name.error(unknown(other))),
    };
    cell.commands.push(command);
    Ok(())
}

fn usage_of(magic: &str) -> Option<&'static str> {
    MAGICS.iter().find(|(name, ..)| *name == magic).map(|(_, usage, _)| *usage)
}

fn is_one(arguments: &[Word], text: &str) -> bool {
    matches!(arguments, [word] if word.text == text)
}

fn probes(arguments: &[Word]) -> Option<Command> {
    let verbose = arguments.first().is_some_and(|word| word.text == "-v");
    let words = arguments.get(usize::from(verbose)..)?;
    let place = words.first()?.place.start..words.last()?.place.end;
    let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    Some(Command::Probes { pattern: Word { text, place }, verbose })
}

/// `%opt`
fn options(run: &mut RunOptions, words: &[Word]) -> Result<(), MagicError> {
    for word in words {
        let parameter = NamedParameter::parse(&word.text).ok_or_else(|| word.error("write NAME=VALUE or NAME"))?;
        run.named.push((parameter, word.place.clone()));
    }
    Ok(())
}

fn unknown(name: &str) -> String {
    let names = MAGICS.iter().map(|(magic, ..)| *magic);
    match probebook_compiler::semantics::nearest::nearest(name, names) {
        Some(near) => format!("there is no magic {name}; did you mean {near}?"),
        None => format!("there is no magic {name}; %help lists them"),
    }
}

/// `@x @y`; the names without `@`.
fn map_names(words: &[Word]) -> Result<Vec<Word>, MagicError> {
    let name = |word: &Word| match word.text.strip_prefix('@') {
        Some(name) => Ok(Word { text: name.to_owned(), ..word.clone() }),
        None => Err(word.error(format!("{} is no map; write @MAP", word.text))),
    };
    words.iter().map(name).collect()
}

/// What follows `%%run`, or `%%bg` and the job's name.
fn run_options(run: &mut RunOptions, magic: &Word, words: &[Word]) -> Result<(), MagicError> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| word.error(format!("{} needs a value", word.text)));
        match word.text.as_str() {
            "--for" => run.duration = Some(duration(value()?)?),
            "-c" => run.command = Some(value()?.clone()),
            "-p" => {
                let value = value()?;
                let is_number = value.text.parse().ok();
                let pid = is_number.ok_or_else(|| value.error(format!("{} is not a process number", value.text)))?;
                run.pid = Some((pid, value.place.clone()));
            }
            "--" => return parameters(run, words.as_slice()),
            option if option.starts_with("--for=") => {
                let text = option.trim_start_matches("--for=").to_owned();
                run.duration = Some(duration(&Word { text, ..word.clone() })?);
            }
            option if option.starts_with('-') && option.len() > 1 && !option.starts_with("-0") => {
                let usage = usage_of(&magic.text).unwrap_or_default();
                return Err(word.error(format!("there is no option {option}; write {usage}")));
            }
            parameter => run.parameters.push(parameter.to_string()),
        }
    }
    Ok(())
}

/// What follows `--`, as on the command line: `--NAME=VALUE` for `getopt`, and `$1` …
fn parameters(run: &mut RunOptions, words: &[Word]) -> Result<(), MagicError> {
    for word in words {
        match word.text.strip_prefix("--") {
            Some(named) => {
                let parameter =
                    NamedParameter::parse(named).ok_or_else(|| word.error("write --NAME=VALUE or --NAME"))?;
                run.named.push((parameter, word.place.clone()));
            }
            None => run.parameters.push(word.text.clone()),
        }
    }
    Ok(())
}

/// `5s`, `250ms`, `2m`, or seconds.
fn duration(word: &Word) -> Result<Duration, MagicError> {
    let text = word.text.as_str();
    let wrong = || word.error(format!("{text} is not a duration such as 5s, 250ms or 2m"));
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * scale).map_err(|_| word.error(format!("{text} is too long")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magics_come_off() {
        let text = "%unsafe on\n%%run --for 250ms -c 'sleep 1' 42\n#| echo: false\nbegin { }";
        let cell = parse(text).unwrap();
        assert_eq!(cell.commands, [Command::Unsafe(true)]);
        assert_eq!(cell.run.duration, Some(Duration::from_millis(250)));
        assert_eq!(cell.run.command.map(|word| word.text).as_deref(), Some("sleep 1"));
        assert_eq!(cell.run.parameters, ["42"]);
        assert_eq!(&text[cell.head..], "begin { }");
    }

    #[test]
    fn options_are_collected() {
        let cell = parse("%opt size=10 fast\n%opt 'name=a b'\nbegin { }").unwrap();
        let named: Vec<_> = cell.run.named.iter().map(|(one, _)| (one.name.as_str(), one.value.as_deref())).collect();
        assert_eq!(named, [("size", Some("10")), ("fast", None), ("name", Some("a b"))]);
        assert!(parse("%opt").unwrap_err().message.contains("NAME=VALUE"));
        assert!(parse("%opt =1").unwrap_err().message.contains("NAME=VALUE"));
    }

    #[test]
    fn what_follows_two_dashes_is_the_scripts() {
        let cell = parse("%%run --for 1s -- -5 --size=10 -p\nbegin { }").unwrap();
        assert_eq!(cell.run.parameters, ["-5", "-p"]);
        assert_eq!(cell.run.named[0].0.value.as_deref(), Some("10"));
    }

    #[test]
    fn magics_that_come_too_late_are_seen() {
        assert_eq!(misplaced("begin { }\n  %maps now\n"), Some("%maps"));
        assert_eq!(misplaced("begin { $x = 5\n% 3; }"), None);
    }

    #[test]
    fn wrong_magics_say_how_to_write_them() {
        for (text, message) in [
            ("%mapz", "did you mean %maps"),
            ("%clear x", "write @MAP"),
            ("%clear", "%clear @MAP"),
            ("%%run --for ever", "5s"),
            ("%%run --fro 5s", "write %%run [--for 5s]"),
            ("%unsafe", "write %unsafe on | off"),
            ("%maps @a", "write %maps"),
            ("%jobs all", "write %jobs"),
            ("%%bg --for 5s", "write %%bg NAME"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message.contains(message), "{text}: {}", error.message);
        }
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (text, wrong) in [
            ("%unsafe on\n  %mapz", "%mapz"),
            ("%clear @a x", "x"),
            ("%%run -c ls --for 'e ver' 1", "'e ver'"),
            ("%%run --for=1y", "--for=1y"),
            ("%%run -p me", "me"),
            ("%%run --for", "--for"),
            ("%opt a=1 =2", "=2"),
            ("%config print=x", "%config print=x"),
        ] {
            let place = parse(text).unwrap_err().place;
            assert_eq!(&text[place], wrong, "{text}");
        }
    }

    #[test]
    fn a_percent_inside_the_script_is_no_magic() {
        let cell = parse("begin { $x = 5\n% 3; }").unwrap();
        assert_eq!((cell.commands, cell.head), (Vec::new(), 0));
    }
}
