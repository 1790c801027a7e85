"""Which tensors of a partial output are whole: a name a line, under a fingerprint of all inputs."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Self


class Journal:
    """An open journal; ``done`` are the tensors that an earlier run has written."""

    def __init__(self, path: Path, done: set[str], handle: IO[str]) -> None:
        self.path = path
        self.done = done
        self._handle = handle

    @classmethod
    def open(cls, path: Path, fingerprint: str) -> Self:
        """Go on with the journal at ``path`` if it is of the same inputs, else begin a new one."""
        done: set[str] = set()
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            if lines[:1] == [fingerprint]:
                done = set(lines[1:])
        handle = path.open("a" if done else "w", encoding="utf-8")
        if not done:
            handle.write(f"{fingerprint}\n")
            handle.flush()
        return cls(path, done, handle)

    def add(self, name: str) -> None:
        """The tensor ``name`` is whole."""
        self._handle.write(f"{name}\n")
        self._handle.flush()

    def close(self) -> None:
        self._handle.close()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
