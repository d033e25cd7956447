"""What a program costs per event, by the kernel's run-time statistics."""

import math
import statistics
import time

from .machine import OURS, PEER, TOOLS, program_times, run_time_statistics, stop, wait_until_counting
from .report import Line

SECTION = "cost per event above an empty program"
EMPTY = "empty program"
WARM_UP = 0.1
WINDOW = 0.1
# A window in which other processes held the load's CPU says nothing.
RUNS_AT_LEAST = 20_000
ATTEMPTS = 50
# Less than this is not told from nothing, so no cost counts as less.
RESOLUTION = 2.0
# The empty program is measured again after so many scripts: all depends on it.
EMPTY_AGAIN = 5

# Name in the table, and what stands behind the probe. 0.17 knows no `delete(@s, tid)`.
SCRIPTS = [
    (EMPTY, "{ }"),
    ("@ = count()", "{ @ = count(); }"),
    ("@[comm] = count()", "{ @[comm] = count(); }"),
    ("@[pid] = count()", "{ @[pid] = count(); }"),
    ("@[pid, comm] = count()", "{ @[pid, comm] = count(); }"),
    ("@ = sum(cpu)", "{ @ = sum(cpu); }"),
    ("@[tid] = avg(cpu)", "{ @[tid] = avg(cpu); }"),
    ("@ = hist(nsecs & 0xffff)", "{ @ = hist(nsecs & 0xffff); }"),
    ("@[comm] = hist(nsecs & 0xffff)", "{ @[comm] = hist(nsecs & 0xffff); }"),
    ("@ = lhist(nsecs & 0xff, 0, 256, 16)", "{ @ = lhist(nsecs & 0xff, 0, 256, 16); }"),
    ("@s[tid] = nsecs; delete(@s[tid])", "{ @s[tid] = nsecs; delete(@s[tid]); }"),
    ("/pid == 1/", "/pid == 1/ { @ = count(); }"),
    ('/comm == "nosuchcomm"/', '/comm == "nosuchcomm"/ { @ = count(); }'),
    ("@[kstack] = count()", "{ @[kstack] = count(); }"),
    (
        "printf of three arguments, 1 event in 64",
        r'{ if (rand % 64 == 0) { printf("%d %s %d\n", pid, comm, cpu); } }',
    ),
]
PROBE = "tracepoint:syscalls:sys_enter_getppid"
# The target is a sum over four of them; the goals are about each and about all.
SUMMED = ["@ = count()", "@[comm] = count()", "@ = hist(nsecs & 0xffff)", SCRIPTS[-1][0]]
SUM_AT_MOST = 0.6
MEAN_AT_MOST = 0.42
EACH_AT_MOST = 0.9


def measure(bench, results):
    write_up(sample(bench, SCRIPTS, "cost per event"), results)


def sample(bench, scripts, title):
    """Nanoseconds per event by script and tool; the first script is the empty program."""
    rounds = bench.repeat(3, 1)
    windows = bench.repeat(5, 3)
    samples = {(name, tool): [] for name, _ in scripts for tool in TOOLS}
    with run_time_statistics(), bench.load():
        for turn in range(rounds):
            bench.say(f"{title}, round {turn + 1} of {rounds}")
            for name, body in scripts_of_a_round(scripts):
                # One right after the other, so that what else goes on hits both.
                for tool in TOOLS:
                    command = bench.command(tool, f"{PROBE} {body}")
                    samples[name, tool].append(nanoseconds_per_event(bench, command, windows))
    return samples


def scripts_of_a_round(scripts):
    for number, script in enumerate(scripts):
        if number and number % EMPTY_AGAIN == 0:
            yield scripts[0]
        yield script


def nanoseconds_per_event(bench, command, windows):
    """Median over some windows of one run of a script."""
    process = bench.start(command)
    try:
        wait_until_counting(process, pause=0.005)
        time.sleep(WARM_UP)
        return statistics.median(window(process.pid) for _ in range(windows))
    except RuntimeError as error:
        raise RuntimeError(f"{command[-1]}: {error}") from error
    finally:
        stop(process)


def window(pid):
    """Nanoseconds per event in a while in which the load was let run."""
    for _ in range(ATTEMPTS):
        before = program_times(pid)
        time.sleep(WINDOW)
        after = program_times(pid)
        # begin, end and interval programs are among them; the one on the system call runs most.
        busiest = max(before, key=lambda program: after[program].runs - before[program].runs)
        runs = after[busiest].runs - before[busiest].runs
        if runs >= RUNS_AT_LEAST:
            return (after[busiest].nanoseconds - before[busiest].nanoseconds) / runs
    raise RuntimeError(f"hardly an event in {ATTEMPTS * WINDOW:.0f} s; the machine is too busy")


def write_up(samples, results):
    lines = compare(samples, results, SECTION, SCRIPTS, at_most=EACH_AT_MOST, goal=True)
    ours = sum(lines[name].ours for name in SUMMED)
    peer = sum(lines[name].peer for name in SUMMED)
    results.add(
        SECTION,
        Line(
            "sum: count, [comm] count, hist, printf", "ns", ours, peer=peer, ratio=ours / peer,
            judged="ratio", at_most=SUM_AT_MOST,
        ),
    )  # fmt: skip
    add_mean(lines, results, SECTION, at_most=MEAN_AT_MOST, goal=True)


def compare(samples, results, section, scripts, **target):
    """Adds a line for each script: what it costs above the empty program, which comes first."""
    # The same floor is taken off both, the lower one: what a tool puts into every program, such
    # as a gate, counts as its cost.
    floor = min(statistics.median(samples[EMPTY, tool]) for tool in TOOLS)
    empty = results.compare(
        section, "empty program (taken off below)", "ns", samples[EMPTY, OURS], samples[EMPTY, PEER]
    )
    empty.ratio = None
    lines = {}
    for name, _ in scripts[1:]:
        above = {
            tool: [max(sample - floor, RESOLUTION) for sample in samples[name, tool]]
            for tool in TOOLS
        }
        lines[name] = results.compare(
            section, name, "ns", above[OURS], above[PEER], judged="ratio", **target
        )
    return lines


def add_mean(lines, results, section, **target):
    mean = math.exp(statistics.fmean(math.log(line.ratio) for line in lines.values()))
    results.add(
        section,
        Line("geometric mean of the ratios", "", mean, ratio=mean, judged="ratio", **target),
    )
