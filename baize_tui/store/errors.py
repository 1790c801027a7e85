"""What can go wrong with the conversations file."""

from __future__ import annotations

from typing import Self

from baize_shared.one_line_error import OneLineError
from baize_tui.translation import tr


class StoreError(OneLineError):
    """The conversations file cannot be read or written; the message is one line."""


class StoreFull(StoreError):
    """The disk is full; the same write may succeed later."""


class StoreReadOnly(StoreError):
    """Nothing can be saved there: no permission to write."""


class UnknownConversation(StoreError):
    """No conversation, or more than one, has this id."""

    @classmethod
    def with_id(cls, conversation_id: str) -> Self:
        """No conversation has ``conversation_id``."""
        return cls(tr("no conversation has the id {id}", id=repr(conversation_id)))


class UnknownMessage(StoreError):
    """There is no message with this number."""
