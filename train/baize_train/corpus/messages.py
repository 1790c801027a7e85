"""Turns in the forms that data has: OpenAI's messages, ShareGPT's, and what is in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from baize_shared.sanitizer import clean_line
from baize_train.corpus.dialogues import Role, Turn
from baize_train.corpus.exchanges import split_exchanges
from baize_train.corpus.packed_turns import ROLE_KEYS, is_turn, unpack
from baize_train.corpus.unreadable import UnreadableRecord

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "chatbot": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "bot": "assistant",
}
_TOOL_ROLES = ("tool", "function", "function_call", "tool_call", "observation", "ipython")
_TOOL_KEYS = ("tool_calls", "function_call")
CONTENT_KEYS = ("content", "value", "text")
_REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
_TRAINED_KEYS = ("train", "training", "loss")
"""axolotl's and ms-swift's names for whether a turn is trained."""
_WEIGHTS: dict[Any, int] = {0: 0, 1: 1, None: 1}
_TEXT_PARTS = ("text", "input_text", "output_text")


def parse_messages(
    messages: Any,
    unread: Counter[str],
    role_key: str | None = None,
    content_key: str | None = None,
) -> list[Turn]:
    """The turns in a list of messages; texts stay as they are.

    ``unread`` counts the keys with text that are not read.

    Raises:
        UnreadableRecord: it is something else, or has what cannot be trained, such as tools.
    """
    listed = _list_messages(messages)
    if role_key is None and not any(map(is_turn, listed)):
        listed = split_exchanges(listed)
    return [
        _parse_message(message, number, unread, role_key, content_key)
        for number, message in enumerate(listed, 1)
    ]


def _list_messages(messages: Any) -> list[Any]:
    """The messages in a list, in a text that is one, or in columns of equal length."""
    if isinstance(messages, str):
        messages = unpack(messages)
        if messages is None:
            raise UnreadableRecord("its turns are a text that is not JSON")
    if is_turn(messages) and not isinstance(messages[_first_key(messages, ROLE_KEYS)], list):
        return [messages]
    if isinstance(messages, dict) and messages:
        columns = list(messages.values())
        if all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
            return [dict(zip(messages, row, strict=True)) for row in zip(*columns, strict=True)]
    if not isinstance(messages, list):
        raise UnreadableRecord("its turns are not a list")
    return messages


def _parse_message(
    message: Any, number: int, unread: Counter[str], role_key: str | None, content_key: str | None
) -> Turn:
    if not isinstance(message, dict):
        raise UnreadableRecord(f"turn {number} is not an object")
    role_key = role_key or _first_key(message, ROLE_KEYS)
    content_key = content_key or _first_key(message, CONTENT_KEYS)
    if role_key not in message:
        raise UnreadableRecord(f"turn {number} has no {role_key}")
    role = _parse_role(message[role_key], number)
    for key in _TOOL_KEYS:
        if message.get(key):
            raise UnreadableRecord(f"turn {number} calls a tool ({key}), which cannot be trained")
    if content_key not in message:
        raise UnreadableRecord(f"turn {number} has no {content_key}")
    reasoning_key = next((key for key in _REASONING_KEYS if message.get(key)), "")
    known = {role_key, content_key, reasoning_key, "name", "weight", *_TRAINED_KEYS, *_TOOL_KEYS}
    count_unread(message, known, unread, "turns: ")
    name, thoughts = message.get("name"), message.get(reasoning_key)
    return Turn(
        role,
        parse_content(message[content_key], f"turn {number}"),
        name if isinstance(name, str) else "",
        _parse_weight(message, number),
        thoughts if isinstance(thoughts, str) else "",
    )


def _first_key(message: dict[str, Any], keys: Sequence[str]) -> str:
    """The first of ``keys`` with a value: datasets that were put together have the keys of all in
    every turn, and null where there is none."""
    there = [key for key in keys if key in message]
    return next((key for key in there if message[key] is not None), (*there, keys[0])[0])


def _parse_role(value: Any, number: int) -> Role:
    name = str(value).strip().lower()
    if name in _TOOL_ROLES:
        raise UnreadableRecord(f"turn {number} is a tool's ({name}), which cannot be trained")
    if (role := ROLES.get(name)) is None:
        raise UnreadableRecord(f"turn {number} has the unknown role {clean_line(str(value), 40)!r}")
    return role


def parse_content(content: Any, where: str) -> str:
    """The text of a message, or of the parts of one; ``where`` it is, for the user.

    Raises:
        UnreadableRecord: it is not text.
    """
    if isinstance(content, str):
        return content
    if content is None:
        raise UnreadableRecord(f"{where} has no text")
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise UnreadableRecord(f"{where} is not text")
    texts = []
    for part in content:
        text = part if isinstance(part, str) else None
        if isinstance(part, dict):
            text = part.get("text") if (part.get("type") or "text") in _TEXT_PARTS else None
            if text is None:
                kind = clean_line(str(part.get("type")), 40)
                raise UnreadableRecord(f"{where} has a part that is not text ({kind})")
        if not isinstance(text, str):
            raise UnreadableRecord(f"{where} has a part that is not text")
        texts.append(text)
    return "".join(texts)


def _parse_weight(message: dict[str, Any], number: int) -> int:
    """0 for a turn that must not be trained: ``weight`` of OpenAI, ``train`` of axolotl."""
    if message.get("train_detail"):
        raise UnreadableRecord(f"turn {number} is to be trained in part (train_detail)")
    weight = message.get("weight")
    if not isinstance(weight, int | float | None) or weight not in _WEIGHTS:
        raise UnreadableRecord(
            f"turn {number} has the weight {clean_line(str(weight), 40)}: only 0 and 1 can be used"
        )
    trained = _WEIGHTS[weight]
    for key in _TRAINED_KEYS:
        value = message.get(key)
        if not isinstance(value, int | float | None) or value not in _WEIGHTS:
            raise UnreadableRecord(f"turn {number}: {key} is neither true nor false")
        trained &= _WEIGHTS[value]
    return trained


def count_unread(
    record: dict[str, Any], known: set[str], unread: Counter[str], where: str = ""
) -> None:
    """Count the keys of ``record`` that are not ``known`` and have text."""
    for key, value in record.items():
        if key not in known and _has_text(value):
            unread[f"{where}{clean_line(str(key), 60)}"] += 1


def _has_text(value: Any) -> bool:
    if isinstance(value, str):
        return any(char.isalpha() for char in value)
    if isinstance(value, dict):
        return any(_has_text(item) for item in value.values())
    return isinstance(value, list) and any(_has_text(item) for item in value)
