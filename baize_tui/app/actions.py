"""Everything a person can do, as data.

Key bindings, the command palette, the help, the ``/`` commands and the keys page of the docs are
made from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from baize_tui.settings import SettingsError


class Action(Struct, frozen=True):
    """One thing to do; ``hint`` is the word beside its key in the status line.

    Method ``action_<id>`` of the conversation screen does it; its command is ``/<id>`` with dashes.
    """

    id: str
    key: str
    title: str
    help: str
    hint: str = ""

    @property
    def command(self) -> str:
        return "/" + self.id.replace("_", "-")


ACTIONS: tuple[Action, ...] = (
    Action("stop", "escape", "Stop", "Stop the answer and keep its text", "stop"),
    Action("new", "ctrl+n", "New conversation", "Start a new conversation", "new"),
    Action("list", "ctrl+b", "Conversations", "Go to the list of conversations, and back", "list"),
    Action("quit", "ctrl+q", "Quit", "Quit; conversations are saved", "quit"),
    Action("help", "f1", "Help", "Show all keys and commands", "help"),
    Action("again", "ctrl+r", "Regenerate", "Answer again; the old answer stays a branch"),
    Action("go_on", "ctrl+g", "Continue", "Continue the last answer"),
    Action("previous", "alt+up", "Message above", "Select the message above"),
    Action("next", "alt+down", "Message below", "Select the message below"),
    Action("edit", "alt+e", "Edit", "Edit the selected or your last message"),
    Action("branch_back", "alt+left", "Previous branch", "Show the previous branch"),
    Action("branch_on", "alt+right", "Next branch", "Show the next branch"),
    Action("copy", "alt+c", "Copy", "Copy the selected message or last answer"),
    Action("copy_code", "alt+k", "Copy code", "Copy the message's last code block"),
    Action("delete", "alt+d", "Delete message", "Delete the message and all below it"),
    Action("undo", "alt+z", "Undo", "Undo the last deletion, removal or new title"),
    Action("good", "alt+g", "Good answer", "Mark the answer as good; again: unmark"),
    Action("bad", "alt+b", "Bad answer", "Mark the answer as bad; again: unmark"),
    Action("pin", "alt+p", "Pin", "Keep the turn when the context is full"),
    Action("unfold", "alt+r", "Unfold", "Unfold a paste, reasoning or a long message"),
    Action("start", "alt+home", "First message", "Scroll to the first message"),
    Action("end", "alt+end", "Last message", "Scroll to the end and follow it"),
    Action("take_back", "alt+q", "Edit queued", "Take the last queued message back"),
    Action("remove", "alt+x", "Remove queued", "Remove the last queued message"),
    Action("rename", "f2", "Rename", "Rename the conversation"),
    Action("title", "alt+t", "Title", "Let the model choose a title"),
    Action("conversation", "f3", "This conversation", "Set model, system prompt and sampling"),
    Action("settings", "f4", "Settings", "Change the settings in config.toml"),
    Action("model", "alt+m", "Models", "Choose, pull, import or remove models"),
    Action("compare", "alt+v", "Side by side", "Compare answers of models or adapters"),
    Action("moderation", "ctrl+t", "Moderation", "Switch the moderation sentence on or off"),
    Action("editor", "ctrl+o", "Editor", "Write the message in $EDITOR"),
    Action("suspend", "ctrl+z", "Suspend", "Suspend to the shell; fg resumes"),
)

KeyRows = tuple[tuple[str, str], ...]

PROMPT_KEYS: KeyRows = (
    ("enter", "Send the message; during an answer: queue it"),
    ("enter, on an empty prompt", "Send the message that waits"),
    ("shift+enter, ctrl+j", "Insert a new line"),
    ("up, on an empty prompt", "Edit the queued, else your last message"),
    ("ctrl+up, ctrl+down", "Recall your earlier messages"),
    ("tab, after a /", "Complete the command"),
    ("space, before a /", "Write a message that begins with /"),
    ("pageup, pagedown", "Scroll the conversation"),
    ("ctrl+_, ctrl+y", "Undo and redo typing"),
    ("ctrl+p", "Open the command palette; it has themes too"),
)
LIST_KEYS: KeyRows = (
    ("letters", "Search the titles"),
    ("enter", "Open the conversation"),
    ("delete, twice", "Delete it; undo restores it"),
    ("escape", "Go back to the prompt"),
)
MOUSE: KeyRows = (
    ("a message", "Select it"),
    ("a folded line", "Unfold it"),
    ("‹ or › below a message", "Show another branch"),
    ("copy above a code block", "Copy the code"),
    ("a key in the status line", "Run its command"),
    ("the rest of that line", "Open the command palette"),
)
OTHER_KEYS: tuple[tuple[str, KeyRows], ...] = (
    ("In the prompt", PROMPT_KEYS),
    ("In the list of conversations", LIST_KEYS),
    ("Click with the mouse", MOUSE),
)
"""Keys and clicks that are no actions, in parts with titles."""

_KEY = re.compile(r"((ctrl|alt|shift|super)\+)*([a-z0-9_]+|[^\s\w])")
_RESERVED = {"enter", "tab", "shift+enter", "ctrl+j", "ctrl+p", "ctrl+c", "backspace", "delete"}


def actions_with_keys(keys: Mapping[str, str]) -> tuple[Action, ...]:
    """The actions with the person's own ``keys``, by action id."""
    return tuple(
        msgspec.structs.replace(action, key=keys.get(action.id, action.key)) for action in ACTIONS
    )


def check_keys(keys: Mapping[str, str], file: Path) -> None:
    """Check the person's own keys, which were read from the settings ``file``.

    Raises:
        SettingsError: an unknown action, an unknown key, or a key that is needed for typing or by
            another action.
    """
    ids = {action.id for action in ACTIONS}
    for id, key in keys.items():
        at = f"{file}: keys.{id}"
        if id not in ids:
            raise SettingsError(f"{at}: unknown action; the actions are {', '.join(sorted(ids))}")
        if not _KEY.fullmatch(key):
            raise SettingsError(f"{at}: {key!r} is not a key, such as ctrl+e, alt+x or f5")
        if len(key.removeprefix("shift+")) == 1 or key in _RESERVED:
            raise SettingsError(f"{at}: {key} is needed for typing; combine it with ctrl+ or alt+")
    by_key: dict[str, str] = {}
    for action in actions_with_keys(keys):
        other = by_key.setdefault(action.key, action.id)
        if other != action.id:
            new, old = (action.id, other) if action.id in keys else (other, action.id)
            raise SettingsError(
                f"{file}: keys.{new}: {action.key} is already the key of {old}; give that "
                "another key"
            )


def key_name(key: str) -> str:
    """A key as the screen shows it: ``^g`` for ``ctrl+g``, ``esc`` for ``escape``."""
    return {"escape": "esc"}.get(key, key.replace("ctrl+", "^"))


def keys_table(actions: Sequence[Action] = ACTIONS) -> str:
    """The keys page of the docs, as Markdown."""
    rows = ["| Key | Command | What it does |", "|---|---|---|"]
    rows += [f"| {action.key} | {action.command} | {action.help} |" for action in actions]
    for title, keys in OTHER_KEYS:
        target = "Target" if keys is MOUSE else "Key"
        rows += ["", f"## {title}", "", f"| {target} | What it does |", "|---|---|"]
        rows += [f"| {key} | {effect} |" for key, effect in keys]
    rows += [
        "",
        "To change a key of the first table, add it under `[keys]` in `config.toml`. Its name is",
        'the command with `_` for `-`, for example `go_on = "ctrl+e"`.',
    ]
    return "\n".join(["# Keys and commands", "", *rows, ""])


if __name__ == "__main__":
    print(keys_table(), end="")
