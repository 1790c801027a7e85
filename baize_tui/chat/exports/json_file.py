"""Conversations as JSON: everything that is known of them, to be read back without a loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from baize_shared.sanitizer import clean_values
from baize_tui.store.records import ConversationTree

FORMAT: Literal["baize-tui sessions"] = "baize-tui sessions"
VERSION: Literal[1] = 1


class SessionsFile(Struct, frozen=True):
    """The file. Times are seconds since 1970, UTC; messages have the numbers of the tree."""

    format: Literal["baize-tui sessions"]
    version: Literal[1]
    sessions: list[ConversationTree]


def to_json(trees: Sequence[ConversationTree]) -> bytes:
    """A ``SessionsFile``, with each conversation on a line."""
    # Names of files can contain what a terminal obeys; all other texts are clean already.
    lines = [msgspec.json.encode(clean_values(msgspec.to_builtins(tree))) for tree in trees]
    head = f'{{"format": "{FORMAT}", "version": {VERSION}, "sessions": [\n'
    return head.encode() + b",\n".join(lines) + b"\n]}\n"
