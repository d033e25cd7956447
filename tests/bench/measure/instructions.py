"""What probes cost in instructions, in a virtual machine that counts them: exact, and of every type.

Its kernel has the probes that this machine's may lack, and says the same each time, on whatever machine it is emulated.
"""

import re
import shlex
import subprocess
from collections import defaultdict

from .machine import OURS, PEER, TOOLS, each_of
from .report import Line

SECTION = "cost of a probe to what it traces, VM"
ATTACH_SECTION = "attach, fire hardly ever, detach, VM"
KERNEL = "6.12"
TIMEOUT = 400
# Of virtual time, for each kind of call.
MILLISECONDS = 30
PATIENCE = 60
UNTRACED = "untraced"
# 0.17 attaches to no more than 512 unless it is told.
PROBES_AT_MOST = 5000


def of_functions(probe, value):
    """A probe on each of three functions that one system call each calls once."""
    return [
        ("getgid", f"{probe}:from_kgid_munged", "@ = count()"),
        ("getuid", f"{probe}:from_kuid_munged", "@p[pid] = count()"),
        ("getppid", f"{probe}:__task_pid_nr_ns", f"@v = sum({value})"),
    ]


def of_system_calls(category, end, value):
    """A tracepoint of each of the same system calls."""
    return [
        ("getgid", f"{category}_{end}_getgid", "@ = count()"),
        ("getuid", f"{category}_{end}_getuid", "@p[pid] = count()"),
        ("getppid", f"{category}_{end}_getppid", f"@v = sum({value})"),
    ]


def counted(kind, probe):
    return [(kind, probe, "@ = count()")]


# For each script: the calls of the load that its probes fire for, the probes, and what they do. 0.17 has fentry by its
# old name only.
SCRIPTS = {
    "kprobe": of_functions("kprobe", "arg1"),
    "kretprobe": of_functions("kretprobe", "retval"),
    "fentry": of_functions("kfunc", "args->type"),
    "fexit": of_functions("kretfunc", "retval"),
    "kprobe, wildcard": counted("getgid", "kprobe:from_k*id_munged"),
    "kretprobe, wildcard": counted("getgid", "kretprobe:from_k*id_munged"),
    "kprobe+kretprobe, wildcard": counted("getgid", "kprobe:from_k*id_munged,kretprobe:from_k*id_munged"),
    "tracepoint": of_system_calls("tracepoint:syscalls:sys", "enter", "args->__syscall_nr"),
    "rawtracepoint": counted("getgid", "rawtracepoint:sys_enter"),
    "uprobe": counted("function", "uprobe:LOAD:bench_function"),
    "uretprobe": counted("function", "uretprobe:LOAD:bench_function"),
    "usdt": counted("usdt", "usdt:LOAD:bench:hit"),
    "watchpoint": counted("watched", "watchpoint:WATCHED:8:w"),
    "software": counted("fault", "software:faults:1"),
}
# One, some eighty, two thousand, and hundreds.
ATTACHED = ["kprobe:vfs_read", "kprobe:vfs_*", "kprobe:s*r*", "tracepoint:syscalls:sys_enter_*"]


def measure(bench, results):
    bench.say("instructions of each probe type, in a virtual machine")
    command = [bench.project / "tests/vm/run", "--kernel", KERNEL, "--count-instructions", "--timeout", str(TIMEOUT)]
    command += ["bash", "-c", "\n".join(commands(bench))]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = by_title(done.stdout)
    if (UNTRACED, OURS) not in said:
        bench.say(f"no machine, so that is skipped: {done.stderr.strip()}")
        return
    write_up(results, said)
    write_up_attaching(results, said)


def commands(bench):
    """The guest's shell script: a title before what each command says."""
    kinds = {kind: None for probes in SCRIPTS.values() for kind, _, _ in probes}
    yield f"export BPFTRACE_MAX_PROBES={PROBES_AT_MOST}; TIMEFORMAT='took: %U %S'"
    yield titled(UNTRACED, OURS, bench.load_each(0, MILLISECONDS, kinds))
    for name, probes in SCRIPTS.items():
        script = " ".join(f"{probe} {{ {action}; }}" for _, probe, action in probes)
        load = shlex.join(bench.load_each(0, MILLISECONDS, [kind for kind, _, _ in probes]))
        for tool in TOOLS:
            yield titled(name, tool, [*bench.command(tool, script), "-c", load])
    for probe in ATTACHED:
        for tool in TOOLS:
            yield titled(probe, tool, bench.command(tool, f"{probe} {{ @ = count(); }} BEGIN {{ exit(); }}"))


def titled(name, tool, command):
    return f"echo '= {name} = {tool}'; {{ time timeout {PATIENCE} {shlex.join(command)}; }} 2>&1"


def by_title(output):
    """What each command said, by script and tool."""
    said, title = defaultdict(str), None
    for line in output.splitlines():
        if found := re.fullmatch(r"= (.*) = (\w+)", line):
            title = found.groups()
        else:
            said[title] += f"{line}\n"
    return said


def write_up(results, said):
    """What calls take more than untraced ones."""
    kinds = {kind: None for probes in SCRIPTS.values() for kind, _, _ in probes}
    floor = dict(zip(kinds, each_of(said[UNTRACED, OURS]), strict=True))
    for name, probes in SCRIPTS.items():
        figures = {tool: each_of(said[name, tool]) for tool in TOOLS}
        if len(figures[OURS]) != len(probes):
            raise RuntimeError(f"probebook in the virtual machine, {name}: {said[name, OURS]}")
        for index, (kind, _, action) in enumerate(probes):
            above = {tool: figures[tool][index] - floor[kind] for tool in TOOLS if figures[tool]}
            add(results, SECTION, f"{name}, {action}", "instr", above)


def write_up_attaching(results, said):
    """What whole processes take."""
    for probe in ATTACHED:
        taken = {tool: time for tool in TOOLS if (time := processor_time(said[probe, tool]))}
        add(results, ATTACH_SECTION, probe, "M instr", taken)


def processor_time(said):
    """Of a command that has attached, in millions of instructions: as many as milliseconds."""
    found = re.search(r"^Attach(?:ed|ing) \d+ probe.*^took: ([\d.]+) ([\d.]+)$", said, re.MULTILINE | re.DOTALL)
    return (float(found[1]) + float(found[2])) * 1000 if found else None


def add(results, section, name, unit, figures):
    """A line, if the probe has fired at all: else it costs nothing."""
    if figures.get(OURS, 0) < 1:
        raise RuntimeError(f"probebook in the virtual machine: {name} has not fired")
    line = Line(name, unit, figures[OURS])
    if figures.get(PEER, 0) >= 1:
        line.peer, line.ratio = figures[PEER], figures[OURS] / figures[PEER]
        line.judged, line.at_most = "ratio", 1.0
    else:
        line.note = "bpftrace cannot"
    results.add(section, line)
