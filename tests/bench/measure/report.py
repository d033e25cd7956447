"""Results, their targets, the table and the JSON."""

import json
import os
import statistics
from dataclasses import asdict, dataclass, field
from typing import Optional


@dataclass
class Line:
    """One figure. What must hold is said of `judged`, which is `ratio` or `ours`. A goal is aimed
    at; missing it does not fail the run."""

    name: str
    unit: str
    ours: float
    ours_spread: Optional[list] = None
    peer: Optional[float] = None
    peer_spread: Optional[list] = None
    ratio: Optional[float] = None
    judged: str = "ours"
    at_most: Optional[float] = None
    at_least: Optional[float] = None
    goal: bool = False
    note: str = ""

    @property
    def met(self):
        value = self.ratio if self.judged == "ratio" else self.ours
        if self.at_most is not None:
            return value <= self.at_most
        if self.at_least is not None:
            return value >= self.at_least
        return None

    @property
    def target(self):
        what = "goal " if self.goal else ""
        what += "ratio " if self.judged == "ratio" else ""
        if self.at_most is not None:
            return f"{what}≤ {self.at_most:g}"
        return f"{what}≥ {self.at_least:g}" if self.at_least is not None else ""


@dataclass
class Results:
    """The lines in the order in which they were measured."""

    machine: dict
    sections: dict = field(default_factory=dict)

    def add(self, section, line):
        self.sections.setdefault(section, []).append(line)

    def compare(self, section, name, unit, ours, peer=None, **target):
        """Adds a line of medians from samples, with their quartiles as the spread."""
        line = Line(name, unit, statistics.median(ours), quartiles(ours), **target)
        if peer:
            line.peer, line.peer_spread = statistics.median(peer), quartiles(peer)
            line.ratio = line.ours / line.peer if line.peer else None
        self.add(section, line)
        return line

    def finish(self):
        self.machine["load_average_after"] = os.getloadavg()[0]

    def all_met(self):
        return not any(line.met is False and not line.goal for line in self.lines())

    def lines(self):
        return [line for lines in self.sections.values() for line in lines]

    def as_json(self):
        sections = {
            section: [{**asdict(line), "met": line.met} for line in lines]
            for section, lines in self.sections.items()
        }
        return json.dumps({"machine": self.machine, "sections": sections}, indent=1) + "\n"


def quartiles(samples):
    """First and third quartile; of few samples, the smallest and the largest."""
    if len(samples) < 4:
        return [min(samples), max(samples)]
    first, _, third = statistics.quantiles(samples, n=4)
    return [first, third]


def table(results):
    """Text for a terminal; also readable as the body of a note."""
    machine = results.machine
    rows = [
        "",
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_mib']} MiB, "
        f"Linux {machine['kernel']}; {machine['probebook']}; {machine['bpftrace']}",
        f"load average {machine['load_average_before']:.1f} before, "
        f"{machine['load_average_after']:.1f} after" + (" (quick)" if machine["quick"] else ""),
    ]
    for section, lines in results.sections.items():
        rows += ["", f"{section:50.50} {'probebook':>20} {'bpftrace':>20} {'ratio':>7}  target"]
        rows += [row(line) for line in lines]
    missed = [line for line in results.lines() if line.met is False]
    rows += [""]
    rows += [f"target missed: {line.name}" for line in missed if not line.goal]
    rows += [f"goal missed: {line.name}" for line in missed if line.goal]
    rows += [] if missed else ["every target and goal is met"]
    return "\n".join(rows)


def row(line):
    verdict = {True: "pass", False: "miss" if line.goal else "FAIL", None: ""}[line.met]
    ratio = f"{line.ratio:.2f}" if line.ratio is not None else ""
    name = f"{line.name} [{line.unit}]" if line.unit else line.name
    cells = f"  {name:48.48} {figure(line.ours, line.ours_spread):>20}"
    cells += f" {figure(line.peer, line.peer_spread):>20} {ratio:>7}  {line.target:17} {verdict}"
    return f"{cells} {line.note}".rstrip()


def figure(value, spread):
    if value is None:
        return ""
    if not spread:
        return number(value)
    return f"{number(value)} ({number(spread[0])}-{number(spread[1])})"


def number(value):
    if abs(value) >= 1e5:
        return f"{value / 1e6:.2f}M"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"
