"""How many printf events arrive a second from one busy CPU, and whether those that do not are told."""

import os
import re
import time

from .machine import OURS, PEER, TOOLS, stop

SECTION = "printf events from one busy CPU"
SCRIPT = r'tracepoint:syscalls:sys_enter_getppid /comm == "load"/ { printf("%d\n", pid); }'
# Time for the reader to fetch what is left before it is stopped.
SETTLE = 0.5


def measure(bench, results):
    milliseconds = bench.repeat(3000, 1000)
    delivered = {tool: [] for tool in TOOLS}
    untold = {tool: [] for tool in TOOLS}
    lost = {tool: [] for tool in TOOLS}
    bench.say("printf events")
    for _ in range(bench.repeat(3, 2)):
        for tool in TOOLS:
            fired, lines, told = count_events(bench, tool, milliseconds)
            delivered[tool].append(lines / milliseconds * 1000)
            lost[tool].append(told / fired)
            untold[tool].append(abs(fired - lines - told))
    results.compare(
        SECTION, "delivered", "1/s", delivered[OURS], delivered[PEER],
        judged="ratio", at_least=1, goal=True,
    )  # fmt: skip
    results.compare(SECTION, "told to be lost, of those fired", "", lost[OURS], lost[PEER])
    results.compare(SECTION, "lost and not told", "events", untold[OURS], untold[PEER], at_most=0)
    for line in results.sections[SECTION][1:]:
        line.ratio = None


def count_events(bench, tool, milliseconds):
    """Fired (the load counts its calls), delivered (lines), and those the tool says it lost."""
    # In memory: a disk's speed is not what is asked for.
    path = f"/dev/shm/probebook-bench-{os.getpid()}"
    try:
        with open(path, "wb") as output, open(f"{path}-errors", "wb") as errors:
            process = bench.start(bench.command(tool, SCRIPT), output, errors)
            wait_until_attached(process, f"{path}-errors", path)
            fired = bench.load_for(milliseconds)
            time.sleep(SETTLE)
            stop(process)
        return fired, *read_output(path, f"{path}-errors")
    finally:
        for name in (path, f"{path}-errors"):
            if os.path.exists(name):
                os.remove(name)


def wait_until_attached(process, *paths):
    """Each tool says that it attaches before it has; the rest is waited for."""
    deadline = time.monotonic() + 20
    while not any(b"ttach" in open(path, "rb").read() for path in paths):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"did not attach: {process.args}")
        time.sleep(0.01)
    time.sleep(1)


def read_output(path, errors):
    lines, told = 0, 0
    for name in (path, errors):
        with open(name, "rb") as file:
            for line in file:
                if line.strip().isdigit():
                    lines += 1
                elif match := re.search(rb"(?i)lost (\d+) events", line):
                    told += int(match.group(1))
    return lines, told
