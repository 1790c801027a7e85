"""The text of a growing answer: whole characters, and nothing of a stop string.

Tokens end anywhere: inside a UTF-8 character, inside a stop string. Bytes that may belong to either
are held back until the next bytes decide; the rest is released at the end.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

_BLANKS = b" \t\r\n"


class TextUntilStop:
    """Turns the bytes of tokens into text, up to the first stop string."""

    def __init__(self, stop: Sequence[str] = (), *, trim_at_stop: bool = False) -> None:
        """``trim_at_stop``: blanks right before a stop string are removed with it."""
        self._stops = [text.encode() for text in stop if text]
        self._trim = trim_at_stop
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = b""
        self._released = 0
        self.text = ""
        """All text released so far."""
        self._stopped = False

    def stopped(self) -> bool:
        """Whether a stop string was found; no more bytes may be fed then."""
        return self._stopped

    @property
    def inside_character(self) -> bool:
        """Whether the last bytes were the beginning of a character."""
        return bool(self._decoder.getstate()[0])

    @property
    def kept_bytes(self) -> int:
        """Bytes of the answer before the stop string; all of them if there is none."""
        return self._released + len(self._held)

    def feed(self, piece: bytes) -> str:
        """Take in the bytes of a token; the text that they make final."""
        self._held += piece
        first = min((at for stop in self._stops if (at := self._held.find(stop)) >= 0), default=-1)
        if first >= 0:
            self._stopped = True
            kept = self._held[:first]
            return self._release(len(kept.rstrip(_BLANKS) if self._trim else kept), last=True)
        return self._release(len(self._held) - self._possible_stop_bytes())

    def finish(self) -> str:
        """The rest of the text, if there was no stop string."""
        if self._stopped:
            return ""
        return self._release(len(self._held), last=True)

    def _possible_stop_bytes(self) -> int:
        """How many bytes at the end may be the beginning of a stop string."""
        held = self._held
        longest = max(
            (
                size
                for stop in self._stops
                for size in range(min(len(stop) - 1, len(held)), 0, -1)
                if held.endswith(stop[:size])
            ),
            default=0,
        )
        if self._trim and self._stops:
            before = held[: len(held) - longest]
            longest += len(before) - len(before.rstrip(_BLANKS))
        return longest

    def _release(self, size: int, *, last: bool = False) -> str:
        raw, self._held = self._held[:size], b"" if last else self._held[size:]
        self._released += size
        text = self._decoder.decode(raw, last)
        self.text += text
        return text
