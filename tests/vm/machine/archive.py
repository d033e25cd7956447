"""Kernels and programs from Debian's package archive, downloaded once and unpacked without being installed."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .architecture import AARCH64, X86_64
from .lists import Unavailable, apt, cache, refresh

# The cloud flavour has few modules and a third of the size. Each of these names a package that depends on the
# newest kernel of its series; all are in the archive of Debian 12.
SERIES = {
    "6.1": (X86_64, "linux-image-cloud-amd64"),
    "6.12": (X86_64, "linux-image-6.12-cloud-amd64"),
    "6.12-arm64": (AARCH64, "linux-image-6.12-cloud-arm64"),
}
# What is in a machine whose processor does not run this machine's programs. Busybox stands in for all other commands.
PROGRAMS = ["busybox-static", "coreutils", "dash", "libllvm22"]


class Kernel:
    """An unpacked kernel package, or what lies as in one."""

    def __init__(self, root, architecture=X86_64):
        self.root = root
        self.architecture = architecture
        self.release = next(path.name for path in (root / "lib/modules").iterdir())
        self.image = root / "boot" / f"vmlinuz-{self.release}"

    def modules(self, names):
        """Files of the modules and of all that they need, in the order in which they are to be loaded."""
        if not (self.root / "lib/modules" / self.release / "modules.dep").exists():
            return []
        wanted = [name for name in names if name not in self.architecture.built_in]
        command = ["modprobe", "-d", self.root, "-S", self.release, "-a", "--show-depends", *wanted]
        listing = run(command, f"finding modules of {self.release}")
        files = re.findall(r"^insmod (\S+)", listing, re.MULTILINE)
        return [Path(file) for file in dict.fromkeys(files)]


def kernel(series):
    """The newest kernel of a series that the package lists know; a cached one if it is the same."""
    if series not in SERIES:
        raise Unavailable(f"no kernel {series} (there are {', '.join(SERIES)})")
    architecture, meta = SERIES[series]
    if architecture is X86_64 and not architecture.is_native():
        raise Unavailable("what is tested under a kernel for x86_64 is compiled for the machine itself, which is another")
    package = _newest(meta, architecture)
    if package is None:
        # The archive may be out of reach, the package lists away: what was unpacked once still does.
        if unpacked := sorted(cache().glob(f"linux-image-{series.split('-')[0]}.*-{architecture.debian}")):
            return Kernel(unpacked[-1], architecture)
        raise Unavailable(f"the package lists do not have {meta}: apt-get update, on Debian 12")
    root = cache() / package
    if not root.is_dir():
        _unpack([package], root, architecture, _index_modules)
    return Kernel(root, architecture)


def programs(architecture):
    """The folder with the programs of another architecture, and the libraries that they and the project's want."""
    root = cache() / f"programs-{architecture.debian}"
    if root.is_dir() and (root / "packages").read_text(encoding="utf-8").split() == PROGRAMS:
        return root
    packages = _with_dependencies(PROGRAMS, architecture)
    shutil.rmtree(root, ignore_errors=True)
    _unpack(packages, root, architecture, lambda folder: (folder / "packages").write_text(" ".join(PROGRAMS)))
    return root


def _newest(meta, architecture):
    """The package that a metapackage stands for; reads the package lists anew if they do not have it."""
    for attempt in (1, 2):
        if attempt == 2:
            refresh(architecture)
        listing = apt(architecture, ["apt-cache", "depends", meta])
        if found := re.search(r"Depends: (linux-image-\d\S*)", listing.stdout):
            return found[1]
    return None


def _with_dependencies(packages, architecture):
    """The packages and all that they depend on."""
    for attempt in (1, 2):
        if attempt == 2:
            refresh(architecture)
        # What would be installed on a machine that has nothing, as `Inst NAME (VERSION ...)`.
        listing = apt(architecture, ["apt-get", "install", "--simulate", *packages])
        if listing.returncode == 0:
            return re.findall(r"^Inst (\S+)", listing.stdout, re.MULTILINE)
    raise Unavailable(f"the package lists do not have {' '.join(packages)}: {listing.stderr.strip()}")


def _unpack(packages, root, architecture, complete):
    """Downloads packages and unpacks them into one folder; `root` appears only when it is complete."""
    with scratch() as folder:
        unpacked = download(packages, folder, architecture)
        complete(unpacked)
        shutil.move(unpacked, root)


def _index_modules(folder):
    release = next((folder / "lib/modules").iterdir()).name
    run(["depmod", "-b", folder, release], f"indexing the modules of {release}")


def scratch():
    """A folder beside what is kept, which goes when it is left."""
    cache().mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=cache(), prefix="unfinished-")


def download(packages, folder, architecture=X86_64):
    """Downloads packages into a folder; gives the folder that they are unpacked in."""
    print(f"vm: downloading {packages[0]}{f' and {len(packages) - 1} others' if packages[1:] else ''}", flush=True)
    for attempt in (1, 2):
        done = apt(architecture, ["apt-get", "download", "-q", *packages], folder)
        if done.returncode == 0:
            break
        if attempt == 2:
            raise Unavailable(f"apt-get download {' '.join(packages)}: {done.stderr.strip()}")
        # The lists may be so old that what they name is gone from the archive.
        refresh(architecture)
    unpacked = Path(folder) / "root"
    for archive in Path(folder).glob("*.deb"):
        run(["dpkg", "-x", archive, unpacked], f"unpacking {archive.name}")
        archive.unlink()
    return unpacked


def run(command, what):
    """Output of a command; it is looked for in /usr/sbin too."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
        )
    except FileNotFoundError as error:
        raise Unavailable(f"{what}: {command[0]} is missing (tools/setup vm)") from error
    if done.returncode != 0:
        raise Unavailable(f"{what}: {done.stderr.strip()}")
    return done.stdout
