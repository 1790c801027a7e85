"""A conversation as Markdown: front matter, the shown branch, and the others folded."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import msgspec

from baize_tui.chat.exports.branches import BranchEnd, BranchStart, Turn, walk
from baize_tui.chat.exports.words import (
    close_block,
    fence_around,
    file_title,
    is_json_answer,
    iso_time,
    speaker,
)
from baize_tui.store.draft_parts import message_parts
from baize_tui.store.records import ConversationTree, Message


def to_markdown(tree: ConversationTree) -> bytes:
    """The file; what is folded is in ``<details>``, which GitHub and editors show so."""
    parts = [_front_matter(tree), _heading(1, tree.title)]
    for step in walk(tree):
        match step:
            case Turn(message):
                parts += _message(message)
            case BranchStart():
                parts.append(f"<details>\n<summary>{escape(step.title, quote=False)}</summary>")
            case BranchEnd():
                parts.append("</details>")
    return ("\n\n".join(parts) + "\n").encode()


def _front_matter(tree: ConversationTree) -> str:
    values: dict[str, Any] = {
        "title": tree.title,
        "id": tree.id,
        "created": iso_time(tree.created_at),
        "updated": iso_time(tree.updated_at),
        "model": tree.model,
        "system": tree.system,
    }
    if tree.tags:
        values["tags"] = tree.tags
    values |= {"pinned": True} if tree.pinned else {}
    values |= {"archived": True} if tree.archived else {}
    # Every JSON text is a YAML text.
    rows = [f"{key}: {msgspec.json.encode(value).decode()}" for key, value in values.items()]
    return "\n".join(["---", *rows, "---"])


def _heading(level: int, text: str) -> str:
    """A heading with ``text``, in which no ``<details>`` begins: it would fold what is below."""
    return f"{'#' * level} " + text.replace("<", "&lt;")


def _message(message: Message) -> Iterator[str]:
    yield _heading(2, speaker(message))
    if thought := message.reasoning.strip():
        yield f"<details>\n<summary>Thought</summary>\n\n{close_block(thought)}\n\n</details>"
    yield from _text(message)


def _text(message: Message) -> Iterator[str]:
    """The text; that of files is folded below their names."""
    if is_json_answer(message):
        yield f"```json\n{message.text.strip()}\n```"
        return
    for part in message_parts(message):
        if isinstance(part, str):
            if text := part.strip("\n"):
                yield close_block(text)
        elif part.text:
            fence = fence_around(part.text)
            code = f"{fence}\n{part.text}\n{fence}"
            yield f"<details>\n<summary>{file_title(part)}</summary>\n\n{code}\n\n</details>"
