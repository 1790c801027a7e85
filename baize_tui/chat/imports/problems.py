"""Why a file, or a conversation in it, cannot be imported."""

from __future__ import annotations

from baize_shared.one_line_error import OneLineError


class ImportFailed(OneLineError):
    """The file cannot be read or is not a known one: nothing of it is imported."""


class InvalidConversation(OneLineError):
    """One conversation in a file is not as its format says: it is left out."""
