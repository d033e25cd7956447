"""What is measured and where: the two tools, the load, the kernel's own program statistics."""

import contextlib
import ctypes
import os
import platform
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

PEER = "bpftrace"
OURS = "probebook"
TOOLS = (OURS, PEER)
PATIENCE = 20
# bpf(2)'s number on the machines that this runs on, and BPF_ENABLE_STATS of its commands.
BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}
BPF_ENABLE_STATS = 32


class Bench:
    """Where things are, and how often to repeat."""

    def __init__(self, project, binary, quick):
        self.project = project
        self.binary = binary
        self.quick = quick
        self.scratch = project / "build/bench"
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.load_cpu = max(os.sched_getaffinity(0))
        self.tool_cpus = os.sched_getaffinity(0) - {self.load_cpu} or {self.load_cpu}
        self.load_program = self.scratch / "load"
        source = Path(__file__).with_name("load.c")
        subprocess.run(["cc", "-O2", "-no-pie", "-o", self.load_program, source], check=True)
        symbols = subprocess.run(["nm", self.load_program], check=True, capture_output=True, text=True).stdout
        self.watched = re.search(r"^(\w+) \w bench_watched$", symbols, re.MULTILINE)[1]

    def repeat(self, full, quick):
        return quick if self.quick else full

    def command(self, tool, script):
        """The command that runs a script; both tools take the same one. In it, LOAD is the load's path, and WATCHED
        the address of its variable."""
        script = script.replace("LOAD", str(self.load_program)).replace("WATCHED", f"0x{self.watched}")
        if tool == OURS:
            return [str(self.binary), "run", "-e", script]
        return [PEER, "-e", script]

    def load_each(self, cpu, milliseconds, kinds):
        """The load's command that says what a call of each kind takes, as `each_of` reads it."""
        return [str(self.load_program), str(cpu), str(milliseconds), "each", *kinds]

    def say(self, text):
        print(f"bench: {text}", flush=True)

    def start(
        self, command, output=subprocess.DEVNULL, errors=subprocess.DEVNULL, beside_load=True
    ):
        """A process; beside the load, it keeps off the load's CPU."""
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            preexec_fn=(lambda: os.sched_setaffinity(0, self.tool_cpus)) if beside_load else None,
        )

    @contextlib.contextmanager
    def load(self, *kind):
        """The load, for as long as the block lasts."""
        process = subprocess.Popen([self.load_program, str(self.load_cpu), "0", *kind])
        try:
            yield
        finally:
            process.terminate()
            process.wait()

    def load_for(self, milliseconds, *kind):
        """The load, for some time. Returns how many calls it made."""
        command = [self.load_program, str(self.load_cpu), str(milliseconds), *kind]
        return int(subprocess.run(command, check=True, capture_output=True).stdout)


def each_of(output):
    """What a call of each kind takes, by the output of the load."""
    return [float(figure) for figure in re.findall(r"^each: ([\d.]+)$", output, re.MULTILINE)]


def stop(process):
    """Ctrl-C, and no mercy for one that does not heed it."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _EnableStats(ctypes.Structure):
    # `struct { __u32 type; } enable_stats` of union bpf_attr; 0 is BPF_STATS_RUN_TIME.
    _fields_ = [("type", ctypes.c_uint32), ("room", ctypes.c_uint8 * 60)]


@contextlib.contextmanager
def run_time_statistics():
    """Has the kernel account programs' run time: as long as a descriptor is open, see bpf(2).

    The sysctl kernel.bpf_stats_enabled stays untouched; nothing is to be restored.
    """
    number = BPF_SYSCALL[platform.machine()]
    attr = _EnableStats(type=0)
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(number, BPF_ENABLE_STATS, ctypes.byref(attr), ctypes.sizeof(attr))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "BPF_ENABLE_STATS")
    try:
        yield
    finally:
        os.close(fd)


@dataclass(frozen=True)
class ProgramTime:
    """What the kernel says about one program: nanoseconds in it, and how often it ran."""

    nanoseconds: int
    runs: int


def program_times(pid):
    """Program id to ProgramTime, of all BPF programs that a process holds descriptors of."""
    found = {}
    for fd in _descriptors(pid):
        try:
            if "bpf-prog" not in os.readlink(f"/proc/{pid}/fd/{fd}"):
                continue
            with open(f"/proc/{pid}/fdinfo/{fd}") as file:
                info = dict(re.findall(r"^(\w+):\s*(\S+)", file.read(), re.MULTILINE))
        except OSError:
            continue  # closed meanwhile
        found[int(info["prog_id"])] = ProgramTime(int(info["run_time_ns"]), int(info["run_cnt"]))
    return found


def _descriptors(pid):
    try:
        return os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return []


def wait_until_counting(process, pause=0.001):
    """Returns when some program of the process has run: its probe is attached."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"ended early: {process.args}")
        if any(program.runs for program in program_times(process.pid).values()):
            return
        time.sleep(pause)
    raise RuntimeError(f"no event within {PATIENCE} s: {process.args}")


def describe(bench):
    """The machine and the versions, for the results."""
    cpu = re.search(r"^model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    version = lambda command: subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.strip()
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cpus": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "kernel": platform.release(),
        OURS: version([str(bench.binary), "--version"]),
        PEER: version([PEER, "--version"]),
        "quick": bench.quick,
        "load_average_before": os.getloadavg()[0],
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
