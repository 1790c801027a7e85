"""The text of an answer while its tokens come: whole characters, and nothing of a stop string.

Tokens end anywhere: inside a UTF-8 character, inside a stop string. What could still become part
of one is held back until the next bytes decide, and what is left is given out at the end.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

_BLANKS = b" \t\r\n"


class AnswerText:
    """Bytes of tokens in, text out; finds the first stop string in the bytes."""

    def __init__(self, stop: Sequence[str] = (), *, trim_at_stop: bool = False) -> None:
        """``trim_at_stop``: blanks right before a stop string belong to it."""
        self._stops = [text.encode() for text in stop if text]
        self._trim = trim_at_stop
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = b""
        self._given = 0
        self.text = ""
        """All text given out so far."""
        self._stopped = False

    def stopped(self) -> bool:
        """Whether a stop string was found; no more bytes are wanted then."""
        return self._stopped

    @property
    def kept_bytes(self) -> int:
        """Bytes of the answer that stand before the stop string, or all of them."""
        return self._given + len(self._held)

    def feed(self, piece: bytes) -> str:
        """The text that ``piece`` makes final."""
        self._held += piece
        found = min((at for stop in self._stops if (at := self._held.find(stop)) >= 0), default=-1)
        if found >= 0:
            self._stopped = True
            kept = self._held[:found]
            return self._give(len(kept.rstrip(_BLANKS) if self._trim else kept), last=True)
        return self._give(len(self._held) - self._may_be_stop())

    def finish(self) -> str:
        """The rest of the text, when no stop string came."""
        if self._stopped:
            return ""
        return self._give(len(self._held), last=True)

    def _may_be_stop(self) -> int:
        """How many bytes at the end could be the beginning of a stop string."""
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

    def _give(self, size: int, *, last: bool = False) -> str:
        raw, self._held = self._held[:size], b"" if last else self._held[size:]
        self._given += size
        text = self._decoder.decode(raw, last)
        self.text += text
        return text
