"""Skips the tests of a folder that cannot run here, and says why."""

import os
from pathlib import Path

import pytest


def needs_root():
    """Why this user cannot trace, if so."""
    return None if os.geteuid() == 0 else "tracing needs root"


def skip_folder(conftest, items, reason):
    """Marks those of `items` that lie beside `conftest`, if there is a reason."""
    folder = Path(conftest).parent
    for item in items:
        if reason and folder in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))
