"""Textual's parser of what a terminal sends, which survives what no terminal should send.

Textual 8.2 computes with the numbers in a sequence, as in ``chr(int(code))``, and its input thread
dies of a number that is none, such as the ``65535:3`` of a key that was released, and of a byte
that is not UTF-8, as in a paste from a file in Latin-1. It reads a paste letter by letter, takes
sequences in it for keys, and waits forever for its end. Without bracketed paste, as on a console,
it makes a key press of each letter that is pasted: those of a megabyte take minutes.
"""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from textual import _xterm_parser, events
from textual.geometry import Size
from textual.keys import Keys
from textual.message import Message

from baize_tui.app import ESCAPE_S

PASTE_START, PASTE_END = "\x1b[200~", "\x1b[201~"
BURST = 64
"""So many letters in one read were pasted: nobody types as fast."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BURST = re.compile(rf"[^\x00-\x1f\x7f-\x9f]{{{BURST},}}")
_FULL_READ = 1000
"""Characters of a read after which more is on its way: it has at most 4,096 bytes, and a character
up to four of them."""
PASTE_PAUSE_S = 5.0
"""A paste has ended when nothing more of it has come for this long, even without its end. A slow
connection can pause, and the rest would be keys."""
_LONGEST_KEY = 16
"""Characters. What a person presses to get out of a paste without an end does not prolong it."""
_LARGEST = Size(1000, 400)
"""Columns and lines; an 8K monitor with tiny letters has fewer. A terminal may say any number, and
each cell costs memory and time."""


class ForgivingParser(_xterm_parser.XTermParser):
    """``XTermParser`` that ignores a sequence with impossible numbers, and reads pastes at once."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._pasted: str | None = None
        """What has come of a paste that has not ended."""
        self._burst = ""
        """What was pasted without marks, while more of it may come."""
        self._start = ""
        """The beginning of ``PASTE_START`` that has been parsed last."""
        self._last_text_at = 0.0

    def feed(self, data: str) -> Iterator[Message]:
        if not data:
            yield from self._flush()
            yield from super().feed(data)
        while data:
            if self._pasted is None:
                data = yield from self._read_typed(data)
            else:
                data = yield from self._read_pasted(self._pasted, data)

    def tick(self) -> Iterator[Message]:
        pause = time.monotonic() - self._last_text_at
        if pause >= PASTE_PAUSE_S or (self._burst and pause >= ESCAPE_S):
            yield from self._flush()
        yield from super().tick()

    def parse(self, token_callback: Any) -> Generator[Any, str, None]:
        while not self.is_eof:
            try:
                yield from super().parse(token_callback)
            except (ValueError, OverflowError):
                continue  # with what follows the sequence

    def _read_pasted(self, before: str, data: str) -> Generator[Message, None, str]:
        """Go on with a paste; return what follows it in ``data``."""
        if len(data) > _LONGEST_KEY:
            self._last_text_at = time.monotonic()
        self._pasted = before + data
        end = self._pasted.find(PASTE_END, max(0, len(before) - len(PASTE_END)))
        if end < 0:
            return ""
        rest = self._pasted[end + len(PASTE_END) :]
        self._pasted = self._pasted[:end]
        yield from self._flush()
        return rest

    def _read_typed(self, data: str) -> Generator[Message, None, str]:
        """Parse ``data`` up to a paste, which then begins; return what follows its start."""
        # The start may have come in parts, of which the parser has the first.
        known = len(self._start)
        at = (self._start + data).find(PASTE_START)
        if at < 0:
            yield from self._parse_typed(data)
            return ""
        if at >= known:
            yield from self._parse_typed(data[: at - known])
            if self._is_in_sequence:  # Alt with a letter, which could go on
                self._timeout_time = 0.0
                yield from super().tick()
        elif self._is_in_sequence:
            # Let the parser see a paste of nothing, so that it does not wait for more of a key.
            for _ in super().feed(PASTE_START[known - at :] + PASTE_END):
                pass
        yield from self._flush()
        self._start, self._pasted, self._last_text_at = "", "", time.monotonic()
        return data[at - known + len(PASTE_START) :]

    def _parse_typed(self, data: str) -> Iterator[Message]:
        """Parse keys, and what is pasted without marks."""
        fed = self._start + data
        self._start = next(
            PASTE_START[:length]
            for length in range(len(PASTE_START) - 1, -1, -1)
            if fed.endswith(PASTE_START[:length])
        )
        begin = 0
        if self._burst:
            control = _CONTROL.search(data)
            begin = control.start() if control else len(data)
            self._burst += data[:begin]
            self._last_text_at = time.monotonic()
            if begin == len(data) >= _FULL_READ:
                return
            yield from self._flush()
        for text in _BURST.finditer(data, begin):
            yield from self._parse(data[begin : text.start()])
            begin = text.start()
            while self._is_in_sequence and begin < text.end():
                yield from self._parse(data[begin])
                begin += 1
            if text.end() - begin >= BURST:
                self._burst, self._last_text_at = data[begin : text.end()], time.monotonic()
                begin = text.end()
                if begin == len(data) >= _FULL_READ:
                    return
                yield from self._flush()
        yield from self._parse(data[begin:])

    def _parse(self, typed: str) -> Iterator[Message]:
        if typed:  # none is the end of the input
            yield from super().feed(typed)

    @property
    def _is_in_sequence(self) -> bool:
        """Whether the parser waits for the rest of a key."""
        return self._timeout_time is not None

    def _flush(self) -> Iterator[Message]:
        """What was pasted, with its end or without."""
        pasted = self._burst + (self._pasted or "")
        self._burst, self._pasted = "", None
        if pasted := pasted.replace("\x00", ""):
            yield events.Paste(pasted)

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        for key in super()._sequence_to_key_events(sequence, alt):
            yield key if _is_text(key.character) else events.Key(Keys.Ignore, sequence)


def _is_text(character: str | None) -> bool:
    """Whether it can be written; half of a pair of surrogates cannot."""
    return character is None or not any("\ud800" <= char <= "\udfff" for char in character)


def forgiving_decoder(encoding: str) -> Callable[[], codecs.IncrementalDecoder]:
    """As ``codecs.getincrementaldecoder``, for a decoder that replaces what it cannot decode."""
    return lambda: codecs.getincrementaldecoder(encoding)("replace")


def possible_size(size: Size) -> Size:
    """``size``, or the largest that a screen can have."""
    return Size(min(size.width, _LARGEST.width), min(size.height, _LARGEST.height))
