"""Whole processes: from start to attached, and from start to the end."""

import os
import subprocess
import time

from .machine import OURS, PEER, TOOLS, run_time_statistics, stop, wait_until_counting

SECTION = "whole process"
DETACH = 0.3
ATTACHED_SCRIPT = "tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }"


def measure(bench, results):
    compare_ends(bench, results)
    times = {tool: [] for tool in TOOLS}
    with run_time_statistics():
        for _ in range(bench.repeat(10, 4)):
            for tool in TOOLS:
                times[tool].append(attached_milliseconds(bench, tool))
    results.compare(SECTION, "start to attached, @[comm] = count()", "ms", times[OURS], times[PEER])


def attached_milliseconds(bench, tool):
    """From starting the process to the first event that its program has counted.

    No load: this process itself calls the system all the time as it looks. Statistics must be on.
    """
    start = time.monotonic()
    process = bench.start(bench.command(tool, ATTACHED_SCRIPT), beside_load=False)
    try:
        wait_until_counting(process)
        return (time.monotonic() - start) * 1000
    finally:
        stop(process)
        # What is closed is taken off behind its back, with locks that the next one would wait for.
        time.sleep(DETACH)


def compare_ends(bench, results):
    bench.say("whole processes")
    wall = {tool: [] for tool in TOOLS}
    memory = {tool: [] for tool in TOOLS}
    for _ in range(bench.repeat(12, 5)):
        for tool in TOOLS:
            milliseconds, mebibytes = run_to_end(bench.command(tool, "BEGIN { exit(); }"))
            wall[tool].append(milliseconds)
            memory[tool].append(mebibytes)
    results.compare(SECTION, "BEGIN { exit(); }, start to end", "ms", wall[OURS], wall[PEER])
    results.compare(SECTION, "the same, largest memory", "MiB", memory[OURS], memory[PEER])


def run_to_end(command):
    """Milliseconds of wall time, MiB of largest resident memory."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    milliseconds = (time.monotonic() - start) * 1000
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return milliseconds, usage.ru_maxrss / 1024
