"""Finds the kernel under test and gives each test a client."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from client import KERNEL, Client
from skipping import needs_root, skip_folder


def pytest_configure(config):
    config.addinivalue_line("markers", "burst: prints a great deal in a short time")
    binary = os.environ.get("PROBEBOOK")
    if binary:
        prefix = tempfile.mkdtemp(prefix="probebook-test-")
        command = [str(Path(binary).resolve()), "install", "--prefix", prefix]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        os.environ["JUPYTER_PATH"] = f"{prefix}/share/jupyter"


def reason_to_skip():
    try:
        KernelSpecManager().get_kernel_spec(KERNEL)
    except NoSuchKernel:
        return f"no kernel named {KERNEL} is installed (and PROBEBOOK is not set)"
    return needs_root()


def pytest_collection_modifyitems(items):
    skip_folder(__file__, items, reason_to_skip())


@pytest.fixture(scope="module")
def shared():
    client = Client.start()
    yield client
    client.stop()


@pytest.fixture
def kernel(shared):
    """A running kernel that other tests of the module use too."""
    shared.flush()
    yield shared
    assert shared.manager.is_alive(), "the kernel died"


@pytest.fixture
def fresh():
    """A kernel of this test's own, which it may end."""
    client = Client.start()
    yield client
    client.stop()


@pytest.fixture
def program():
    """The kernel's program."""
    return KernelSpecManager().get_kernel_spec(KERNEL).argv[0]
