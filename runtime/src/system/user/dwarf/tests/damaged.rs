//! Damaged programs: whatever their bytes are, readers must come to an end, without a panic and without
//! taking memory that the file only announces.

use std::time::{Duration, Instant};

use super::*;
use crate::system::user::{boundary, notes};

/// Set for the process that does the work.
const WORKER: &str = "PROBEBOOK_DAMAGED_WORKER";
/// How many damaged files are read of each kind; `DAMAGED=20000` reads more.
const FILES: &str = "DAMAGED";
/// Bytes of address space that the process may take.
const MEMORY: u64 = 2 << 30;
/// No file may take longer, by far.
const LONGEST: Duration = Duration::from_secs(10);

/// Numbers that differ from run to run of the loop and never from run to run of the test (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }
}

/// The work is done by a process of its own, which may take so much memory and so much time.
#[test]
fn no_damage_makes_the_readers_fail() {
    if std::env::var_os(WORKER).is_some() {
        return;
    }
    let own = std::env::current_exe().unwrap();
    let limited = format!("ulimit -v {}; exec \"$0\" --exact --nocapture {}", MEMORY / 1024, worker_name());
    let started = Instant::now();
    let output = Command::new("sh").args(["-c", &limited]).arg(own).env(WORKER, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    println!("{text} in {:?}", started.elapsed());
}

fn worker_name() -> String {
    let module = module_path!();
    format!("{}::worker", module.split_once("::").unwrap().1)
}

#[test]
fn worker() {
    if std::env::var_os(WORKER).is_none() {
        return;
    }
    let count = std::env::var(FILES).ok().and_then(|count| count.parse().ok()).unwrap_or(400);
    for (compiler, name, source, flags) in [
        ("cc", "program.c", C, &["-gdwarf-5"][..]),
        ("cc", "program.c", C, &["-gdwarf-4", "-fdebug-types-section"]),
        ("cc", "program.c", C, &["-gdwarf-5", "-gz=zlib"]),
        ("cc", "program.c", C, &["-gdwarf-5", "-gsplit-dwarf"]),
        ("cc", "program.c", C, &["-gdwarf-5", "-O2"]),
        ("c++", "classes.cpp", CPP, &["-gdwarf-5"]),
    ] {
        let Some(built) = build(compiler, name, source, flags) else { continue };
        damage(&built, count);
    }
    for steps in [
        "objcopy --compress-debug-sections=zstd program",
        "cp program other && dwz -m shared -M shared program other",
        "objcopy -S -K hidden program mini && xz mini && strip program && objcopy --add-section .gnu_debugdata=mini.xz program",
    ] {
        let Some(built) = build("cc", "program.c", C, &["-gdwarf-5"]) else { continue };
        if run(built.folder.path(), "sh", &["-c", steps]) {
            damage(&built, count);
        } else {
            println!("skipped: {steps}");
        }
    }
}

fn damage(built: &Built, count: usize) {
    let good = fs::read(&built.program).unwrap();
    let debug = debug_parts(&good);
    let target = built.folder.path().join("damaged");
    for seed in 1..=count as u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let bad = mutate(&good, &debug, &mut random);
        fs::write(&target, bad).unwrap();
        let started = Instant::now();
        read_all(&target);
        assert!(started.elapsed() < LONGEST, "seed {seed} takes {:?}", started.elapsed());
    }
}

/// Where in the file the debug information is: most of the damage is done there.
fn debug_parts(file: &[u8]) -> Vec<(usize, usize)> {
    use object::read::{Object, ObjectSection};
    let elf = object::File::parse(file).unwrap();
    let debug = elf.sections().filter(|section| {
        section.name().is_ok_and(|name| name.starts_with(".debug") || name.starts_with(".gnu_debug"))
    });
    debug.filter_map(|section| section.file_range()).map(|(at, size)| (at as usize, size as usize)).collect()
}

fn mutate(good: &[u8], debug: &[(usize, usize)], random: &mut Random) -> Vec<u8> {
    let mut bad = good.to_vec();
    for _ in 0..=random.below(8) {
        let at = match random.below(4) {
            0 => random.below(bad.len()),
            // Headers, and the table of sections at the end.
            1 => random.below(64) + random.below(2) * bad.len().saturating_sub(2500),
            _ => debug.get(random.below(debug.len())).map_or(0, |(start, size)| start + random.below(*size)),
        };
        let interesting = [0, 1, 0x7f, 0x80, 0xff, 0x41];
        match random.below(4) {
            0 => bad[at] ^= 1 << random.below(8),
            1 => bad[at] = random.below(256) as u8,
            2 => bad[at] = interesting[random.below(interesting.len())],
            _ => {
                // A number that is far too large.
                let end = (at + 1 + random.below(8)).min(bad.len());
                bad[at..end].fill(0xff);
            }
        }
    }
    if random.below(12) == 0 {
        bad.truncate(random.below(bad.len()));
    }
    bad
}

/// Asks everything that scripts can ask.
fn read_all(path: &Path) {
    let files = DebugFiles::default();
    let _ = notes::read(path);
    let symbols = binary::read(path, &files, &mut LookedAt::new()).map(|binary| binary.symbols).unwrap_or_default();
    for symbol in symbols.iter().take(20) {
        boundary::check(path, symbol, symbol.size / 2);
    }
    let Ok(info) = DebugInfo::open(path, &files, &mut LookedAt::new()) else { return };
    for symbol in &symbols {
        let _ = info.prototype(symbol.address);
    }
    let names: Vec<String> = info.all_types().into_keys().collect();
    for name in &names {
        let _ = info.structure(0, name);
        let _ = info.typedef(0, name.rsplit(' ').next().unwrap_or_default());
        let _ = info.enumeration(0, name.strip_prefix("enum ").unwrap_or(name));
    }
    for line in 1..40 {
        let _ = info.line(Line { file: "program.c", line, column: 0 });
    }
}
