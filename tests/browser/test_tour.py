"""The tour, executed by the demo's own script, as a reader sees its page."""

import re
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT, SCREENSHOTS

# Where each picture lies on the page, and what it says about itself.
PICTURES = """
[...document.querySelectorAll(".jp-OutputArea-output")]
  .map((output) => output.querySelector("svg, img[src^='data:image/svg+xml']"))
  .filter((picture) => picture)
  .map((picture) => {
    const box = picture.getBoundingClientRect();
    return { x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height };
  })
"""
LARGEST_PICTURE = 40 * 1024


@pytest.fixture(scope="module")
def tour(environment, tmp_path_factory):
    """The executed notebook, its page, and what the demo said."""
    output = tmp_path_factory.mktemp("tour")
    command = [sys.executable, "tools/demo", "notebooks/tour.ipynb", "--output", output]
    demo = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    notebook = nbformat.read(output / "tour.ipynb", as_version=4)
    return notebook, output / "tour.html", demo.stdout


def cell(notebook, name):
    return next(cell for cell in notebook.cells if cell.id == name)


def displayed(notebook, name, media_type="text/plain"):
    """What a cell displays, one part for each display."""
    outputs = cell(notebook, name).outputs
    displays = [o.data for o in outputs if o.output_type == "display_data"]
    return [data[media_type] for data in displays if media_type in data]


def counts(text):
    """The entries of a map with one number a key, by key."""
    return {key: int(value) for key, value in re.findall(r"^@\w*\[(.*?)\]: (\d+)$", text, re.MULTILINE)}


def test_the_demo_says_a_line_for_each_cell(tour):
    notebook, page, said = tour
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(re.findall(r"^ +\d+/\d+ ok ", said, re.MULTILINE)) == len(cells)
    assert str(page) in said


def test_two_cells_share_one_live_map(tour):
    notebook, _, _ = tour
    (first,) = displayed(notebook, "count")
    before, after = displayed(notebook, "live")
    assert counts(first)["ls"] > 100
    assert counts(before)["ls"] == counts(first)["ls"], "the second cell starts with what the first counted"
    assert "find" not in counts(before)
    assert counts(after)["ls"] == counts(first)["ls"]
    assert counts(after)["find"] > 100, "and goes on counting"


def test_what_is_shown_comes_from_the_system(tour):
    notebook, _, _ = tour
    latencies = "".join(displayed(notebook, "latency"))
    assert "@read_ns[gzip]" in latencies
    assert "@start" not in latencies
    assert "@bytes:" in "".join(displayed(notebook, "sizes"))
    assert "@written_bytes:" in "".join(displayed(notebook, "tseries"))
    assert re.search(r"(random|chacha|blake)", "".join(displayed(notebook, "stacks")))
    assert "/etc/hostname" in "".join(displayed(notebook, "bg") + displayed(notebook, "stop"))


def test_errors_have_a_caret_and_a_way_out(tour):
    notebook, _, _ = tour
    (error,) = cell(notebook, "error").outputs
    traceback = "\n".join(error.traceback)
    count = cell(notebook, "error").execution_count
    assert f"In [{count}]:2:" in traceback
    assert "^" in traceback and "filename" in traceback
    (clash,) = cell(notebook, "type-clash").outputs
    assert f"In [{cell(notebook, 'count').execution_count}]" in "\n".join(clash.traceback)
    assert "%drop @calls" in "\n".join(clash.traceback)


def test_pictures_are_small_and_come_with_text_and_data(tour):
    notebook, _, _ = tour
    for name in ("count", "latency", "sizes", "tseries", "stacks"):
        pictures = displayed(notebook, name, "image/svg+xml")
        assert pictures, name
        assert len(displayed(notebook, name, "image/png")) == len(pictures)
        assert len(displayed(notebook, name, "application/vnd.probebook.map+json")) >= len(pictures)
        assert max(map(len, pictures)) <= LARGEST_PICTURE, name


def test_the_page_is_complete_and_its_pictures_are_seen(tour, browser):
    _, page, _ = tour
    external = re.findall(r"""(?:src|href)=["'](https?://[^"']+\.(?:js|css)[^"']*)""", page.read_text())
    assert not external, "the page loads nothing from elsewhere"
    browser.open(page.as_uri())
    browser.screenshot(SCREENSHOTS / "tour.png", whole=True)
    pictures = browser.evaluate(PICTURES)
    assert len(pictures) >= 6
    for number, picture in enumerate(pictures):
        assert picture["width"] > 300 and picture["height"] > 60, f"picture {number} is small"
        browser.screenshot(SCREENSHOTS / f"tour-{number}.png", clip=picture)
        assert browser.colours(picture) > 8, f"picture {number} shows nothing"
    assert not browser.complaints
