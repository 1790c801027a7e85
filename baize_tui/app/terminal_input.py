"""Textual's parser of what a terminal sends, which survives what no terminal should send.

Textual 8.2 computes with the numbers in a sequence, as in ``chr(int(code))``, and its input thread
dies of a number that is none, such as the ``65535:3`` of a key that was released, and of a byte
that is not UTF-8, as in a paste from a file in Latin-1.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Generator, Iterable
from typing import Any

from textual import _xterm_parser, events
from textual.geometry import Size
from textual.keys import Keys

_LARGEST = Size(1000, 400)
"""Columns and lines; an 8K monitor with tiny letters has fewer. A terminal may say any number, and
each cell costs memory and time."""


class ForgivingParser(_xterm_parser.XTermParser):
    """``XTermParser`` that ignores a sequence with impossible numbers."""

    def parse(self, token_callback: Any) -> Generator[Any, str, None]:
        while not self.is_eof:
            try:
                yield from super().parse(token_callback)
            except (ValueError, OverflowError):
                continue  # with what follows the sequence

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
