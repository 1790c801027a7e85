"""What can go wrong with the conversations file."""

from __future__ import annotations


class StoreError(Exception):
    """The conversations file cannot be read or written; the message is one line."""


class StoreFull(StoreError):
    """The disk is full; the same write may succeed later."""


class UnknownConversation(StoreError):
    """No conversation, or more than one, has this id."""
