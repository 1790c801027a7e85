"""What a person can do, as data: key bindings, the command palette and the keys page read it."""

from __future__ import annotations

from msgspec import Struct


class Action(Struct, frozen=True):
    """One thing to do; ``hint`` is the short word beside its key in the status line."""

    id: str
    key: str
    title: str
    help: str
    hint: str = ""


ACTIONS: tuple[Action, ...] = (
    Action("stop", "escape", "Stop", "Stop the answer; what came is kept", "stop"),
    Action("new_conversation", "ctrl+n", "New conversation", "Start a new conversation", "new"),
    Action(
        "conversations",
        "ctrl+b",
        "Conversations",
        "Go to the list of conversations, and back",
        "list",
    ),
    Action("regenerate", "ctrl+r", "Answer again", "Another answer to the last question"),
    Action("continue_answer", "ctrl+g", "Go on", "Go on with the last answer"),
    Action(
        "toggle_moderation",
        "ctrl+t",
        "Moderation on or off",
        "Whether this conversation asks the model to decline sensitive topics",
    ),
    Action("quit", "ctrl+q", "Quit", "Quit; every conversation is kept", "quit"),
)

PROMPT_KEYS: tuple[tuple[str, str], ...] = (
    ("enter", "Send the message"),
    ("shift+enter, ctrl+j", "A new line"),
    ("pageup, pagedown", "Scroll the conversation"),
)
"""Keys of the prompt itself, for the keys page."""
