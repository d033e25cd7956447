"""The guest's first root: busybox, the modules that reach the real one, and the first process."""

import lzma
import shlex
import shutil
import stat
from pathlib import Path

from . import archive as packages
from .lists import Unavailable

INIT = Path(__file__).with_name("init")
# Those that reach this machine's file system (virtiofs), cover it with a writable layer, and carry output.
MODULES = ["virtio_pci", "virtio_console", "virtiofs", "overlay"]


def build(kernel, command, folder, shared):
    """The archive as bytes: boots `kernel`, runs `command` (a list of words) in `folder`.

    The root is this machine's, or where its programs do not run, one with others, and the folders in `shared`.
    """
    root, places = "", []
    if not kernel.architecture.is_native():
        root = str(packages.programs(kernel.architecture).resolve())
        places = [Path(place).resolve() for place in (folder, kernel.root, *shared)]
    busybox = shutil.which("busybox", path=":".join(f"{root}{place}" for place in ("/bin", "/usr/bin", "/usr/sbin")))
    if busybox is None:
        raise Unavailable("busybox is missing (tools/setup vm)")
    archive = Archive()
    for name in ("bin", "proc", "sys", "dev", "modules", "below", "above", "root"):
        archive.directory(name)
    archive.file("bin/busybox", Path(busybox).read_bytes(), 0o755)
    for number, module in enumerate(kernel.modules(MODULES)):
        archive.file(f"modules/{number:02}", _module(module))
    archive.file("init", INIT.read_bytes(), 0o755)
    archive.file("command", _command(command, folder).encode(), 0o755)
    archive.file("root-folder", f"{root}\n".encode())
    archive.file("shared", "".join(f"{place}\n" for place in places).encode())
    # Where programs look for what belongs to a kernel.
    archive.file("kernel-package", f"{kernel.root.resolve()}\n".encode())
    return archive.finish()


def _module(path):
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def _command(command, folder):
    folder = shlex.quote(str(folder))
    return f"#!/bin/sh\ncd {folder} || exit 125\nexec {shlex.join(command)}\n"


class Archive:
    """A cpio archive in the form that Linux unpacks (`newc`; Documentation/driver-api/early-userspace/buffer-format)."""

    def __init__(self):
        self.parts = []
        self.entries = 0

    def directory(self, name):
        self._add(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name, data, mode=0o644):
        self._add(name, stat.S_IFREG | mode, data)

    def finish(self):
        self._add("TRAILER!!!", 0, b"")
        return b"".join(self.parts)

    def _add(self, name, mode, data):
        self.entries += 1
        path = name.encode() + b"\0"
        # inode, mode, uid, gid, links, mtime, size, device (4), length of the name, checksum
        fields = [self.entries, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0]
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (header + path, data):
            self.parts.append(part + b"\0" * (-len(part) % 4))
