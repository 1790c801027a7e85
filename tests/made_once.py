"""What is costly to make and only read is made for the first test that asks, in one process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The file or folder ``name``, which ``make`` writes to the path it is given.

    The processes of pytest-xdist share it: the folders of all of them lie in one. Tests must not
    change it.
    """
    run = factory.getbasetemp()
    shared = (run.parent if "PYTEST_XDIST_WORKER" in os.environ else run) / "made-once"
    shared.mkdir(exist_ok=True)
    made = shared / name
    with FileLock(shared / f"{name}.lock"):
        if not made.exists():
            unfinished = shared / f"unfinished-{name}"
            if unfinished.is_dir():  # whoever made it was killed
                shutil.rmtree(unfinished)
            make(unfinished)
            unfinished.rename(made)
    return made
