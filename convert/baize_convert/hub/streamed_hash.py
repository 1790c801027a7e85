"""The SHA-256 of a file whose parts arrive nearly, but not exactly, in order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from threading import Lock

_MOST_WAITING = 48 << 20
"""Bytes kept until those before them arrive. If there are more, no hash is computed."""


class StreamedHash:
    """Hashes the parts it is fed, in order; parts that arrive early are kept, within a limit.

    A resumed run does not see every byte, and so has no hash. Safe to use from several threads.
    """

    def __init__(self, fetch: Callable[[int, int], bytes]) -> None:
        """``fetch(start, size)`` reads the bytes that were skipped, when the hash reaches them."""
        self._digest = hashlib.sha256()
        self._fetch = fetch
        self._at = 0
        self._waiting: dict[int, bytes] = {}
        self._skipped: dict[int, int] = {}
        self._waiting_bytes = 0
        self._given_up = False
        self._lock = Lock()

    def skip(self, start: int, size: int) -> None:
        """Declare that these bytes will not be fed."""
        if size:
            self._skipped[start] = size

    def feed(self, start: int, part: bytes) -> None:
        """Add the bytes from ``start`` on; a part may come twice."""
        with self._lock:
            if self._given_up or start + len(part) <= self._at:
                return
            self._waiting[start] = part
            self._waiting_bytes += len(part)
            while (part_in_order := self._next()) is not None:
                self._digest.update(part_in_order)
                self._at += len(part_in_order)
            if self._waiting_bytes > _MOST_WAITING:
                self._given_up = True
                self._waiting.clear()

    def _next(self) -> bytes | None:
        """The bytes at the current position, if they have arrived."""
        if (size := self._skipped.pop(self._at, None)) is not None:
            return self._fetch(self._at, size)
        for start, part in self._waiting.items():
            if start <= self._at:
                del self._waiting[start]
                self._waiting_bytes -= len(part)
                return part[self._at - start :]
        return None

    def hexdigest(self, length: int) -> str | None:
        """The hash of a file of ``length`` bytes; None if not all of them were seen."""
        with self._lock:
            return self._digest.hexdigest() if self._at == length else None
