//! The conformance tests: every case of `tests/conformance` run by the built `probebook`.
//!
//! The cases are data; `tests/conformance/README.md` describes their format. A case that cannot
//! run here is skipped and says why; it never passes by doing nothing.
//! `CONFORMANCE=words` runs only the cases whose `file: name` holds the words,
//! `PROBEBOOK=path` tests another binary. For slow machines that stand in for what this one
//! lacks: `CONFORMANCE_NEEDS=kprobe,…` runs the cases that need one of these, `CONFORMANCE_SAMPLE=10`
//! one in ten of the others, and `CONFORMANCE_PATIENCE=6` gives everything six times as long and tells of each case when
//! it is over.

#![allow(clippy::indexing_slicing, clippy::panic)] // a test may fail

mod case;
mod judge;
mod likeness;
mod losses;
mod notes;
mod place;
mod process;

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use case::Case;
use place::Place;

/// What became of a case.
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// Where the cases are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance")
}

/// Two tests that run programs of the same name would see each other's events.
pub static MACHINE: Mutex<()> = Mutex::new(());

#[test]
fn conformance() {
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let cases = read_cases(&folder());
    let wanted = Wanted::from_environment();
    let cases: Vec<Case> =
        cases.into_iter().enumerate().filter(|(index, case)| wanted.has(*index, case)).map(|it| it.1).collect();
    assert!(!cases.is_empty(), "no case is called {:?}", wanted.words);
    let place = Place::prepare(&folder().join("programs"));
    let outcomes = run_all(&cases, &place);
    report(&cases, &outcomes);
}

/// Which cases are to be run.
struct Wanted {
    words: String,
    /// Cases that need one of these; all cases if there are none.
    needs: Vec<String>,
    /// One in so many of the cases that need none of these.
    sample: Option<usize>,
}

impl Wanted {
    fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let needs = variable("CONFORMANCE_NEEDS").split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect();
        Self { words: variable("CONFORMANCE"), needs, sample: variable("CONFORMANCE_SAMPLE").parse().ok() }
    }

    fn has(&self, index: usize, case: &Case) -> bool {
        let needed = || case.needs.iter().any(|need| self.needs.contains(need));
        // A slow machine does not keep short times.
        let is_hasty = || case.script.contains("interval:ms:");
        let sampled = || self.sample.is_some_and(|every| index.is_multiple_of(every)) && !is_hasty();
        case.title().contains(&self.words) && (self.needs.is_empty() || needed() || sampled())
    }
}

/// How many times as long as elsewhere everything takes here.
pub fn patience() -> u32 {
    std::env::var("CONFORMANCE_PATIENCE").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

fn read_cases(folder: &Path) -> Vec<Case> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    files.iter().flat_map(|path| read_file(path)).collect()
}

fn read_file(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let topic = path.file_stem().unwrap_or_default().to_string_lossy();
    case::parse(&topic, &text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs the cases, several at a time; those that must have the machine for themselves come last.
fn run_all(cases: &[Case], place: &Place) -> Vec<Outcome> {
    let workers = thread::available_parallelism().map_or(2, NonZero::get) * 2;
    let outcomes: Vec<Mutex<Option<Outcome>>> = cases.iter().map(|_| Mutex::new(None)).collect();
    for (alone, workers) in [(false, workers), (true, 1)] {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(case) = cases.get(index) else { break };
                        if case.alone == alone {
                            let outcome = run(case, place);
                            *outcomes[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
                        }
                    }
                });
            }
        });
    }
    let taken = outcomes.into_iter().map(|outcome| outcome.into_inner().unwrap_or_else(PoisonError::into_inner));
    taken.map(|outcome| outcome.unwrap_or_else(|| Outcome::Failed("never run".into()))).collect()
}

fn run(case: &Case, place: &Place) -> Outcome {
    if let Some(reason) = place.why_not(case) {
        return Outcome::Skipped(reason);
    }
    let begun = Instant::now();
    let result = process::run(case, place).and_then(|run| judge::judge(case, &run));
    if patience() > 1 {
        // Not by `eprintln!`, which the harness keeps until the end.
        let outcome = if result.is_ok() { "ok" } else { "FAILED" };
        let line = format!("{:5.1} s {outcome} {}\n", begun.elapsed().as_secs_f32(), case.title());
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    match result {
        Ok(()) => Outcome::Passed,
        Err(reason) => Outcome::Failed(reason),
    }
}

/// Prints what failed and the counts; fails the test if a case failed.
fn report(cases: &[Case], outcomes: &[Outcome]) {
    let mut passed = 0;
    let mut failed = 0;
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    for (case, outcome) in cases.iter().zip(outcomes) {
        match outcome {
            Outcome::Passed => passed += 1,
            Outcome::Skipped(reason) => *skipped.entry(reason).or_default() += 1,
            Outcome::Failed(reason) => {
                failed += 1;
                println!("FAILED {} (line {})\n{reason}\n", case.title(), case.line);
            }
        }
    }
    let reasons: Vec<String> = skipped.iter().map(|(reason, count)| format!("{count}: {reason}")).collect();
    let total: usize = skipped.values().sum();
    let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    println!("conformance: {passed} passed, {failed} failed, {total} skipped{why}");
    assert_eq!(failed, 0, "{failed} conformance cases failed");
}
