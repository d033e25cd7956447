"""Installs the kernel under test for itself and gives each test a browser."""

import os
import subprocess
import sys
from pathlib import Path

import chromium
import pytest
from skipping import needs_root, skip_folder

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
BINARY = Path(os.environ.get("PROBEBOOK", ROOT / "target" / "release" / "probebook")).resolve()


def reason_to_skip():
    if not chromium.find():
        return "needs Chromium"
    if not BINARY.exists():
        return "the kernel is not built (make build)"
    return needs_root()


def pytest_collection_modifyitems(items):
    skip_folder(__file__, items, reason_to_skip())


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Environment variables with which Jupyter finds the kernel under test, and no other."""
    prefix = tmp_path_factory.mktemp("prefix")
    command = [BINARY, "install", "--prefix", prefix]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {
        **os.environ,
        "JUPYTER_PATH": str(prefix / "share" / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(prefix / "config"),
        "JUPYTER_RUNTIME_DIR": str(prefix / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(quiet_settings(prefix / "settings")),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def quiet_settings(folder):
    """JupyterLab's settings: it neither looks for news nor asks whether it may."""
    path = folder / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    path.parent.mkdir(parents=True)
    path.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    return folder


@pytest.fixture
def browser(tmp_path):
    page = chromium.Chromium(tmp_path / "profile")
    yield page
    page.close()
