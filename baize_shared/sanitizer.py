"""The one sanitizer: text is data, never a command to the terminal.

Textual, Rich and plain ``print`` pass OSC, CSI, C1 and bidi overrides through to the terminal. So
every text passes here where it enters the program: answers, pastes, titles, model names, file
metadata, error messages of the engine. The mapping is per character, so that a stream may be
cleaned piece by piece: what was an escape sequence stays readable and does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# C0 controls become their visible pictures (ESC shows as ␛); newline and tab stay.
_TABLE: dict[int, str] = {code: chr(0x2400 + code) for code in range(0x20) if code not in (9, 10)}
_TABLE[0x7F] = "\N{SYMBOL FOR DELETE}"
# C1 controls act as ESC plus a letter in terminals that honour them.
_TABLE |= dict.fromkeys(range(128, 160), REPLACEMENT)
# Embeddings, overrides and isolates reorder what follows, beyond the text they stand in. The
# plain marks (LRM, RLM, ALM) stay: right-to-left writing needs them and they reorder nothing.
_TABLE |= dict.fromkeys((*range(8234, 8239), *range(8294, 8298)), REPLACEMENT)
_TABLE |= {0x2028: "\n", 0x2029: "\n"}
# A lone surrogate cannot be written as UTF-8.
_TABLE |= dict.fromkeys(range(55296, 57344), REPLACEMENT)
# Tags are an invisible alphabet: a text in them is read by models and not by people. Only three
# flags, those of England, Scotland and Wales, are written with them.
_TABLE |= dict.fromkeys(range(0xE0000, 0xE0080), REPLACEMENT)


def clean_text(text: str) -> str:
    """``text`` with every character that a terminal could obey made visible or harmless.

    Line ends become ``\\n``. The result holds no C0 control but newline and tab, no C1 control, no
    bidi embedding, override or isolate, no tag, and no lone surrogate; all else is as it was.
    """
    # Nothing in the table is printable. Translating Chinese takes 15 times as long as this check.
    if text.replace("\n", "").isprintable():
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_TABLE)


def clean_values(value: Any) -> Any:
    """``value``, as read from JSON or TOML, with every text in it cleaned, keys included."""
    return _change_texts(value, clean_text)


def without_surrogates(value: Any) -> Any:
    """``value``, as read from JSON, with texts that can be encoded; all else in them stays.

    JSON can contain half of a character's pair of surrogates, such as ``\\ud83d``.
    """
    return _change_texts(value, _join_surrogates)


def _join_surrogates(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _change_texts(value: Any, change: Callable[[str], str]) -> Any:
    match value:
        case str():
            return change(value)
        case list():
            return [_change_texts(item, change) for item in value]
        case dict():
            return {change(key): _change_texts(item, change) for key, item in value.items()}
    return value


def is_harmless(char: str) -> bool:
    """Whether ``char`` would stay as it is."""
    return ord(char) not in _TABLE


def harmful_characters() -> Iterator[str]:
    """All characters that would not."""
    return map(chr, _TABLE)


def clean_line(text: str, limit: int = 200) -> str:
    """One clean line of at most ``limit`` characters, for titles, names and messages."""
    line = " ".join(clean_text(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
