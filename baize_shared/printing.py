"""What commands print: one JSON object or lines of text on stdout, messages on stderr.

Whatever is printed may come from a file or a server, so every function here makes it harmless to
the terminal first.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, Self, TextIO

import msgspec

from baize_shared.one_line_error import shorten_message
from baize_shared.sanitizer import clean_line, clean_text, is_harmless, without_surrogates

_PLAIN_LINE_EVERY_S = 10.0
_DRAW_EVERY_S = 0.1


def print_json(value: Any) -> None:
    """``value`` as exactly one JSON object on stdout.

    What a terminal could obey, and what stdout cannot encode, is escaped; the value stays the same.
    Numbers that JSON does not have (NaN, infinity) become null, and bytes of a file name that are
    not UTF-8 become replacement characters.
    """
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:  # a lone surrogate
        encoded = msgspec.json.encode(without_surrogates(msgspec.to_builtins(value)))
    text = msgspec.json.format(encoded, indent=2).decode()
    unicode = stdout_is_utf8()
    sys.stdout.write("".join(_escaped(char, unicode) for char in text) + "\n")
    sys.stdout.flush()


def _escaped(char: str, unicode: bool) -> str:
    if is_harmless(char) and (unicode or char.isascii()):
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def print_line(text: str) -> None:
    """Plain text on stdout, with its line ends; what a terminal could obey is made visible."""
    print(clean_text(text))


def stdout_is_utf8() -> bool:
    """Whether stdout can encode every character."""
    return (sys.stdout.encoding or "").lower().replace("-", "") in ("utf8", "utf8sig")


def warn_about_encoding(program: str, translate: Callable[[str], str] = str) -> None:
    """Say that characters are escaped, where stdout cannot encode all of them; ``translate`` gives
    the line in the person's language."""
    if not stdout_is_utf8():
        line = (
            f"the output is in {sys.stdout.encoding}, not UTF-8: other characters are escaped "
            "(LC_ALL=C.UTF-8 helps)"
        )
        print_message(program, translate(line))


def print_message(program: str, text: str) -> None:
    """One line for the person, on stderr, with the name of the program in front."""
    write_to_stderr(f"{program}: {shorten_message(text)}\n")


def write_to_stderr(text: str) -> None:
    """Write ``text`` as it is; nothing if nobody reads messages any more."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        discard_output(sys.stderr)


def discard_output(stream: TextIO) -> None:
    """Write what ``stream`` still holds, and all that follows, to the null device.

    Its reader has gone, or its disk is full; the interpreter would try again at its end.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


class ProgressLine:
    """One line on stderr that is overwritten on a terminal; elsewhere a line now and then."""

    def __init__(self, program: str) -> None:
        self._program = program
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
            if now - self._last < _DRAW_EVERY_S and self._shown:
                return
            write_to_stderr(f"\r\x1b[K{clean_line(text)}")
            self._shown, self._last = True, now
        elif now - self._last > _PLAIN_LINE_EVERY_S:
            self._last = now
            print_message(self._program, text)

    def clear(self) -> None:
        if self._shown:
            write_to_stderr("\r\x1b[K")
            self._shown = False
