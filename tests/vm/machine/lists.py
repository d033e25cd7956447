"""Debian's package lists: this machine's own, and those of another architecture, which it does not know."""

import os
import subprocess
from pathlib import Path


class Unavailable(Exception):
    """The virtual machine cannot be had; the message says why, and what to do."""


def cache():
    """Where downloads are kept, for all clones of the project."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "probebook" / "vm"


def apt(architecture, command, folder=None):
    """Runs a command of the package manager as if for an architecture; gives what became of it.

    The lists of another architecture are kept in the cache, beside the downloads: neither this machine's lists nor what
    may be installed on it change.
    """
    environment = dict(os.environ)
    if not architecture.is_native():
        environment["APT_CONFIG"] = str(_configuration(architecture))
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def refresh(architecture):
    """Reads the lists anew."""
    return apt(architecture, ["apt-get", "update", "-q"])


def _configuration(architecture):
    """A file of settings that keeps everything apart but the sources and their keys."""
    state = cache() / f"lists-{architecture.debian}"
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    # Nothing is installed, so that a package's dependencies are all that it takes.
    (state / "status").touch()
    settings = {
        "APT::Architecture": architecture.debian,
        "APT::Architectures": architecture.debian,
        "APT::Install-Recommends": "false",
        # The unprivileged user of apt's may not enter root's folders.
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": state,
    }
    file = state / "apt.conf"
    text = "".join(f'{name} "{value}";\n' for name, value in settings.items())
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")
    return file
