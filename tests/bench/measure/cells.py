"""The kernel as Jupyter sees it: cells, attaching, start, memory."""

import contextlib
import json
import os
import re
import secrets
import statistics
import subprocess
import time
from pathlib import Path

import zmq
from jupyter_client.connect import write_connection_file
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from jupyter_client.session import Session

from .machine import PATIENCE, PEER, program_times, run_time_statistics
from .process import ATTACHED_SCRIPT, DETACH, attached_milliseconds
from .report import Line

SECTION = "kernel"
TRIVIAL_CELL = r'begin { printf("hi\n"); }'
CELL_AT_MOST, ATTACHED_AT_MOST, START_AT_MOST, MEMORY_AT_MOST = 15, 30, 150, 80
# Ten times faster than the bpftrace process.
ATTACHED_RATIO_AT_MOST = 0.1
WARM_UP = 5
TOUR = "notebooks/tour.ipynb"


def measure(bench, results):
    specs = install_kernelspec(bench)
    trivial_cells(bench, results, specs)
    attached_cells(bench, results, specs)
    starts(bench, results, specs)
    memory_after_tour(bench, results, specs)


def install_kernelspec(bench):
    """As `probebook install` writes it, below the benchmark's own folder."""
    prefix = bench.scratch / "prefix"
    subprocess.run(
        [bench.binary, "install", "--prefix", prefix], check=True, stdout=subprocess.DEVNULL
    )
    return KernelSpecManager(kernel_dirs=[str(prefix / "share/jupyter/kernels")])


class Client:
    """A kernel and a blocking client of it."""

    def __init__(self, specs, name="probebook"):
        self.manager = KernelManager(kernel_name=name, kernel_spec_manager=specs)
        self.manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    @property
    def pid(self):
        return self.manager.provisioner.process.pid

    def execute(self, code, timeout=PATIENCE):
        """Runs a cell to its idle status. Returns its milliseconds and its reply's content."""
        start = time.monotonic()
        request = self.client.execute(code, allow_stdin=False)
        while True:
            message = self.client.get_iopub_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["content"].get("execution_state") == "idle":
                break
        milliseconds = (time.monotonic() - start) * 1000
        while True:
            reply = self.client.get_shell_msg(timeout=timeout)
            if reply["parent_header"].get("msg_id") == request:
                return milliseconds, reply["content"]

    def execute_ok(self, code, timeout=PATIENCE):
        milliseconds, reply = self.execute(code, timeout)
        if reply["status"] != "ok":
            raise RuntimeError(f"{code!r}: {reply.get('evalue', reply['status'])}")
        return milliseconds

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)


@contextlib.contextmanager
def kernel(specs, name="probebook"):
    client = Client(specs, name)
    try:
        yield client
    finally:
        client.close()


def trivial_cells(bench, results, specs):
    repetitions = bench.repeat(100, 30)
    bench.say("cells")
    with kernel(specs) as client:
        ours = repeat_cell(client, TRIVIAL_CELL, repetitions)
    name = r'begin { printf("hi\n"); }, request to idle'
    results.compare(SECTION, name, "ms", ours, at_most=CELL_AT_MOST)
    with contextlib.suppress(ImportError):
        import ipykernel  # noqa: F401

        with kernel(KernelSpecManager(), "python3") as client:
            theirs = repeat_cell(client, 'print("hi")', repetitions)
        line = results.compare(SECTION, 'ipykernel: print("hi")', "ms", theirs)
        line.note = "for comparison: ipykernel's own figure"


def repeat_cell(client, code, repetitions):
    for _ in range(WARM_UP):
        client.execute_ok(code)
    return [client.execute_ok(code) for _ in range(repetitions)]


def attached_cells(bench, results, specs):
    """A %%bg cell replies when its probes are attached. The request that does nothing (%jobs) is
    taken off, for the peer has no such thing as a request: what is left is parse to attached."""
    bench.say("cells that attach")
    whole, peer = [], []
    with kernel(specs) as client, run_time_statistics():
        check_attached(client)
        for _ in range(WARM_UP):
            attached_cell(client)
        empty = statistics.median(repeat_cell(client, "%jobs", bench.repeat(20, 10)))
        # Alternately, so that what else goes on hits both.
        for _ in range(bench.repeat(20, 8)):
            whole.append(attached_cell(client))
            peer.append(attached_milliseconds(bench, PEER))
    net = [milliseconds - empty for milliseconds in whole]
    results.compare(SECTION, "%%bg, @[comm] = count(), request to idle", "ms", whole)
    line = results.compare(SECTION, "its parse to attached", "ms", net, at_most=ATTACHED_AT_MOST)
    line.note = f"an empty request ({empty:.2f}) taken off"
    results.compare(
        SECTION, "the same, and bpftrace start to attached", "ms", net, peer,
        judged="ratio", at_most=ATTACHED_RATIO_AT_MOST,
    )  # fmt: skip


def attached_cell(client):
    """Milliseconds of a cell that attaches; everything of it is gone afterwards."""
    milliseconds = client.execute_ok(f"%%bg bench\n{ATTACHED_SCRIPT}")
    client.execute_ok("%stop bench")
    client.execute_ok("%drop --all")
    time.sleep(DETACH)
    return milliseconds


def check_attached(client):
    """That the reply means what it says: system calls are counted from then on."""
    client.execute_ok(f"%%bg bench\n{ATTACHED_SCRIPT}")
    first = program_times(client.pid)
    second = program_times(client.pid)
    client.execute_ok("%stop bench")
    client.execute_ok("%drop --all")
    # To look is to call the system many times, so the second look must see more events.
    if not any(second[program].runs > first[program].runs for program in first):
        raise RuntimeError("the cell replied before its probe was attached")


def starts(bench, results, specs):
    bench.say("starts")
    command = specs.get_kernel_spec("probebook").argv
    ours = [start_milliseconds(bench, command) for _ in range(bench.repeat(10, 4))]
    results.compare(SECTION, "start to first kernel_info_reply", "ms", ours, at_most=START_AT_MOST)


def start_milliseconds(bench, command):
    """From starting the process to the reply.

    A socket of our own: jupyter_client's tries to connect every 100 ms, which would be the figure.
    """
    key = secrets.token_hex(16).encode()
    path, config = write_connection_file(str(bench.scratch / "connection.json"), key=key)
    session = Session(key=key)
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.RECONNECT_IVL, 1)
    socket.setsockopt(zmq.LINGER, 0)
    start = time.monotonic()
    process = subprocess.Popen(
        [part.format(connection_file=path) for part in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        socket.connect(f"tcp://{config['ip']}:{config['shell_port']}")
        session.send(socket, "kernel_info_request")
        if not socket.poll(PATIENCE * 1000):
            raise RuntimeError("no kernel_info_reply")
        return (time.monotonic() - start) * 1000
    finally:
        process.terminate()
        process.wait()
        context.destroy()
        os.remove(path)


def memory_after_tour(bench, results, specs):
    bench.say(f"memory after {TOUR}")
    notebook = json.loads((bench.project / TOUR).read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    with kernel(specs) as client:
        before = memory(client.pid, "VmRSS")
        for cell in cells:
            client.execute(cell, timeout=60)
        name = f"resident memory after the tour's {len(cells)} cells"
        after = memory(client.pid, "VmRSS")
        line = Line(name, "MiB", after, at_most=MEMORY_AT_MOST)
        line.note = f"{before:.0f} at the start, {memory(client.pid, 'VmHWM'):.0f} at the most"
        results.add(SECTION, line)


def memory(pid, what):
    """A figure of /proc/PID/status, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{what}:\s*(\d+) kB", status, re.MULTILINE).group(1)) / 1024
