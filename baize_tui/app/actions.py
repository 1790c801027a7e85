"""What a person can do, as data: bindings, palette, help, ``/`` commands and the keys page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from baize_tui.settings import SettingsError


class Action(Struct, frozen=True):
    """One thing to do; ``hint`` is the short word beside its key in the status line.

    Its method is ``action_<id>`` of the conversation's screen, its command ``/<id>`` with dashes.
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
    Action("stop", "escape", "Stop", "Stop the answer; what came is kept", "stop"),
    Action("new", "ctrl+n", "New conversation", "Start a new conversation", "new"),
    Action("list", "ctrl+b", "Conversations", "To the list of conversations, and back", "list"),
    Action("quit", "ctrl+q", "Quit", "Quit; every conversation is kept", "quit"),
    Action("help", "f1", "Help", "All keys and commands", "help"),
    Action("again", "ctrl+r", "Answer again", "Another answer; the other stays a branch"),
    Action("go_on", "ctrl+g", "Go on", "Go on with the last answer"),
    Action("previous", "alt+up", "Message above", "Choose the message above to work on it"),
    Action("next", "alt+down", "Message below", "Choose the message below to work on it"),
    Action("edit", "alt+e", "Edit", "Edit it, or your last message; it branches"),
    Action("branch_back", "alt+left", "Branch before", "Show the branch before this one"),
    Action("branch_on", "alt+right", "Branch after", "Show the branch after this one"),
    Action("copy", "alt+c", "Copy", "Copy it, or the last answer"),
    Action("copy_code", "alt+k", "Copy code", "Copy the last code block in it"),
    Action("delete", "alt+d", "Delete message", "Delete it and all below it"),
    Action("undo", "alt+z", "Undo", "Bring back what was deleted or changed last"),
    Action("good", "alt+g", "Good answer", "Mark it, or the last answer, as good; again: no mark"),
    Action("bad", "alt+b", "Bad answer", "Mark it, or the last answer, as bad; again: no mark"),
    Action("pin", "alt+p", "Pin", "Keep its turn in the context when older ones leave"),
    Action("unfold", "alt+r", "Unfold", "Show or fold its reasoning, or a long message"),
    Action("start", "alt+home", "To the start", "To the first message"),
    Action("end", "alt+end", "To the end", "To the end, and stay there"),
    Action("rename", "f2", "Rename", "Give the conversation another title"),
    Action("title", "alt+t", "Title", "Have the model find a title"),
    Action("conversation", "f3", "This conversation", "Its model, system prompt and sampling"),
    Action("settings", "f4", "Settings", "All settings; kept in config.toml"),
    Action("model", "alt+m", "Models", "Choose the model; pull, import, remove models"),
    Action("compare", "alt+v", "Side by side", "Ask two models or adapters the same"),
    Action("moderation", "ctrl+t", "Moderation on or off", "Ask the model to decline, or not"),
    Action("editor", "ctrl+o", "Editor", "Write the message in $EDITOR"),
    Action("suspend", "ctrl+z", "Suspend", "To the shell; fg comes back"),
)

PROMPT_KEYS: tuple[tuple[str, str], ...] = (
    ("enter", "Send the message"),
    ("shift+enter, ctrl+j", "A new line"),
    ("up, on an empty prompt", "Edit your last message"),
    ("ctrl+up, ctrl+down", "What you wrote before"),
    ("tab, after a /", "The command whose name begins so"),
    ("pageup, pagedown", "Scroll the conversation"),
    ("ctrl+_, ctrl+y", "Undo and redo typing"),
    ("ctrl+p", "All commands, themes among them"),
)
"""Keys of the prompt itself."""

LIST_KEYS: tuple[tuple[str, str], ...] = (
    ("letters", "Find a conversation"),
    ("enter", "Open it"),
    ("delete, twice", "Delete it; undo brings it back"),
    ("escape", "Back to the prompt"),
)
"""Keys of the list of conversations."""

_KEY = re.compile(r"((ctrl|alt|shift|super)\+)*([a-z0-9_]+|[^\s\w])")
_TAKEN = {"enter", "tab", "shift+enter", "ctrl+j", "ctrl+p", "ctrl+c", "backspace", "delete"}


def rebound(keys: Mapping[str, str]) -> tuple[Action, ...]:
    """The actions with the keys a person chose, by action id."""
    return tuple(
        msgspec.structs.replace(action, key=keys.get(action.id, action.key)) for action in ACTIONS
    )


def check_keys(keys: Mapping[str, str], file: Path) -> None:
    """Whether the keys chosen in settings ``file`` can be used.

    Raises:
        SettingsError: no such action, not a key, one that is typed, or one that is taken.
    """
    known = {action.id for action in ACTIONS}
    for id, key in keys.items():
        at = f"{file}: keys.{id}"
        if id not in known:
            raise SettingsError(f"{at}: there is no such action; known: {', '.join(sorted(known))}")
        if not _KEY.fullmatch(key):
            raise SettingsError(f"{at}: {key!r} is not a key, such as ctrl+e, alt+x or f5")
        if len(key.removeprefix("shift+")) == 1 or key in _TAKEN:
            raise SettingsError(f"{at}: {key} is needed for writing; take it with ctrl+ or alt+")
    by_key: dict[str, str] = {}
    for action in rebound(keys):
        other = by_key.setdefault(action.key, action.id)
        if other != action.id:
            raise SettingsError(
                f"{file}: keys.{action.id if action.id in keys else other}: {action.key} is the "
                f"key of {other if action.id in keys else action.id} already; give that another one"
            )


def key_name(key: str) -> str:
    """A key as the screen names it: ``^g`` for ``ctrl+g``, ``esc`` for ``escape``."""
    return {"escape": "esc"}.get(key, key.replace("ctrl+", "^"))


def keys_table(actions: Sequence[Action] = ACTIONS) -> str:
    """The keys page of the docs, as Markdown."""
    rows = ["| Key | Command | What it does |", "|---|---|---|"]
    rows += [f"| {action.key} | {action.command} | {action.help} |" for action in actions]
    parts = [("In the prompt", PROMPT_KEYS), ("In the list of conversations", LIST_KEYS)]
    for title, keys in parts:
        rows += ["", f"## {title}", "", "| Key | What it does |", "|---|---|"]
        rows += [f"| {key} | {what} |" for key, what in keys]
    rows += [
        "",
        "Any key of the first table can be another one: in `config.toml`, under `[keys]`, the",
        'command\'s name with `_` for `-`, such as `go_on = "ctrl+e"`.',
    ]
    return "\n".join(["# Keys and commands", "", *rows, ""])


if __name__ == "__main__":
    print(keys_table(), end="")
