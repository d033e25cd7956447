//! Loss is accounted to the last event: what was printed and what is said to be lost add up.

use super::case;
use super::place::Place;
use super::process::{self, Run};

const EVENTS: u64 = 100_000;

/// A ring buffer of one page, and more events than can be read in time.
const CASE: &str = "\
=== a flood
needs: programs
timeout: 60s
args: -c \"{{asks}} 100000\"
--- script
config = { perf_rb_pages=1 }
t:syscalls:sys_enter_getppid /comm == \"{{asks.comm}}\"/ { printf(\"event %d\\n\", pid); @fired = count(); }
--- contains
@fired: 100000
";

#[test]
fn printed_and_lost_events_are_all_events() {
    let _alone = super::MACHINE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let place = Place::prepare(&super::folder().join("programs"));
    let cases = case::parse("losses", CASE).expect("well formed");
    if let Some(reason) = place.why_not(&cases[0]) {
        println!("skipped: {reason}");
        return;
    }
    let run = process::run(&cases[0], &place).expect("the flood ends in time");
    let (printed, lost) = count(&run);
    assert!(lost > 0, "nothing was lost, so nothing was tested");
    assert_eq!(printed + lost, EVENTS, "printed {printed}, lost {lost}");
    assert!(run.stdout.contains(&format!("@fired: {EVENTS}")), "{}", run.stderr);
}

/// How many events were printed, and how many are said to be lost.
fn count(run: &Run) -> (u64, u64) {
    let printed = run.stdout.lines().filter(|line| line.starts_with("event ")).count() as u64;
    let figures = run.stderr.lines().filter_map(|line| line.strip_prefix("Lost ")?.strip_suffix(" events"));
    (printed, figures.filter_map(|figure| figure.parse::<u64>().ok()).sum())
}
