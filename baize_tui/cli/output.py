"""What commands print: one JSON object, or plain text with a progress line on a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

import msgspec

from baize_tui.cli.failures import tell

_PLAIN_LINE_EVERY_S = 10.0


def print_json(value: Any) -> None:
    """``value`` as exactly one JSON object on stdout."""
    raw = msgspec.json.format(msgspec.json.encode(value), indent=2)
    sys.stdout.write(raw.decode() if speaks_unicode() else _ascii(raw.decode()))
    sys.stdout.write("\n")
    sys.stdout.flush()


def _ascii(text: str) -> str:
    """JSON with every other character as an escape."""
    units = text.encode("utf-16-be", "surrogatepass")
    codes = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(chr(code) if code < 0x80 else f"\\u{code:04x}" for code in codes)


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
