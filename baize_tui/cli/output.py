"""What commands print: one JSON object, or plain text with a progress line on a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any, Self

import msgspec

from baize_tui.cli.failures import tell
from baize_tui.sanitizer import clean_text, is_harmless

_PLAIN_LINE_EVERY_S = 10.0


def print_json(value: Any) -> None:
    """``value`` as exactly one JSON object on stdout.

    What a terminal could obey, and what stdout cannot write, is escaped: the value stays the same.
    """
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    unicode = speaks_unicode()
    sys.stdout.write("".join(_escaped(char, unicode) for char in text) + "\n")
    sys.stdout.flush()


def _escaped(char: str, unicode: bool) -> str:
    if char.isascii() or (unicode and is_harmless(char)):
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def print_line(text: str) -> None:
    """A line of plain text on stdout; what a terminal could obey is made visible."""
    print(clean_text(text))


def speaks_unicode() -> bool:
    """Whether stdout can write every character."""
    return (sys.stdout.encoding or "").lower().replace("-", "") in ("utf8", "utf8sig")


def prepare_stdout() -> None:
    """Say so where stdout cannot write every character, and write escapes for those."""
    if not speaks_unicode():
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        tell(
            f"the output is in {sys.stdout.encoding}, not UTF-8: other characters are escaped "
            "(LC_ALL=C.UTF-8 helps)"
        )


class Progress:
    """One line on stderr that is written over on a terminal; elsewhere a line now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = False
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, text: str) -> None:
        now = time.monotonic()
        if self._terminal:
            if now - self._last < 0.1 and self._shown:
                return
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._shown, self._last = True, now
        elif now - self._last > _PLAIN_LINE_EVERY_S:
            self._last = now
            tell(text)

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
