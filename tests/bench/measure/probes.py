"""What a probe of each type costs what it traces: the kernel's way to the program included."""

import re
import statistics
import subprocess

from .machine import OURS, PEER, TOOLS, each_of
from .report import Line, quartiles

SECTION = "cost of a probe to what it traces, @ = count()"
MILLISECONDS = 300
# Seconds; a run takes one or two.
LONGEST_RUN = 15
# What the probes of this machine are, and the calls of the load that they fire for.
PROBES = [
    ("tracepoint:syscalls:sys_enter_getppid", "getppid"),
    ("tracepoint:raw_syscalls:sys_enter", "getppid"),
    ("rawtracepoint:sys_enter", "getppid"),
    ("uprobe:LOAD:bench_function", "function"),
    ("uretprobe:LOAD:bench_function", "function"),
    ("usdt:LOAD:bench:hit", "usdt"),
    ("watchpoint:WATCHED:8:w", "watched"),
    ("software:faults:1", "fault"),
]


def measure(bench, results):
    bench.say("cost of each probe type")
    for probe, kind in PROBES:
        samples, unable = {None: [], OURS: [], PEER: []}, set()
        load = bench.load_each(bench.load_cpu, MILLISECONDS, [kind])
        for _ in range(bench.repeat(7, 3)):
            samples[None] += each_of(output(bench, load))
            for tool in [tool for tool in TOOLS if tool not in unable]:
                command = bench.command(tool, f"{probe} {{ @ = count(); }}")
                said = output(bench, [*command, "-c", " ".join(load)])
                if has_counted(said):
                    samples[tool] += each_of(said)
                else:
                    unable.add(tool)
        write_up(results, probe, samples)


def output(bench, command):
    """What a command prints. bpftrace 0.17 may hang instead of saying that it cannot."""
    limited = ["timeout", "-s", "KILL", str(LONGEST_RUN), *command]
    return bench.start(limited, output=subprocess.PIPE).communicate()[0].decode(errors="replace")


def has_counted(said):
    """Whether the probe has fired for about each call, which the map says when the tool ends."""
    counts = re.findall(r"^@: (\d+)$", said, re.MULTILINE)
    return any(int(count) >= 1000 for count in counts)


def write_up(results, probe, samples):
    """What the calls take longer than untraced ones. The tool starts the load, once it has attached."""
    floor = statistics.median(samples[None])
    above = {tool: [sample - floor for sample in samples[tool]] for tool in TOOLS}
    if not above[OURS]:
        raise subprocess.CalledProcessError(1, f"probebook: {probe} counted nothing")
    name = probe.replace("LOAD:", "").replace("WATCHED:", "")
    if above[PEER]:
        results.compare(SECTION, name, "ns", above[OURS], above[PEER])
        return
    line = Line(name, "ns", statistics.median(above[OURS]), quartiles(above[OURS]))
    line.note = "bpftrace cannot here"
    results.add(SECTION, line)
