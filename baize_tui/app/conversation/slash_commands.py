"""Which messages are ``/`` commands, and which only look like one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from baize_tui.app.actions import Action
from baize_tui.store.records import DraftParts, parts_text


def looks_like_command(text: str) -> bool:
    """Whether a message, not stripped, is one line that begins with a slash.

    A space in front of the slash says that it is no command.
    """
    return text.startswith("/") and "\n" not in text.rstrip()


class GivenCommand(NamedTuple):
    """A command as it was typed."""

    action: Action
    argument: str
    """All that follows the name, stripped."""


def command_in(text: str, actions: Sequence[Action]) -> GivenCommand | None:
    """The command that ``text`` is, which is not stripped; None if it is none."""
    if not looks_like_command(text):
        return None
    name, _, argument = text.rstrip().partition(" ")
    action = next((action for action in actions if action.command == name), None)
    if action is None or (argument and not action.argument):
        return None
    return GivenCommand(action, argument.strip())


def as_message(parts: DraftParts) -> DraftParts:
    """``parts``, which were sent as a message, so that they are one again when they are sent."""
    return (" ", *parts) if looks_like_command(parts_text(parts)) else parts
