"""A record of a corpus: its values, and which of its keys were read."""

from __future__ import annotations

from collections import Counter
from typing import Any

from baize_train.corpus.dialogues import Turn
from baize_train.corpus.messages import parse_messages
from baize_train.corpus.unreadable import UnreadableRecord


class Record:
    """A record; remembers which of its keys were read.

    A key whose value is null counts as one that is not there: tables have all columns in every row.
    """

    def __init__(self, values: dict[str, Any], unread: Counter[str]) -> None:
        self.values, self.unread = values, unread
        self.read: set[str] = set()
        self.rejected: str | None = None
        """The worse answer of a pair; it may be empty."""

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def has_value(self, key: str) -> bool:
        """Whether there is anything but blanks under ``key``; 0 is something."""
        value = self.values.get(key)
        if isinstance(value, str):
            return bool(value.strip())
        return value not in (None, [], {})

    def take(self, key: str) -> Any:
        self.read.add(key)
        return self.values.get(key)

    def take_text(self, *keys: str) -> str:
        """The text of the first of ``keys`` that there is.

        Raises:
            UnreadableRecord: there is none, or it is not text.
        """
        key = next((key for key in keys if key in self), None)
        if key is None:
            empty = next((key for key in keys if key in self.values), None)
            raise UnreadableRecord(
                f"its {empty} is null" if empty else f"it has no {' or '.join(dict.fromkeys(keys))}"
            )
        value = self.take(key)
        if not isinstance(value, str):
            raise UnreadableRecord(f"its {key} is not text")
        return value

    def take_optional(self, *keys: str) -> str:
        """The text of the first of ``keys`` with one; empty if there is none."""
        for key in keys:
            value = self.values.get(key)
            if isinstance(value, str) and value.strip():
                self.read.add(key)
                return value
        return ""

    def messages(self, key: str) -> list[Turn]:
        return parse_messages(self.take(key), self.unread)
