"""The SHA-256 of a file whose parts come nearly, but not quite, in their order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from threading import Lock

_MOST_WAITING = 48 << 20
"""Bytes that wait for what comes before them; more, and the hash is given up."""


class StreamedHash:
    """Hashes what is fed to it; parts that came too early wait, so many as memory allows.

    A run that goes on with an earlier one does not see every byte, and so has no hash.
    """

    def __init__(self, fetch: Callable[[int, int], bytes]) -> None:
        """``fetch`` reads what nobody else will."""
        self._digest = hashlib.sha256()
        self._fetch = fetch
        self._at = 0
        self._waiting: dict[int, bytes] = {}
        self._passed_over: dict[int, int] = {}
        self._held = 0
        self._given_up = False
        self._lock = Lock()

    def pass_over(self, start: int, size: int) -> None:
        """These bytes will not be fed."""
        if size:
            self._passed_over[start] = size

    def feed(self, start: int, part: bytes) -> None:
        with self._lock:
            if self._given_up or start + len(part) <= self._at:
                return
            self._waiting[start] = part
            self._held += len(part)
            while (next := self._next()) is not None:
                self._digest.update(next)
                self._at += len(next)
            if self._held > _MOST_WAITING:
                self._given_up = True
                self._waiting.clear()

    def _next(self) -> bytes | None:
        """The bytes at the place that was reached, if they have come."""
        if (size := self._passed_over.pop(self._at, None)) is not None:
            return self._fetch(self._at, size)
        for start, part in self._waiting.items():
            if start <= self._at:
                del self._waiting[start]
                self._held -= len(part)
                return part[self._at - start :]
        return None

    def hexdigest(self, length: int) -> str | None:
        """The hash of a file of ``length`` bytes; None where not all of them were seen."""
        with self._lock:
            return self._digest.hexdigest() if self._at == length else None
