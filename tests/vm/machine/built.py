"""A kernel that is built for the tests: Debian's source, with what Debian's own kernels leave out."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from . import archive
from .architecture import X86_64
from .lists import Unavailable

# What it is called beside those of the archive.
NAME = "6.12-inject"
SOURCE = "linux-source-6.12"
OPTIONS = Path(__file__).with_name("inject.config")
TOOLS = ["make", "gcc", "bc", "bison", "flex", "pahole", "tar", "xz"]
HEADERS = [Path("/usr/include/libelf.h")]
# Most of the source is drivers that are never built: unpacked is what the build reads, and all of Kconfig.
UNREAD = [
    "*/Documentation/*.rst",
    "*/Documentation/devicetree/*",
    "*/arch/[a-w]*/*.[chS]",
    "*.dts*",
    "*/drivers/gpu/*.[ch]",
    "*/drivers/media/*.[ch]",
    "*/drivers/net/*/*.[ch]",
    "*/sound/*.[ch]",
    "*/tools/testing/*",
]
# A failed build says why at its end.
LOG_LINES = 30


class Broken(Exception):
    """The kernel cannot be built though all is there that it takes; the message has the compiler's words."""


def kernel():
    """The kernel for the newest source that the package lists know; it is built once for each set of options."""
    if not X86_64.is_native():
        raise Unavailable("the kernel that is built is one for x86_64, which this machine is not")
    options = hashlib.sha256(OPTIONS.read_bytes()).hexdigest()[:12]
    version = _newest()
    if version is None:
        # The archive may be out of reach: what was built once still does.
        if built := sorted(archive.cache().glob(f"{SOURCE}_*_{options}")):
            return archive.Kernel(built[-1])
        raise Unavailable(f"the package lists do not have {SOURCE}: apt-get update, on Debian 12")
    root = archive.cache() / f"{SOURCE}_{version}_{options}"
    if not root.is_dir():
        _check_tools()
        _build(root)
    return archive.Kernel(root)


def _newest():
    """The version of the source package, without its epoch."""
    listing = subprocess.run(["apt-cache", "policy", SOURCE], capture_output=True, text=True, check=False)
    found = re.search(r"Candidate: (?:\d+:)?(\d\S*)", listing.stdout)
    return found[1] if found else None


def _check_tools():
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    missing += [str(header) for header in HEADERS if not header.exists()]
    if missing:
        raise Unavailable(f"building a kernel: {', '.join(missing)} is missing (tools/setup vm)")


def _build(root):
    """Builds the kernel; `root` appears only when it is complete, and looks like an unpacked kernel package."""
    with archive.scratch() as folder:
        source = _unpack(Path(folder))
        print(f"vm: building {root.name} (some minutes, once)", flush=True)
        _make(source, "allnoconfig", f"KCONFIG_ALLCONFIG={OPTIONS}")
        _check_options(source)
        _make(source, "bzImage")
        release = (source / "include/config/kernel.release").read_text(encoding="utf-8").strip()
        made = Path(folder) / "made"
        (made / "lib/modules" / release).mkdir(parents=True)
        (made / "boot").mkdir()
        shutil.copy(source / "arch/x86/boot/bzImage", made / "boot" / f"vmlinuz-{release}")
        shutil.copy(source / ".config", made / "boot" / f"config-{release}")
        shutil.move(made, root)


def _unpack(folder):
    packed = next((archive.download([SOURCE], folder) / "usr/src").glob("*.tar.xz"))
    source = folder / "source"
    source.mkdir()
    exclusions = [f"--exclude={pattern}" for pattern in UNREAD]
    archive.run(["tar", "-xJf", packed, "-C", source, "--strip-components=1", *exclusions], f"unpacking {packed.name}")
    packed.unlink()
    return source


def _make(source, target, *settings):
    command = ["make", "-s", f"-j{os.cpu_count() or 1}", target, *settings]
    done = subprocess.run(
        command, cwd=source, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").splitlines()[-LOG_LINES:]
        raise Broken("\n  ".join([f"make {target} fails:", *said]))


def _check_options(source):
    """An option whose conditions do not hold is left out by `make` without a word."""
    chosen = (source / ".config").read_text(encoding="utf-8").splitlines()
    wanted = OPTIONS.read_text(encoding="utf-8").splitlines()
    if lost := [line for line in wanted if line.startswith("CONFIG_") and line not in chosen]:
        raise Broken(f"{OPTIONS.name}: conditions do not hold of {', '.join(lost)}")
