"""What sets one architecture's machine apart from another's."""

import platform
import re
from dataclasses import dataclass
from pathlib import Path


# Of the time stamp counter where it counts instructions of a nanosecond each.
COUNTED_KHZ = 1_000_000


@dataclass(frozen=True)
class Architecture:
    """A processor, and how qemu emulates a machine with it."""

    # As `uname -m`, as Debian and as Rust call it.
    name: str
    debian: str
    triple: str
    # The emulator and the Debian package that it is in.
    emulator: str
    package: str
    # The emulator's arguments for board and processor.
    board: tuple
    # Kernel arguments for the serial port that is the console.
    console: str
    # Modules that its kernel has built in.
    built_in: frozenset = frozenset()

    def is_native(self):
        """Whether this machine's own programs run in it."""
        return platform.machine() == self.name

    def kernel_arguments(self, counts_instructions):
        """Quiet, quick, and with a clock that runs at the right speed."""
        arguments = f"{self.console} panic=-1 quiet nokaslr"
        return f"{arguments} {_x86_arguments(counts_instructions)}" if self is X86_64 else arguments


def _x86_arguments(counts_instructions):
    arguments = "mitigations=off no_timer_check random.trust_cpu=on"
    if khz := COUNTED_KHZ if counts_instructions else _time_stamp_khz():
        arguments += f" tsc=reliable tsc_early_khz={khz}"
    return arguments


def _time_stamp_khz():
    """The frequency of the time stamp counter, if this machine tells.

    The emulated one is the host's. Left to measure it against an emulated timer, the guest errs badly on a busy host.
    """
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    # Linux reports twice the frequency in MHz.
    bogomips = re.search(r"^bogomips\s*: ([\d.]+)", cpus, re.MULTILINE)
    return int(float(bogomips[1]) * 500) if bogomips else None


X86_64 = Architecture(
    name="x86_64",
    debian="amd64",
    triple="x86_64-unknown-linux-gnu",
    emulator="qemu-system-x86_64",
    package="qemu-system-x86",
    # la57=off: five levels of page tables only make emulation slower.
    board=("-M", "pc", "-cpu", "max,la57=off"),
    console="console=ttyS0",
)
# pauth-impdef: the architected algorithm, which signs return addresses, takes most of the time when it is emulated.
AARCH64 = Architecture(
    name="aarch64",
    debian="arm64",
    triple="aarch64-unknown-linux-gnu",
    emulator="qemu-system-aarch64",
    package="qemu-system-arm",
    board=("-M", "virt,gic-version=3", "-cpu", "max,pauth-impdef=on"),
    console="console=ttyAMA0",
    built_in=frozenset({"virtio_pci", "virtio_console", "virtiofs"}),
)
