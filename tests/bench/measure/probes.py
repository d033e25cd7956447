"""What a probe of each type costs what it traces: the kernel's way to the program included."""

import statistics
import subprocess

from .machine import OURS, PEER, TOOLS, run_time_statistics, stop, wait_until_counting
from .report import Line, quartiles

SECTION = "cost of a probe to what it traces, @ = count()"
MILLISECONDS = 300
# Attach point, and the kind of load; `LOAD` is the load's path. kprobe and fentry are not
# among them: hardly a machine of the kind that this was written on has them.
PROBES = [
    ("tracepoint:syscalls:sys_enter_getppid", []),
    ("tracepoint:raw_syscalls:sys_enter", []),
    ("rawtracepoint:sys_enter", []),
    ("uprobe:LOAD:bench_function", ["function"]),
    ("uretprobe:LOAD:bench_function", ["function"]),
]


def measure(bench, results):
    bench.say("cost of each probe type")
    for probe, kind in PROBES:
        samples = {None: [], OURS: [], PEER: []}
        for _ in range(bench.repeat(7, 3)):
            samples[None].append(nanoseconds_per_call(bench, kind))
            for tool in TOOLS:
                found = traced(bench, tool, probe, kind)
                if found is not None:
                    samples[tool].append(found)
        write_up(results, probe, samples)


def traced(bench, tool, probe, kind):
    """Nanoseconds per call while a tool counts them; None if it cannot."""
    script = probe.replace("LOAD", str(bench.load_program)) + " { @ = count(); }"
    process = bench.start(bench.command(tool, script))
    try:
        with run_time_statistics(), bench.load(*kind):
            wait_until_counting(process)
        return nanoseconds_per_call(bench, kind)
    except RuntimeError as error:
        bench.say(f"{tool}: {error}")
        return None
    finally:
        stop(process)


def nanoseconds_per_call(bench, kind):
    return MILLISECONDS * 1e6 / bench.load_for(MILLISECONDS, *kind)


def write_up(results, probe, samples):
    """What the calls take longer than untraced ones."""
    floor = statistics.median(samples[None])
    above = {tool: [sample - floor for sample in samples[tool]] for tool in TOOLS}
    if not above[OURS]:
        raise subprocess.CalledProcessError(1, f"probebook: {probe} counted nothing")
    name = probe.replace("LOAD:", "")
    if above[PEER]:
        results.compare(SECTION, name, "ns", above[OURS], above[PEER])
        return
    line = Line(name, "ns", statistics.median(above[OURS]), quartiles(above[OURS]))
    line.note = "bpftrace cannot here"
    results.add(SECTION, line)
