//! Magics: the lines that start with `%` at the top of a cell.

use std::time::Duration;

use probebook_compiler::semantics::named_parameters::NamedParameter;

/// A cell, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// How the script is run.
    pub run: RunOptions,
    /// What is done before the script, in order.
    pub commands: Vec<Command>,
    /// The script, with magics replaced by blanks so that positions stay what they are.
    pub script: String,
}

/// `%%run` and `%%bg`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunOptions {
    pub duration: Option<Duration>,
    pub command: Option<String>,
    pub pid: Option<u32>,
    /// The name of a background job.
    pub background: Option<String>,
    pub parameters: Vec<String>,
    /// For `getopt`.
    pub named: Vec<NamedParameter>,
}

/// A magic that does something by itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Maps,
    Clear(Vec<String>),
    Drop(Vec<String>),
    DropAll,
    Jobs,
    Stop(Vec<String>),
    StopAll,
    Wait(Vec<String>),
    Unsafe(bool),
    Print(PrintMode),
    /// With arguments and definitions if `verbose`.
    Probes {
        pattern: String,
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
    ("%%bg", "%%bg NAME [--for 5s] [-c COMMAND] [-p PID]", "run this cell in the background"),
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
pub fn parse(text: &str) -> Result<Cell, String> {
    let mut cell = Cell::default();
    let mut rest = text;
    while let Some((line, after)) = next_line(rest) {
        let trimmed = line.trim();
        if trimmed.starts_with('%') {
            apply(&mut cell, trimmed)?;
        } else if !(trimmed.is_empty() || trimmed.starts_with("#|") || trimmed.starts_with("//|")) {
            break;
        }
        rest = after;
    }
    let head = text.get(..text.len() - rest.len()).unwrap_or_default();
    cell.script = head.chars().flat_map(blank).chain(rest.chars()).collect();
    Ok(cell)
}

/// The script up to the cursor, magics blanked out.
pub fn script_before(code: &[char], cursor: usize) -> String {
    let text: String = code.get(..cursor).unwrap_or_default().iter().collect();
    parse(&text).map_or(text, |cell| cell.script)
}

/// The first line without its end, and what follows.
fn next_line(text: &str) -> Option<(&str, &str)> {
    match text.split_once('\n') {
        Some(pair) => Some(pair),
        None if text.is_empty() => None,
        None => Some((text, "")),
    }
}

/// A blank for each byte, so that spans are right; line ends stay.
fn blank(c: char) -> impl Iterator<Item = char> {
    let (fill, times) = if c == '\n' { ('\n', 1) } else { (' ', c.len_utf8()) };
    std::iter::repeat_n(fill, times)
}

fn apply(cell: &mut Cell, line: &str) -> Result<(), String> {
    let words = shlex::split(line).ok_or_else(|| format!("unbalanced quotes in: {line}"))?;
    let Some((name, arguments)) = words.split_first() else { return Ok(()) };
    let usage = || {
        let known = MAGICS.iter().find(|(magic, ..)| magic == name);
        known.map_or(String::new(), |(_, usage, _)| format!("write {usage}"))
    };
    let command = match name.as_str() {
        "%%run" | "%run" => {
            return run_options(&mut cell.run, arguments).map_err(|problem| format!("{problem}; {}", usage()));
        }
        "%%bg" | "%bg" => {
            let (job, options) = arguments.split_first().filter(|(job, _)| !job.starts_with('-')).ok_or_else(usage)?;
            cell.run.background = Some(job.clone());
            return run_options(&mut cell.run, options).map_err(|problem| format!("{problem}; {}", usage()));
        }
        "%jobs" => Command::Jobs,
        "%stop" => match arguments {
            [all] if all == "--all" => Command::StopAll,
            [] => return Err(usage()),
            names => Command::Stop(names.to_vec()),
        },
        "%wait" if !arguments.is_empty() => Command::Wait(arguments.to_vec()),
        "%maps" => Command::Maps,
        "%clear" => Command::Clear(map_names(arguments).ok_or_else(usage)?),
        "%drop" => match arguments {
            [all] if all == "--all" => Command::DropAll,
            names => Command::Drop(map_names(names).ok_or_else(usage)?),
        },
        "%opt" => {
            let options: Option<Vec<_>> = arguments.iter().map(|word| NamedParameter::parse(word)).collect();
            cell.run.named.extend(options.filter(|options| !options.is_empty()).ok_or_else(usage)?);
            return Ok(());
        }
        "%unsafe" => match arguments {
            [on] if on == "on" => Command::Unsafe(true),
            [off] if off == "off" => Command::Unsafe(false),
            _ => return Err(usage()),
        },
        "%config" => match arguments {
            [mode] if mode == "print=append" => Command::Print(PrintMode::Append),
            [mode] if mode == "print=update" => Command::Print(PrintMode::Update),
            _ => return Err(usage()),
        },
        "%probes" => {
            let verbose = arguments.first().is_some_and(|word| word == "-v");
            let words = arguments.get(usize::from(verbose)..).unwrap_or_default();
            let pattern = words.join(" ");
            if pattern.is_empty() {
                return Err(usage());
            }
            Command::Probes { pattern, verbose }
        }
        "%help" | "%lsmagic" => Command::Help,
        other => return Err(unknown(other, &usage())),
    };
    cell.commands.push(command);
    Ok(())
}

fn unknown(name: &str, usage: &str) -> String {
    if !usage.is_empty() {
        return usage.to_string();
    }
    let names = MAGICS.iter().map(|(magic, ..)| *magic);
    match probebook_compiler::semantics::nearest::nearest(name, names) {
        Some(near) => format!("there is no magic {name}; did you mean {near}?"),
        None => format!("there is no magic {name}; %help lists them"),
    }
}

/// `@x @y`, at least one; the names without `@`.
fn map_names(words: &[String]) -> Option<Vec<String>> {
    let names: Option<Vec<String>> = words.iter().map(|word| word.strip_prefix('@').map(str::to_string)).collect();
    names.filter(|names| !names.is_empty())
}

fn run_options(run: &mut RunOptions, words: &[String]) -> Result<(), String> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--for" => run.duration = Some(duration(value()?)?),
            "-c" => run.command = Some(value()?.clone()),
            "-p" => {
                let text = value()?;
                run.pid = Some(text.parse().map_err(|_| format!("{text} is not a process number"))?);
            }
            "--" => {}
            option if option.starts_with("--for=") => {
                run.duration = Some(duration(option.trim_start_matches("--for="))?);
            }
            option if option.starts_with('-') && option.len() > 1 && !option.starts_with("-0") => {
                return Err(format!("there is no option {option}"));
            }
            parameter => run.parameters.push(parameter.to_string()),
        }
    }
    Ok(())
}

/// `5s`, `250ms`, `2m`, or seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{text} is not a duration such as 5s, 250ms or 2m")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("{text} is not a duration such as 5s"))?;
    Duration::try_from_secs_f64(number * scale).map_err(|_| format!("{text} is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magics_come_off_and_positions_stay() {
        let cell = parse("%unsafe on\n%%run --for 250ms -c 'sleep 1' 42\n#| echo: false\nbegin { }").unwrap();
        assert_eq!(cell.commands, [Command::Unsafe(true)]);
        assert_eq!(cell.run.duration, Some(Duration::from_millis(250)));
        assert_eq!(cell.run.command.as_deref(), Some("sleep 1"));
        assert_eq!(cell.run.parameters, ["42"]);
        assert_eq!(cell.script.lines().nth(3), Some("begin { }"));
        assert_eq!(cell.script.trim(), "begin { }");
    }

    #[test]
    fn options_are_collected() {
        let cell = parse("%opt size=10 fast\n%opt 'name=a b'\nbegin { }").unwrap();
        let named: Vec<_> = cell.run.named.iter().map(|one| (one.name.as_str(), one.value.as_deref())).collect();
        assert_eq!(named, [("size", Some("10")), ("fast", None), ("name", Some("a b"))]);
        assert!(parse("%opt").unwrap_err().contains("NAME=VALUE"));
        assert!(parse("%opt =1").unwrap_err().contains("NAME=VALUE"));
    }

    #[test]
    fn wrong_magics_say_how_to_write_them() {
        assert!(parse("%mapz").unwrap_err().contains("%maps"));
        assert!(parse("%clear x").unwrap_err().contains("%clear @MAP"));
        assert!(parse("%%run --for ever").unwrap_err().contains("5s"));
    }

    #[test]
    fn a_percent_inside_the_script_is_no_magic() {
        let cell = parse("begin { $x = 5\n% 3; }").unwrap();
        assert_eq!(cell.commands, []);
        assert_eq!(cell.script, "begin { $x = 5\n% 3; }");
    }
}
