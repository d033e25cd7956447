"""JupyterLab with the kernel: a notebook is opened and run, and its pictures are seen."""

import json
import re
import subprocess
import sys
import time
from contextlib import contextmanager

import nbformat
import pytest
from conftest import SCREENSHOTS
from nbformat.v4 import new_code_cell, new_notebook

TOKEN = "only-for-this-test"
# Before that, JupyterLab would ask which kernel to use.
CONNECTED = """
(() => {
  const context = window.jupyterapp.shell.currentWidget?.sessionContext;
  const kernel = context?.session?.kernel;
  return Boolean(context?.isReady && kernel?.connectionStatus === "connected" && kernel.status === "idle");
})()
"""


@contextmanager
def lab_server(folder, environment):
    """A JupyterLab of its own; gives its address."""
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1"),
        *("--expose-app-in-browser", f"--notebook-dir={folder}", f"--IdentityProvider.token={TOKEN}"),
    ]
    log = folder.parent / "lab.log"
    with open(log, "w") as output, subprocess.Popen(command, env=environment, stderr=output) as server:
        try:
            yield address_in(log, server)
        finally:
            server.terminate()


def address_in(log, server):
    """Where a server says that it listens."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        if address := re.search(r"(http://127\.0\.0\.1:\d+)/lab", log.read_text()):
            return address[1]
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}")


@pytest.fixture
def notebook(tmp_path):
    """A notebook that was never run, in a folder of its own."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    cells = [
        new_code_cell('begin { printf("from the kernel\\n"); }'),
        new_code_cell("begin { for $i : 1..200 { @sizes = hist($i * $i); } }"),
        new_code_cell("begin { no_such_function(); }"),
    ]
    kernelspec = {"name": "probebook", "display_name": "bpftrace (probebook)", "language": "bpftrace"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), folder / "lab.ipynb")
    return folder / "lab.ipynb"


def output_of(browser, number):
    """The text of a cell's output area."""
    script = "document.querySelectorAll('.jp-CodeCell')[%d]?.querySelector('.jp-OutputArea')?.textContent ?? ''"
    return browser.evaluate(script % number)


def test_a_notebook_runs_in_jupyterlab(notebook, environment, browser):
    with lab_server(notebook.parent, environment) as address:
        browser.open(f"{address}/lab/tree/{notebook.name}?token={TOKEN}")
        browser.wait_for("window.jupyterapp !== undefined && document.querySelectorAll('.jp-CodeCell').length === 3")
        browser.wait_for(CONNECTED)
        browser.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        try:
            browser.wait_for("document.querySelectorAll('.jp-CodeCell')[2].textContent.includes('In [3]:1:')")
        finally:
            browser.screenshot(SCREENSHOTS / "lab.png")
        assert "from the kernel" in output_of(browser, 0)
        assert "no_such_function" in output_of(browser, 2)
        clip = browser.evaluate(PICTURE)
        assert clip, "the histogram is shown as a picture"
        assert clip["width"] > 300 and clip["height"] > 80
        assert browser.colours(clip) > 8, "and something is drawn"
        kernels = browser.evaluate(f"fetch('/api/kernels?token={TOKEN}').then((answer) => answer.text())")
        assert [kernel["name"] for kernel in json.loads(kernels)] == ["probebook"]


PICTURE = """
(() => {
  const picture = document.querySelectorAll(".jp-CodeCell")[1]
    .querySelector(".jp-RenderedSVG img, .jp-RenderedSVG svg, .jp-RenderedImage img");
  if (!picture) return null;
  const box = picture.getBoundingClientRect();
  return { x: box.x, y: box.y, width: box.width, height: box.height };
})()
"""
