"""The original Baize's corpora: a list of transcripts, ``[|Human|] … [|AI|] …``."""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct

from baize_tui.chat.imports.parsed import ParsedConversation, ParsedMessage
from baize_tui.chat.imports.placeholders import Placeholders
from baize_tui.chat.imports.problems import InvalidConversation
from baize_tui.store.records import MessageRole
from baize_tui.translation import tr

MARKER = re.compile(r"\[\|?(Human|AI)\|?\]")
_ROLES: dict[str, MessageRole] = {"Human": "user", "AI": "assistant"}


class _Record(Struct):
    input: str
    topic: str | None = None


def parse_baize(record: Raw, placeholders: Placeholders) -> ParsedConversation:
    """The conversation in ``record``.

    The text before the first marker is Baize's prompt, the same in every transcript: it is left
    out. So is an empty turn, with which most transcripts end.

    Raises:
        msgspec.ValidationError, InvalidConversation: it is none.
    """
    found = msgspec.json.decode(record, type=_Record)
    parts = MARKER.split(found.input)
    messages: list[ParsedMessage] = []
    for speaker, text in zip(parts[1::2], parts[2::2], strict=True):
        if text.strip():
            key, before = str(len(messages) + 1), str(len(messages)) if messages else None
            messages.append(ParsedMessage(key, before, _ROLES[speaker], text.strip()))
    if not messages:
        raise InvalidConversation(tr("its transcript has no [|Human|] or [|AI|]"))
    return ParsedConversation(
        source="Baize", id=found.input, messages=messages, title=found.topic or ""
    )
