"""A folder in which a command runs: what it may write to, and what it must leave alone."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_WRITABLE = ("home", "hf", "out", "tmp")
"""Settings and conversations, the hub's cache, what the command was told to write, and files that
end with the process."""
Listing = Mapping[str, tuple[int, int, int]]
"""Paths with mode, size and time of change."""


@dataclass(frozen=True)
class Sandbox:
    """Folders of one process, emptied for each case.

    They lie so deep that a path of many ``..`` ends inside ``top``.
    """

    top: Path
    seeds: Path
    """Valid inputs that take time to make; they stay."""

    @property
    def folder(self) -> Path:
        """The current folder of the command."""
        return self.top / "a" / "b" / "c"

    @property
    def home(self) -> Path:
        """Settings, conversations and logs of the programs."""
        return self.folder / "home"

    @property
    def given(self) -> Path:
        """Files that the command gets."""
        return self.folder / "given"

    @property
    def out(self) -> Path:
        """Where the command is told to write."""
        return self.folder / "out"

    @property
    def canary(self) -> Path:
        """What code in an input would create."""
        return self.top / "canary"

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which nothing outside is read or written."""
        return {
            "BAIZE_HOME": str(self.home),
            "HOME": str(self.folder / "user"),
            "TMPDIR": str(self.folder / "tmp"),
            "HF_HOME": str(self.folder / "hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "LANGUAGE": "en",
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
            "COLUMNS": "200",
            "BAIZE_FLASH_ATTENTION": "on",
            "OPENAI_API_KEY": "",
            "no_proxy": "*",
        }

    def write(self, name: str, content: bytes) -> Path:
        """Write a file for the command."""
        file = self.given / name
        file.write_bytes(content)
        return file

    def empty(self) -> None:
        """Remove what earlier cases have left, and make the folders again."""
        if self.top.exists():
            _make_removable(self.top)
            shutil.rmtree(self.top)
        for name in (*_WRITABLE, "given", "user"):
            (self.folder / name).mkdir(parents=True)

    def listing(self) -> Listing:
        """All files that a command has to leave as they are."""
        found: dict[str, tuple[int, int, int]] = {}
        for at, folders, files in os.walk(os.fsencode(self.top)):
            if Path(os.fsdecode(at)) == self.folder:
                folders[:] = [name for name in folders if os.fsdecode(name) not in _WRITABLE]
            for name in files:
                path = os.path.join(at, name)  # noqa: PTH118 - names that are not UTF-8
                status = os.lstat(path)
                found[os.fsdecode(path)] = (status.st_mode, status.st_size, status.st_mtime_ns)
            found[os.fsdecode(at)] = (0, 0, 0)
        return found


def _make_removable(top: Path) -> None:
    for at, folders, _ in os.walk(os.fsencode(top)):
        for name in folders:
            path = os.path.join(at, name)  # noqa: PTH118 - names that are not UTF-8
            if not os.path.islink(path):  # noqa: PTH114
                os.chmod(path, stat.S_IRWXU)  # noqa: PTH101
