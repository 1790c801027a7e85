"""What a program may write to its terminal, and texts that try to write more."""

from __future__ import annotations

import re

from baize_shared.sanitizer import is_harmless

SIGNATURE = "1337"
"""In every attack with a parameter, and in nothing that the programs write."""
ATTACKS = {
    "window title": "\x1b]0;1337\x07",
    "clipboard": "\x1b]52;c;1337\x1b\\",
    "hyperlink": "\x1b]8;;http://1337\x07link\x1b]8;;\x07",
    "colour": "\x1b[5;1337;31m",
    "cursor": "\x1b[1337;1337H",
    "mode": "\x1b[?1337h",
    "erase": "\x1b[1337J",
    "query": "\x1b[c\x1b[6n\x1b[>q",
    "reset": "\x1bc",
    "character set": "\x1b(0\x1b#8",
    "device control": "\x1bP+q1337\x1b\\\x1b_1337\x1b\\\x1b^1337\x1b\\\x1bX1337\x1b\\",
    "C1": "\x9b1337m\x9d0;1337\x9c\x901337\x9c\x98\x9e\x9f\x85\x80",
    "bidi": "\u202a\u202b\u202c\u202d\u202e1337\u2066\u2067\u2068\u2069",
    "C0": "\x01\x05\x07\x08\x0b\x0c\x0e\x0f\x7f",
    "separators": "\u2028\u2029",
    "tags": "\U000e0001\U000e0031\U000e0033\U000e007f",
}
NUL = "\x00"
SURROGATE = "\ud83d\udc00\udcff"
"""JSON can contain them, and so can names of files that are not UTF-8."""

_ALLOWED = re.compile(
    r"\x1b\[[?<=>]?[0-9;:]*\$?[A-HJKhlmprtu]"  # no query (c, n, q) is among them
    r"|\x1b[78=>\\]"
    r"|\x1b\]22;[a-z-]+\x07"  # the shape of the mouse pointer
    r"|\x1b\]52;c;[A-Za-z0-9+/=]*\x07"  # the client copies a text
    r"|\x1b\](?:2|9|777;notify;Baize);"  # title and notification: the text follows, then \x1b\\
    r"|\r"
)
_LINK = re.compile(r"\x1b\]8;(?:id=[-0-9]*;(?:https?://|mailto:)[!-~]*|;)\x1b\\")
"""The client's own links begin and end so; their addresses may come from anywhere."""


def hostile(tag: str, *more: str) -> str:
    """``tag``, which shows where the text has come from, and after it every attack."""
    return f"{tag} {''.join(ATTACKS.values())}{''.join(more)}"


def hostile_name(tag: str) -> str:
    """The same as the name of a file or folder: short, and without a slash."""
    chosen = ("window title", "colour", "C1", "bidi", "C0", "tags")
    return f"{tag} {''.join(ATTACKS[name] for name in chosen)}\n"


def find_harm(written: bytes) -> str | None:
    """What a terminal would obey without the program's intention; None if there is nothing.

    Every control sequence has to be one of those that the programs write, without ``SIGNATURE``,
    and every other character has to be text.
    """
    try:
        text = written.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"not UTF-8: {written[max(error.start - 40, 0) : error.end + 40]!r}"
    at = 0
    while at < len(text):
        sequence = _ALLOWED.match(text, at)
        if (link := _LINK.match(text, at)) is not None:
            at = link.end()
        elif sequence is not None and SIGNATURE not in sequence[0]:
            at = sequence.end()
        elif sequence is None and is_harmless(text[at]):
            at += 1
        else:
            return f"{text[max(at - 60, 0) : at + 40]!r}, at {at}"
    return None


def assert_harmless(written: bytes) -> None:
    harm = find_harm(written)
    assert harm is None, harm
