"""Which tensors of a partial output are whole: a JSON line each, under a fingerprint of all inputs.

A line is written when the tensor is: what a killed process has written is there. It is not forced
to the disk, so after a power cut the partial is to be deleted.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Self

import msgspec
from msgspec import Struct


class Whole(Struct, frozen=True):
    """A tensor that is written, with what its rows lost and were added (squares, summed up)."""

    name: str
    error: float = 0.0
    added: float = 0.0


class Journal:
    """An open journal; ``done`` are the tensors that an earlier run has written."""

    def __init__(self, path: Path, done: dict[str, Whole], handle: IO[bytes]) -> None:
        self.path = path
        self.done = done
        self._handle = handle

    @classmethod
    def open(cls, path: Path, fingerprint: str, *, go_on: bool) -> Self:
        """Go on with the journal at ``path`` if it is of the same inputs, else begin a new one."""
        done: dict[str, Whole] = {}
        if go_on and path.exists():
            first, *lines = path.read_bytes().split(b"\n")
            if first == fingerprint.encode():
                decode = msgspec.json.Decoder(Whole).decode
                done = {whole.name: whole for whole in map(decode, filter(None, lines))}
        handle = path.open("ab" if done else "wb")
        if not done:
            handle.write(f"{fingerprint}\n".encode())
            handle.flush()
        return cls(path, done, handle)

    def add(self, whole: Whole) -> None:
        self._handle.write(msgspec.json.encode(whole) + b"\n")
        self._handle.flush()

    def close(self) -> None:
        self._handle.close()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
