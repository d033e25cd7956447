//! Whether a run is what its case expects.

use super::case::Case;
use super::likeness::{line_matches, lines_match};
use super::process::{Run, fill};

/// What bpftrace prints when a run has ended, before the maps (`src/output/text.cpp`, `end`).
const END: &str = "\n\n";

/// Marks printed text that does not end its line.
const NO_NEWLINE: &str = "{no newline}";

/// Nothing, or what is wrong.
pub fn judge(case: &Case, run: &Run) -> Result<(), String> {
    let mut wrong = Vec::new();
    exit_code(case, run, &mut wrong);
    standard_output(case, run, &mut wrong);
    standard_error(case, run, &mut wrong);
    if let Some(expected) = &case.file {
        compare("file", &fill(expected, &run.blanks), run.file.as_deref().unwrap_or("(no such file)"), &mut wrong);
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n  stdout: {:?}\n  stderr: {:?}", wrong.join("\n"), run.stdout, run.stderr))
}

fn exit_code(case: &Case, run: &Run, wrong: &mut Vec<String>) {
    let expected = case.exit.unwrap_or(i32::from(case.refused()));
    if run.code != Some(expected) {
        wrong.push(format!("  exit code: {expected} expected, {:?} found", run.code));
    }
}

fn standard_output(case: &Case, run: &Run, wrong: &mut Vec<String>) {
    if let Some(expected) = &case.output {
        compare("stdout", &fill(expected, &run.blanks), &run.stdout, wrong);
    } else if case.refused() {
        compare("stdout", "", &run.stdout, wrong);
    } else if case.expect.is_some() || case.maps.is_some() {
        compare("stdout", &fill(&whole(case), &run.blanks), &run.stdout, wrong);
    }
    let found: Vec<&str> = run.stdout.lines().collect();
    for line in case.contains.iter().filter(|line| !found.iter().any(|it| line_matches(&fill(line, &run.blanks), it))) {
        wrong.push(format!("  stdout lacks the line {line:?}"));
    }
    for text in case.lacks.iter().filter(|text| run.stdout.contains(text.as_str())) {
        wrong.push(format!("  stdout has {text:?}"));
    }
}

/// What is printed during the run, the end's blank lines, the maps. `{no newline}` at the very end
/// of `expect` says that none follows there.
fn whole(case: &Case) -> String {
    let expect = case.expect.as_deref().unwrap_or_default();
    let maps = case.maps.as_deref().unwrap_or_default();
    let newline = if expect.is_empty() || expect.ends_with(NO_NEWLINE) { "" } else { "\n" };
    format!("{}{newline}{END}{maps}", expect.strip_suffix(NO_NEWLINE).unwrap_or(expect))
}

fn standard_error(case: &Case, run: &Run, wrong: &mut Vec<String>) {
    let source = if case.by_file { "script.bt" } else { "stdin" };
    let found: Vec<&str> = run.stderr.lines().collect();
    for note in &case.notes {
        let head = note.head(source);
        let said = |line: &&str| line.strip_prefix(&head).is_some_and(|message| message.contains(&note.text));
        if !found.iter().any(said) {
            wrong.push(format!("  stderr lacks {head}… {} …", note.text));
        }
    }
    for line in case.stderr.iter().filter(|line| !found.iter().any(|it| line_matches(&fill(line, &run.blanks), it))) {
        wrong.push(format!("  stderr lacks the line {line:?}"));
    }
    for text in case.stderr_lacks.iter().filter(|text| run.stderr.contains(text.as_str())) {
        wrong.push(format!("  stderr has {text:?}"));
    }
}

/// Newlines at the very end do not count: sections of a file cannot show them.
fn compare(what: &str, expected: &str, found: &str, wrong: &mut Vec<String>) {
    let (expected, found) = (expected.trim_end_matches('\n'), found.trim_end_matches('\n'));
    let (wanted, got): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    if !lines_match(&wanted, &got) {
        wrong.push(format!("  {what}: expected\n{}\n  found\n{}", indent(expected), indent(found)));
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    |{line}")).collect::<Vec<_>>().join("\n")
}
