"""A home for one run, so that nothing of it stays: no conversation, no state, no setting."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import tomlkit

from baize_shared.private_files import private_folder
from baize_tui.paths import Paths
from baize_tui.settings import Settings

_PREFIX = "bench-"


class TemporaryHome:
    """A folder for ``BAIZE_HOME``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = Paths(folder / "config", folder / "data", folder / "cache", folder / "logs")

    def write_settings(self, settings: Settings) -> None:
        """Write ``settings`` for the next client.

        Raises:
            OSError: the file cannot be written.
        """
        tables = {
            name: {key: value for key, value in table.items() if value is not None}
            for name, table in _as_tables(settings).items()
        }
        private_folder(self.paths.config)
        self.paths.settings_file.write_text(tomlkit.dumps(tables), "utf-8")

    def remove(self) -> None:
        """Remove all of it, as far as possible."""
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def temporary_home(paths: Paths) -> Iterator[TemporaryHome]:
    """A home that is removed at the end of the block.

    It is beside the states that are saved of real conversations, so that their disk is measured;
    if nothing can be written there, in the system's folder for temporary files. What was found out
    about this machine and its models is copied into it: else the first load would find it out
    again.
    """
    home = TemporaryHome(_new_folder(paths))
    try:
        cache = private_folder(home.paths.cache)
        for file in paths.cache.glob("*.json"):
            with contextlib.suppress(OSError):
                shutil.copyfile(file, cache / file.name)
        yield home
    finally:
        home.remove()


def _new_folder(paths: Paths) -> Path:
    prefix = f"{_PREFIX}{os.getpid()}-"
    try:
        near = private_folder(paths.cache)
        _remove_leftovers(near)
        return Path(tempfile.mkdtemp(prefix=prefix, dir=near))
    except OSError:
        return Path(tempfile.mkdtemp(prefix=f"baize-{prefix}"))


def _remove_leftovers(cache: Path) -> None:
    """Remove the folders of runs that were killed; they may have large states in them."""
    for folder in cache.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _as_tables(settings: Settings) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = msgspec.to_builtins(settings)
    return tables
