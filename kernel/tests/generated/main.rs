//! Programs made at random from every construct of the language. What the checker accepts has to load.
//!
//! The same seed makes the same script everywhere. `GENERATED=2000` says how many programs are made
//! (`make test` does), `GENERATED_SEED=17` runs one script and prints it.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, clippy::expect_used)]

mod expressions;
mod generator;
mod machine;
mod mutated;
mod random;
mod script;
mod statements;
mod tree;
mod types;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use generator::Generator;
use machine::{Failure, Machine, Trouble};

/// How many programs a run makes unless it is told.
const FEW: usize = 100;
/// From this many on, every construct must have been made.
const ENOUGH: usize = 1000;
/// Workers: the verifier and LLVM keep one CPU busy each.
const WORKERS: u64 = 2;
/// Kinds of failure of which one script is made small and shown; the others are named.
const SHOWN: usize = 5;
/// How often a failing script is run again to make it smaller.
const SHRINKING: usize = 300;
/// What one script may take, from text to the end of `begin`, in a build without optimisation.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the workers have found together.
#[derive(Default)]
struct Findings {
    covered: BTreeMap<&'static str, usize>,
    failures: Vec<(u64, Trouble)>,
    /// That the kernel took.
    programs: usize,
    scripts: usize,
    slowest: (Duration, u64),
}

impl Findings {
    fn has(&self, wanted: usize) -> bool {
        self.programs + self.failures.len() >= wanted
    }
}

#[test]
fn programs_that_the_checker_accepts_load() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<usize>().unwrap());
    let seed = number("GENERATED_SEED");
    let wanted = number("GENERATED").filter(|_| seed.is_none()).unwrap_or(if seed.is_some() { 1 } else { FEW });
    let Some(machine) = Machine::new("generated") else { return };
    if let Some(seed) = seed {
        print!("{}", tree::text(&script::script(&mut Generator::new(seed as u64))));
    }
    let started = Instant::now();
    let findings = run_all(seed.unwrap_or(0) as u64, wanted);
    report(&machine, &findings, started.elapsed());
    if wanted >= ENOUGH {
        let made = |name: &str| findings.covered.get(name).copied().unwrap_or(0);
        let missing: Vec<&str> = script::constructs().filter(|name| made(name) < 3).collect();
        assert!(missing.is_empty(), "these constructs were hardly ever made: {missing:?}");
    }
    assert_eq!(findings.failures.len(), 0, "scripts failed");
    assert!(findings.slowest.0 < PATIENCE, "seed {} took {:?}", findings.slowest.1, findings.slowest.0);
}

/// One script of each kind of failure, the seeds of all, and the counts.
fn report(machine: &Machine, findings: &Findings, took: Duration) {
    let mut kinds: Vec<&Failure> = Vec::new();
    for (seed, trouble) in &findings.failures {
        if !kinds.contains(&&trouble.kind) && kinds.len() < SHOWN {
            show(machine, *seed, trouble);
            kinds.push(&trouble.kind);
        }
        println!("seed {seed}: {:?}", trouble.kind);
    }
    let (slowest, seed) = findings.slowest;
    println!("{} scripts in {took:.1?}; the slowest (seed {seed}) took {slowest:.1?}", findings.scripts);
    println!("generated: {} passed, {} failed, 0 skipped", findings.programs, findings.failures.len());
}

/// Makes and runs scripts until so many programs have been loaded, or rejected.
fn run_all(first: u64, wanted: usize) -> Findings {
    let next = AtomicU64::new(first);
    let findings = Mutex::new(Findings::default());
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (next, findings) = (&next, &findings);
            scope.spawn(move || {
                let Some(machine) = Machine::new(&format!("generated-{worker}")) else { return };
                while !findings.lock().unwrap().has(wanted) {
                    run_one(&machine, next.fetch_add(1, Ordering::Relaxed), findings);
                }
            });
        }
    });
    findings.into_inner().unwrap()
}

fn run_one(machine: &Machine, seed: u64, findings: &Mutex<Findings>) {
    let mut generator = Generator::new(seed);
    let text = tree::text(&script::script(&mut generator));
    let started = Instant::now();
    let outcome = machine.run(&text);
    let took = started.elapsed();
    let mut findings = findings.lock().unwrap();
    for (name, count) in generator.covered {
        *findings.covered.entry(name).or_default() += count;
    }
    findings.scripts += 1;
    findings.slowest = findings.slowest.max((took, seed));
    match outcome {
        Ok(output) => findings.programs += output.programs,
        // A map whose string is made of itself: the generator does not look for such circles.
        Err(trouble) if trouble.kind == Failure::Refused("endless-type") => {}
        // Literals are computed exactly, and what several large ones come to may fit no integer.
        Err(trouble) if trouble.kind == Failure::Refused("integer-overflow") => {}
        Err(trouble) => findings.failures.push((seed, *trouble)),
    }
}

/// Shows a failure with the smallest script that fails in the same way.
fn show(machine: &Machine, seed: u64, trouble: &Trouble) {
    let nodes = script::script(&mut Generator::new(seed));
    let small =
        tree::shrink(nodes, SHRINKING, |text| machine.run(text).is_err_and(|smaller| smaller.kind == trouble.kind));
    let text = tree::text(&small);
    let details = machine.run(&text).err().map_or_else(String::new, |smaller| smaller.details);
    println!("FAILED seed {seed}: {:?}\n{text}\n{details}\n", trouble.kind);
}
