"""The wheel: what `pip install` puts into an environment is a kernel, whatever PATH says."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from client import KERNEL, PATIENCE

ROOT = Path(__file__).resolve().parents[2]
MATURIN = Path(sys.executable).parent / "maturin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Where the wheel of this tree has been installed."""
    if not MATURIN.exists():
        pytest.skip("needs maturin (tools/setup python)")
    folder = tmp_path_factory.mktemp("wheel")
    build = [MATURIN, "build", "--release", "--locked", "--quiet", "--out", folder]
    subprocess.run(build, cwd=ROOT, check=True)
    (wheel,) = folder.glob("probebook-*.whl")
    prefix = folder / "environment"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--ignore-installed", "--prefix", prefix, wheel], check=True)
    return prefix


def test_the_wheel_holds_a_kernel_that_starts_without_an_activated_environment(installed, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert not shutil.which("probebook")
    specs = KernelSpecManager(kernel_dirs=[str(installed / "share" / "jupyter" / "kernels")])
    spec = specs.get_kernel_spec(KERNEL)
    assert (spec.language, spec.interrupt_mode) == ("bpftrace", "message")
    assert (Path(spec.resource_dir) / "logo-svg.svg").exists()
    manager = KernelManager(kernel_name=KERNEL, kernel_spec_manager=specs)
    manager.start_kernel()
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=PATIENCE)
        reply = client.kernel_info(reply=True, timeout=PATIENCE)["content"]
        assert reply["implementation"] == "probebook"
        assert reply["language_info"]["file_extension"] == ".bt"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
