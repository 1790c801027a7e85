"""Conversations in the format of ShareGPT, which training programs read: one branch, two roles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
from msgspec import Struct, field

from baize_tui.chat.exports.branches import shown_path
from baize_tui.chat.exports.words import iso_time
from baize_tui.store.records import ConversationTree, MessageRole

_NAMES: dict[MessageRole, str] = {"user": "human", "assistant": "gpt"}


class ShareGptTurn(Struct, frozen=True):
    speaker: str = field(name="from")
    value: str


class ShareGptRecord(Struct, frozen=True):
    id: str
    title: str
    created_at: str
    updated_at: str
    conversations: list[ShareGptTurn]


def to_sharegpt(trees: Sequence[ConversationTree]) -> bytes:
    """A JSON list with the shown branch of each conversation, each on a line."""
    lines = [msgspec.json.encode(_record(tree)) for tree in trees]
    return b"[\n" + b",\n".join(lines) + b"\n]\n"


def left_out(trees: Sequence[ConversationTree]) -> Counter[str]:
    """How much the format has no room for."""
    counts: Counter[str] = Counter()
    for tree in trees:
        shown = shown_path(tree)
        counts["message"] += len(tree.messages) - len(shown)
        counts["thought"] += sum(1 for message in shown if message.reasoning.strip())
    return +counts


def _record(tree: ConversationTree) -> ShareGptRecord:
    turns = [ShareGptTurn(_NAMES[message.role], message.text) for message in shown_path(tree)]
    if tree.system.strip():
        turns.insert(0, ShareGptTurn("system", tree.system))
    return ShareGptRecord(
        tree.id, tree.title, iso_time(tree.created_at), iso_time(tree.updated_at), turns
    )
