"""Compile times: bpftrace's own tool scripts, a plain script of a hundred lines, and very long ones."""

import re
import statistics
import subprocess
import time
from pathlib import Path

from .machine import OURS, PEER, TOOLS
from .report import Line

SECTION = "compile, warm"
LONG_SECTION = "compile a long script, warm"
PROCESS_SECTION = "compile in a process of its own, nothing attached"
FRONT_END_AT_MOST = 1.0
TOOL_AT_MOST = 10.0
LONG_AT_MOST = 2000.0
# Five times the lines take at most so many times as long.
GROWTH_AT_MOST = 6.0
LENGTHS = (1000, 5000)
PLAIN_LINES = 100
# Where the package archive's bpftrace puts its tools.
TOOLS_FOLDER = Path("/usr/sbin")
SIDE_BY_SIDE = ("syscount.bt", "opensnoop.bt", "setuids.bt")


def measure(bench, results):
    bench.say("compile times")
    measure_tools(bench, results)
    measure_long(bench, results)
    measure_processes(bench, results)


def measure_tools(bench, results):
    scripts = {path.name: path for path in sorted(TOOLS_FOLDER.glob("*.bt")) if is_plain(path)}
    plain = write(bench, "plain", many_probes(PLAIN_LINES))
    front, _ = compile_times(bench, plain)
    name = f"front end, {PLAIN_LINES} lines of plain code"
    results.add(SECTION, Line(name, "ms", front, at_most=FRONT_END_AT_MOST))
    times = {name: found for name, path in scripts.items() if (found := compile_times(bench, path))}
    if not times:
        return
    for index, what, most in ((0, "front end", FRONT_END_AT_MOST), (1, "whole", TOOL_AT_MOST)):
        middle = statistics.median(pair[index] for pair in times.values())
        slowest = max(times, key=lambda name: times[name][index])
        name = f"{what}, {len(times)} of bpftrace's tools, median"
        results.add(SECTION, Line(name, "ms", middle))
        line = Line(f"{what}, the slowest of them", "ms", times[slowest][index], at_most=most)
        line.note = slowest
        results.add(SECTION, line)


def measure_long(bench, results):
    for shape, make in (("one probe", one_probe), ("many probes", many_probes)):
        took = {}
        for lines in LENGTHS:
            script = write(bench, f"long{lines}", make(lines))
            _, took[lines] = compile_times(bench, script)
            most = LONG_AT_MOST if lines == max(LENGTHS) else None
            name = f"{lines} lines, {shape}"
            results.add(LONG_SECTION, Line(name, "ms", took[lines], at_most=most))
        growth = took[max(LENGTHS)] / took[min(LENGTHS)]
        line = Line(f"{max(LENGTHS)} lines beside {min(LENGTHS)}, {shape}", "", growth)
        line.at_most, line.goal = GROWTH_AT_MOST, True
        results.add(LONG_SECTION, line)


def measure_processes(bench, results):
    """0.17 cannot measure itself: its dry run is writing an object (`--emit-elf`)."""
    target = bench.scratch / "object.elf"
    for name in SIDE_BY_SIDE:
        path = TOOLS_FOLDER / name
        if not path.exists():
            continue
        samples = {tool: [] for tool in TOOLS}
        for _ in range(bench.repeat(7, 3)):
            for tool in TOOLS:
                start = time.monotonic()
                command = [str(bench.binary), "run"] if tool == OURS else [PEER]
                command += ["--emit-elf", str(target), str(path)]
                subprocess.run(command, check=True, capture_output=True)
                samples[tool].append((time.monotonic() - start) * 1000)
        results.compare(PROCESS_SECTION, name, "ms", samples[OURS], samples[PEER])


def is_plain(path):
    """Without C headers, whose reading is another matter."""
    return "#include" not in path.read_text(errors="replace")


def compile_times(bench, path):
    """Milliseconds of the front end and of the whole; None if the script does not suit this machine."""
    command = [str(bench.binary), "run", "--no-warnings", "--mode", "compiler-bench", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = dict(re.findall(r"^(front end|compile): (\d+) us", done.stdout, re.MULTILINE))
    if done.returncode or len(found) != 2:
        return None
    return int(found["front end"]) / 1000, int(found["compile"]) / 1000


def write(bench, name, lines):
    path = bench.scratch / f"{name}.bt"
    path.write_text("\n".join(lines) + "\n")
    return path


def statements(number):
    """Eight lines with a branch, two maps, a variable that is set on two paths, and output."""
    return [
        f"  $a{number} = nsecs + {number};",
        f"  if ($a{number} % 3 == 1) {{",
        f"    @m{number % 20}[comm, pid] = count();",
        "  } else {",
        f"    @h{number % 20} = hist($a{number} & 0xffff);",
        f"    $a{number} = (uint64)pid * {number};",
        f'    printf("%d %s\\n", $a{number}, comm);',
        "  }",
    ]


def many_probes(count):
    lines = []
    number = 0
    while len(lines) < count:
        number += 1
        lines += [f"interval:s:{3600 + number} /pid != {number}/ {{", *statements(number), "}"]
    return lines


def one_probe(count):
    lines = ["interval:s:3600 {"]
    number = 0
    while len(lines) < count - 1:
        number += 1
        lines += statements(number)
    return [*lines, "}"]
