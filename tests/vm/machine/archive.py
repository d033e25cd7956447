"""Kernels from Debian's package archive, downloaded once and unpacked without being installed."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

# The cloud flavour has few modules and a third of the size. Each of these names a package that depends on the
# newest kernel of its series; both are in the archive of Debian 12.
SERIES = {"6.1": "linux-image-cloud-amd64", "6.12": "linux-image-6.12-cloud-amd64"}


class Unavailable(Exception):
    """The virtual machine cannot be had; the message says why, and what to do."""


def cache():
    """Where downloads are kept, for all clones of the project."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "probebook" / "vm"


class Kernel:
    """An unpacked kernel package, or what lies as in one."""

    def __init__(self, root):
        self.root = root
        self.release = next(path.name for path in (root / "lib/modules").iterdir())
        self.image = root / "boot" / f"vmlinuz-{self.release}"

    def modules(self, names):
        """Files of the modules and of all that they need, in the order in which they are to be loaded."""
        if not (self.root / "lib/modules" / self.release / "modules.dep").exists():
            return []
        command = ["modprobe", "-d", self.root, "-S", self.release, "-a", "--show-depends", *names]
        listing = run(command, f"finding modules of {self.release}")
        files = re.findall(r"^insmod (\S+)", listing, re.MULTILINE)
        return [Path(file) for file in dict.fromkeys(files)]


def kernel(series):
    """The newest kernel of a series that this machine's package lists know; a cached one if it is the same."""
    if series not in SERIES:
        raise Unavailable(f"no kernel {series} (there are {', '.join(SERIES)})")
    package = _newest(SERIES[series])
    if package is None:
        # The archive may be out of reach, the package lists away: what was unpacked once still does.
        if unpacked := sorted(cache().glob(f"linux-image-{series}.*")):
            return Kernel(unpacked[-1])
        raise Unavailable(f"the package lists do not have {SERIES[series]}: apt-get update, on Debian 12")
    root = cache() / package
    if not root.is_dir():
        _unpack(package, root)
    return Kernel(root)


def _newest(series):
    """The package that a metapackage stands for; refreshes the package lists if they do not have it."""
    for refresh in (False, True):
        if refresh:
            subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
        listing = subprocess.run(["apt-cache", "depends", series], capture_output=True, text=True, check=False)
        if found := re.search(r"Depends: (linux-image-\d\S*)", listing.stdout):
            return found[1]
    return None


def _unpack(package, root):
    """Downloads and unpacks a package; `root` appears only when it is complete."""
    with scratch() as folder:
        unpacked = download(package, folder)
        release = next((unpacked / "lib/modules").iterdir()).name
        run(["depmod", "-b", unpacked, release], f"indexing the modules of {release}")
        shutil.move(unpacked, root)


def scratch():
    """A folder beside what is kept, which goes when it is left."""
    cache().mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=cache(), prefix="unfinished-")


def download(package, folder):
    """Downloads a package into a folder; gives the folder that it is unpacked in."""
    print(f"vm: downloading {package}", flush=True)
    for attempt in (1, 2):
        command = ["apt-get", "download", "-q", package]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        if attempt == 2:
            raise Unavailable(f"apt-get download {package}: {done.stderr.strip()}")
        # The lists may be so old that what they name is gone from the archive.
        subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
    archive = next(Path(folder).glob("*.deb"))
    unpacked = Path(folder) / "root"
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
