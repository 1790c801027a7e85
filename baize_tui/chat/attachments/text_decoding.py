"""The text in the bytes of a file, and which encoding was assumed."""

from __future__ import annotations

import codecs

from msgspec import Struct

from baize_tui.translation import msg, tr

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig", ""),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_CHINESE = (("\u4e00", "\u9fff"), ("\u3000", "\u303f"), ("\uff00", "\uffef"))
_MOST_CONTROLS = 0.02
"""A larger part of control characters than this is no text."""
_LEAST_CHINESE = 0.9
"""At least this part of the characters beyond ASCII is Chinese in a Chinese text."""
_LEAST_VALID = 0.8
"""At least this part of the characters beyond ASCII is whole in a damaged UTF-8 text."""
_CONTROLS = frozenset(range(32)) - {9, 10, 12, 13, 27}
_LATIN = (("cp1252", "Windows-1252"), ("latin-1", "Latin-1"))


class DecodedText(Struct, frozen=True):
    """A text; ``note`` names the encoding if that was not UTF-8."""

    text: str
    note: str = ""


DAMAGED = msg("UTF-8 with broken bytes, which became {mark}")
READ_AS = msg("not UTF-8: read as {encoding}")


def decode_text(raw: bytes, *, is_cut: bool = False) -> DecodedText | None:
    """The text in ``raw``; None if that is no text. ``is_cut`` says that ``raw`` may end inside a
    character."""
    for mark, encoding, name in _BOMS:
        if raw.startswith(mark):
            note = tr("read as {encoding}", encoding=name) if name else ""
            return DecodedText(raw.decode(encoding, "replace"), note)
    if b"\0" in raw or _part_of_controls(raw) > _MOST_CONTROLS:
        return None
    if (text := _decode(raw, "utf-8", is_cut)) is not None:
        return DecodedText(text)
    if (text := _decode_damaged(raw)) is not None:
        return DecodedText(text, tr(DAMAGED, mark="\ufffd"))
    if (text := _decode(raw, "gb18030", is_cut)) is not None and _is_chinese(text):
        return DecodedText(text, tr(READ_AS, encoding="GB18030"))
    for encoding, name in _LATIN:
        if (text := _decode(raw, encoding, is_cut)) is not None:
            return DecodedText(text, tr(READ_AS, encoding=name))
    return None


def _decode(raw: bytes, encoding: str, is_cut: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(raw, final=not is_cut)
    except UnicodeDecodeError:
        return None


def _decode_damaged(raw: bytes) -> str | None:
    """``raw`` as UTF-8 with some broken bytes, as a log has them; None if it is another encoding,
    in which hardly any characters beyond ASCII happen to be UTF-8."""
    text = raw.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    beyond = sum(not char.isascii() for char in text)
    return text if beyond - broken >= _LEAST_VALID * beyond else None


def _is_chinese(text: str) -> bool:
    """Whether the characters beyond ASCII are Chinese."""
    beyond = [char for char in text if not char.isascii()]
    chinese = sum(any(low <= c <= high for low, high in _CHINESE) for c in beyond)
    return chinese >= _LEAST_CHINESE * len(beyond)


def _part_of_controls(raw: bytes) -> float:
    begin = raw[:8192]
    return sum(byte in _CONTROLS for byte in begin) / max(len(begin), 1)
