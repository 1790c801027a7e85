"""Which rows of a partial output are written: a JSON line each, under a fingerprint of all inputs.

A line is written when its rows are: what a killed process has written is there. It is not overrides to
the disk, so after a power cut the partial is to be deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

import msgspec
from msgspec import Struct


class WrittenRows(Struct, frozen=True):
    """Rows that are written, with what they lost and were added (squares, summed up)."""

    name: str
    first: int
    count: int
    error: float = 0.0
    added: float = 0.0


class Journal:
    """An open journal; ``done`` are the rows that earlier runs have written, by tensor."""

    def __init__(self, path: Path, done: dict[str, list[WrittenRows]], handle: IO[bytes]) -> None:
        self.path = path
        self.done = done
        self._handle = handle

    @classmethod
    def open(cls, path: Path, fingerprint: str, *, go_on: bool) -> Self:
        """Go on with the journal at ``path`` if it is of the same inputs, else begin a new one."""
        done: dict[str, list[WrittenRows]] = {}
        if go_on and path.exists():
            # After the last line end is nothing, or what a killed process had begun to write.
            first, *lines = path.read_bytes().split(b"\n")[:-1]
            if first == fingerprint.encode():
                decode = msgspec.json.Decoder(WrittenRows).decode
                for written in map(decode, lines):
                    done.setdefault(written.name, []).append(written)
        if not done:
            handle = path.open("wb")
            handle.write(f"{fingerprint}\n".encode())
            handle.flush()
            return cls(path, done, handle)
        going_on = path.open("r+b")
        going_on.truncate(path.read_bytes().rfind(b"\n") + 1)
        going_on.seek(0, 2)
        return cls(path, done, going_on)

    def missing(self, name: str, rows: int) -> Iterator[tuple[int, int]]:
        """First row and count of what is still to be written of a tensor of so many rows."""
        at = 0
        for written in sorted(self.done.get(name, []), key=lambda one: one.first):
            if written.first > at:
                yield at, written.first - at
            at = max(at, written.first + written.count)
        if at < rows:
            yield at, rows - at

    def add(self, written: WrittenRows) -> None:
        self._handle.write(msgspec.json.encode(written) + b"\n")
        self._handle.flush()

    def close(self) -> None:
        self._handle.close()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
