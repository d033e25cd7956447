"""Compiles the project and its test programs for another architecture."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from . import archive
from .built import Broken
from .lists import Unavailable, cache

# What answers the build for LLVM's bindings, in place of the program of that name.
LLVM_CONFIG = Path(__file__).with_name("llvm-config")
SETTINGS = Path(__file__).with_name("cross.toml")
# The libraries that the linker is to find, by the names under which it looks for them.
LIBRARIES = {"libLLVM-22.so": "libLLVM.so.22.1", "libstdc++.so": "libstdc++.so.6", "libffi.so": "libffi.so.8"}


def environment(architecture):
    """Variables that make cargo compile for an architecture and link what its machine has."""
    compiler = f"{architecture.name}-linux-gnu-gcc"
    if shutil.which(compiler) is None:
        raise Unavailable(f"{compiler} is missing (tools/setup aarch64)")
    triple = architecture.triple
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    if not (Path(sysroot) / "lib/rustlib" / triple).is_dir():
        raise Unavailable(f"Rust lacks its library for {triple} (tools/setup aarch64)")
    libraries = archive.programs(architecture) / f"usr/lib/{architecture.name}-linux-gnu"
    cargo = f"CARGO_TARGET_{triple.upper().replace('-', '_')}"
    # What the libraries themselves want is looked for when they are loaded.
    flags = ["-Clink-arg=-Wl,--allow-shlib-undefined", f"-Clink-arg=-Wl,-rpath-link,{libraries}"]
    return {
        f"CC_{triple.replace('-', '_')}": compiler,
        f"{cargo}_LINKER": compiler,
        f"{cargo}_RUSTFLAGS": " ".join(flags),
        "LLVM_SYS_221_PREFIX": str(_llvm(libraries, architecture)),
        "CARGO_BUILD_TARGET": triple,
    }


def _llvm(libraries, architecture):
    """A folder laid out as LLVM is installed, with what the build of its bindings asks for."""
    prefix = cache() / f"llvm-{architecture.debian}"
    for folder in ("bin", "lib"):
        (prefix / folder).mkdir(parents=True, exist_ok=True)
    # Cargo compiles anew what depends on a file that has changed.
    program = prefix / "bin/llvm-config"
    if not program.exists() or program.read_bytes() != LLVM_CONFIG.read_bytes():
        shutil.copy(LLVM_CONFIG, program)
    for name, library in LIBRARIES.items():
        link = prefix / "lib" / name
        if not link.is_symlink() or link.readlink() != libraries / library:
            link.unlink(missing_ok=True)
            link.symlink_to(libraries / library)
    return prefix


def cargo(arguments):
    """A cargo command, to be run with those variables."""
    return ["cargo", "--config", str(SETTINGS), *arguments]


def build(architecture, arguments, folder):
    """Runs a cargo command; gives the executables that it made, by name."""
    command = cargo([*arguments, "--locked", "--message-format=json"])
    variables = {**os.environ, **environment(architecture)}
    built = subprocess.run(command, cwd=folder, env=variables, stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode != 0:
        raise Broken(f"the tests cannot be compiled for {architecture.name}")
    messages = (json.loads(line) for line in built.stdout.splitlines())
    return {it["target"]["name"]: Path(it["executable"]) for it in messages if it.get("executable")}


def programs(architecture, sources, target):
    """Compiles the C programs of a folder as the conformance tests do (`kernel/tests/conformance/place.rs`)."""
    target.mkdir(parents=True, exist_ok=True)
    compiler = f"{architecture.name}-linux-gnu-gcc"
    for source in sources.glob("*.c"):
        options = ["-g", "-O0", "-pthread", "-fno-omit-frame-pointer", "-no-pie"]
        if subprocess.run([compiler, *options, "-o", target / source.stem, source], check=False).returncode:
            raise Broken(f"{source.name} cannot be compiled for {architecture.name}")
    return target
