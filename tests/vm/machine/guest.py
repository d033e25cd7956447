"""Runs one command in a virtual machine: qemu's own emulation, no network, this machine's files read-only."""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from . import initramfs
from .lists import Unavailable

# One processor: where kernel code changes that another one executes, emulated processors now and then loop for ever
# in instructions that are gone (seen with fentry under 6.1).
CPUS = 1
MEMORY_MIB = 2048
# What the guest's console said last is shown when something went wrong.
CONSOLE_LINES = 30
# In Debian 12 it comes with qemu, later it is a package of its own.
VIRTIOFSD = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"]


class Broken(Exception):
    """The machine did not boot, or ended before its command did; the message has its console's end."""


def run(kernel, command, folder, timeout, out, err, shared=(), counts_instructions=False):
    """Runs a command (a list of words) in a folder; gives its exit status.

    Its output goes to the binary files `out` and `err` as it comes. `timeout` is in seconds and covers booting. In a
    machine of another architecture, of this machine's files there are only the folder and those in `shared`. In one that
    counts instructions, a nanosecond of all clocks is an instruction executed: what is measured there is exact.
    """
    with tempfile.TemporaryDirectory(prefix="probebook-vm-") as scratch:
        scratch = Path(scratch)
        (scratch / "initramfs").write_bytes(initramfs.build(kernel, command, folder, shared))
        with _shared_files(scratch) as server:
            try:
                return _boot(kernel, scratch, timeout, out, err, counts_instructions)
            finally:
                server.terminate()


def _boot(kernel, scratch, timeout, out, err, counts_instructions):
    ports = {name: os.pipe() for name in ("out", "err")}
    arguments = _qemu(kernel, scratch, {name: write for name, (_, write) in ports.items()}, counts_instructions)
    writers = [write for _, write in ports.values()]
    log = (scratch / "qemu.log").open("wb")
    with log, subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=writers) as qemu:
        for writer in writers:
            os.close(writer)
        copies = [_copy(ports["out"][0], out), _copy(ports["err"][0], err)]
        try:
            qemu.wait(timeout)
        except subprocess.TimeoutExpired as expired:
            raise Broken(f"not done after {timeout:.0f} s\n{_console(scratch)}") from expired
        finally:
            qemu.kill()
            for copy in copies:
                copy.join()
    status = (scratch / "status").read_text().strip() if (scratch / "status").exists() else ""
    if not status.isdigit():
        raise Broken(f"the machine ended without its command's status (qemu: {qemu.returncode})\n{_console(scratch)}")
    return int(status)


def _qemu(kernel, scratch, descriptors, counts_instructions):
    """The command line."""
    architecture = kernel.architecture
    program = shutil.which(architecture.emulator)
    if program is None:
        raise Unavailable(f"{architecture.emulator} is missing (tools/setup vm)")
    arguments = [program, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", *architecture.board]
    arguments += ["-accel", "tcg", "-smp", str(CPUS)]
    # 2⁰ ns for each instruction. While the processor idles, time passes as outside.
    arguments += ["-icount", "shift=0"] if counts_instructions else []
    arguments += ["-m", str(MEMORY_MIB)]
    arguments += ["-object", f"memory-backend-memfd,id=memory,size={MEMORY_MIB}M,share=on"]
    arguments += ["-numa", "node,memdev=memory"]
    arguments += ["-kernel", kernel.image, "-initrd", scratch / "initramfs", "-append"]
    arguments += [architecture.kernel_arguments(counts_instructions)]
    arguments += ["-serial", f"file:{scratch}/console"]
    arguments += ["-chardev", f"socket,id=files,path={scratch}/files"]
    arguments += ["-device", "vhost-user-fs-pci,chardev=files,tag=host,queue-size=1024"]
    arguments += ["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]
    places = {name: f"/proc/self/fd/{descriptor}" for name, descriptor in descriptors.items()}
    for name, place in {**places, "status": scratch / "status"}.items():
        arguments += ["-chardev", f"file,id={name},path={place}"]
        arguments += ["-device", f"virtserialport,chardev={name},name={name}"]
    return arguments


def _shared_files(scratch):
    """Serves this machine's files to the guest until it is terminated."""
    program = next((path for path in VIRTIOFSD if os.access(path, os.X_OK)), None) or shutil.which("virtiofsd")
    if program is None:
        raise Unavailable("virtiofsd is missing (tools/setup vm)")
    socket = scratch / "files"
    options = ["-o", "source=/", "-o", "sandbox=chroot", "-o", "cache=always"]
    log = (scratch / "virtiofsd.log").open("wb")
    server = subprocess.Popen([program, f"--socket-path={socket}", *options], stdout=log, stderr=log)
    log.close()
    deadline = time.monotonic() + 10
    while not socket.exists():
        if server.poll() is not None or time.monotonic() > deadline:
            server.kill()
            raise Broken(f"virtiofsd did not start: {(scratch / 'virtiofsd.log').read_text(errors='replace')}")
        time.sleep(0.01)
    return server


def _copy(descriptor, to):
    """Copies what arrives, in a thread that ends with it."""

    def copy():
        with os.fdopen(descriptor, "rb", buffering=0) as source:
            while data := source.read(65536):
                to.write(data)
                to.flush()

    thread = threading.Thread(target=copy)
    thread.start()
    return thread


def _console(scratch):
    """The end of what the guest, qemu and virtiofsd said."""
    lines = []
    for name in ("console", "qemu.log", "virtiofsd.log"):
        if (scratch / name).exists():
            lines += (scratch / name).read_text(encoding="utf-8", errors="replace").splitlines()[-CONSOLE_LINES:]
    return "\n".join(f"  {line}" for line in lines) or "  (the console is empty)"
