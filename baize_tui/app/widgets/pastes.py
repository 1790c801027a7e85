"""Objects in the prompt's document: long pastes, files, and the form of the answer.

All are called pastes here. In the document, a paste is a run of characters that text never
contains: a first character, the paste's number in digits, and fillers up to the width of its label.
On the screen, the label is drawn in place of the run. The contents are kept as long as the client
runs, so that undo, redo and other conversations find them whatever was deleted.

The characters are among Unicode's noncharacters, which are reserved for use inside a program; each
is as wide as a letter, so that Textual computes the right places. In all other text they are
replaced (``clean_entry``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from baize_shared.sanitizer import REPLACEMENT, clean_text
from baize_tui.measures import count_text
from baize_tui.output_forms import form_text
from baize_tui.store.records import DraftParts, Paste, parts_text
from baize_tui.translation import tr

LARGE_LINES = 20
LARGE_CHARACTERS = 2000
"""A pasted text of this size becomes an object: in a long line, every key would be slow."""
EDITABLE_CHARACTERS = 50_000
"""The longest text that is put into the prompt as text, to be edited."""
_QUESTION_CHARACTERS = 2000
"""The last paragraph of a longer text stays text if it has at most this size."""

_FIRST, _FILLER, _ZERO = "\ufdd0", "\ufdd1", 0xFDE0
_RUN = re.compile("\ufdd0([\ufde0-\ufdef]+)\ufdd1*")
_DISARM = dict.fromkeys(range(0xFDD0, 0xFDF0), REPLACEMENT)


class Run(NamedTuple):
    """The characters ``start`` to ``end`` of a line stand for paste ``number``."""

    start: int
    end: int
    number: int


def is_large(text: str) -> bool:
    """Whether a pasted text becomes an object."""
    return len(text) > LARGE_CHARACTERS or text.count("\n") >= LARGE_LINES


def clean_entry(text: str) -> str:
    """``text`` from outside, without characters that a terminal obeys or that mean a paste."""
    return clean_text(text).translate(_DISARM)


def editable_parts(text: str) -> DraftParts:
    """``text`` to be edited: as text, unless it would be slow; then the end of it stays text."""
    if _can_be_edited(text):
        return (text,) if text else ()
    head, blank, end = text.rpartition("\n\n")
    if head and len(end) <= _QUESTION_CHARACTERS:
        return (Paste(head), blank + end)
    return (Paste(text),)


def editable(parts: DraftParts) -> DraftParts:
    """``parts`` of a message to be edited: texts that would be slow become objects."""
    edited: list[str | Paste] = []
    for part in parts:
        edited += [part] if isinstance(part, Paste) else editable_parts(part)
    return tuple(edited)


def shown_text(parts: DraftParts) -> str:
    """``parts`` with names in place of files and forms, for a line that shows them."""
    return "".join(
        f"[{part.name}]" if isinstance(part, Paste) and part.name else parts_text((part,))
        for part in parts
    )


def _can_be_edited(text: str) -> bool:
    return len(text) <= EDITABLE_CHARACTERS and all(
        len(line) <= LARGE_CHARACTERS for line in text.split("\n")
    )


def runs_in(line: str) -> Iterator[Run]:
    """The pastes in a line of the document."""
    for match in _RUN.finditer(line):
        digits = "".join(f"{ord(digit) - _ZERO:x}" for digit in match[1])
        yield Run(match.start(), match.end(), int(digits, 16))


class Pastes:
    """The contents of all pastes, by number from 1."""

    def __init__(self) -> None:
        self._pastes: list[Paste] = []
        self._numbers: dict[Paste, int] = {}

    def run_of(self, paste: Paste) -> str:
        """Keep ``paste``; returns the characters that stand for it in a document."""
        number = self._numbers.get(paste)
        if number is None:
            clean = msgspec.structs.replace(paste, text=clean_entry(paste.text))
            number = self._numbers.get(clean)
            if number is None:
                self._pastes.append(clean)
                number = self._numbers[clean] = len(self._pastes)
        run = _FIRST + "".join(chr(_ZERO + int(digit, 16)) for digit in f"{number:x}")
        return run.ljust(len(self.label(number)), _FILLER)

    def label(self, number: int) -> str:
        """What the screen shows for a paste."""
        paste = self._pastes[number - 1]
        if paste.form is not None:
            return f"[{form_text(paste.form)}]"
        if paste.name:
            tokens = count_text(paste.tokens, "token")
            label = tr("{name}: {tokens}", name=paste.name, tokens=tokens)
            if "cut:" in paste.note:
                label = tr("{name}: {tokens}, cut", name=paste.name, tokens=tokens)
            return f"[{label}]"
        text = paste.text
        lines = text.count("\n") + 1
        size = count_text(lines, "line") if lines > 1 else count_text(len(text), "character")
        return f"[{tr('paste {number}: {size}', number=number, size=size)}]"

    def get(self, number: int) -> Paste:
        return self._pastes[number - 1]

    def encode(self, parts: DraftParts) -> str:
        """``parts`` as the text of a document."""
        return "".join(
            self.run_of(part) if isinstance(part, Paste) else clean_entry(part) for part in parts
        )

    def decode(self, document: str) -> DraftParts:
        """The texts and pastes of a document."""
        parts: list[str | Paste] = []
        end = 0
        for run in runs_in(document):
            parts += [document[end : run.start], self._pastes[run.number - 1]]
            end = run.end
        parts.append(document[end:])
        return tuple(part for part in parts if part != "")

    def find_again(self, text: str, document: str) -> DraftParts:
        """``text`` as parts, with the pastes of ``document`` that it still contains as objects."""
        parts: list[str | Paste] = [text]
        for run in runs_in(document):
            paste = self._pastes[run.number - 1]
            if not paste.text:  # a form is no part of the text
                parts.insert(0, paste)
                continue
            for place, part in enumerate(parts):
                if isinstance(part, str) and paste.text in part:
                    before, _, after = part.partition(paste.text)
                    parts[place : place + 1] = [before, paste, after]
                    break
        found: list[str | Paste] = []
        for part in parts:
            found += [part] if isinstance(part, Paste) else editable_parts(part)
        return tuple(found)
