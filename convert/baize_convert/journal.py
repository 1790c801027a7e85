"""Which rows of a partial output are written, so that an interrupted merge can be resumed.

The first line of a journal is a fingerprint of all inputs. Each further line, in JSON, names rows
that have been written, so whatever a killed process wrote is known. Lines are not forced to the
disk: after a power cut the partial output must be deleted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Self

import msgspec
from msgspec import Meta, Struct

from baize_shared.private_files import create_file, open_own_file

_Rows = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class WrittenRows(Struct, frozen=True):
    """Rows of a tensor that are in the file; ``error`` and ``added`` are squared norms.

    See ``QuantizationLoss``.
    """

    name: str
    first: _Rows
    count: _Rows
    error: float = 0.0
    added: float = 0.0


class Journal:
    """An open journal; ``written`` are the rows that earlier runs have written, by tensor."""

    def __init__(
        self, path: Path, written: dict[str, list[WrittenRows]], handle: IO[bytes]
    ) -> None:
        self.path = path
        self.written = written
        self._handle = handle

    @classmethod
    def open(cls, path: Path, fingerprint: str, *, resume: bool) -> Self:
        """Continue the journal at ``path`` if it has the same fingerprint, else start a new one.

        Raises:
            OSError: the journal cannot be read or written.
            msgspec.DecodeError: a line in it is damaged.
        """
        written: dict[str, list[WrittenRows]] = {}
        descriptor = open_own_file(path) if resume else None
        if descriptor is not None:
            handle = os.fdopen(descriptor, "r+b")
            # After the last newline is nothing, or a line that a killed process did not finish.
            content = handle.read()
            first, *lines = content.split(b"\n")[:-1] or [b""]
            if first == fingerprint.encode():
                decode = msgspec.json.Decoder(WrittenRows).decode
                for rows in map(decode, lines):
                    written.setdefault(rows.name, []).append(rows)
            if written:
                handle.truncate(content.rfind(b"\n") + 1)
                handle.seek(0, os.SEEK_END)
                return cls(path, written, handle)
            handle.close()
        started = os.fdopen(create_file(path), "wb")
        started.write(f"{fingerprint}\n".encode())
        started.flush()
        return cls(path, written, started)

    def missing(self, name: str, rows: int) -> Iterator[tuple[int, int]]:
        """First row and count of each gap in a tensor with this number of rows."""
        at = 0
        for written in sorted(self.written.get(name, []), key=lambda written: written.first):
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
