"""What a person can do, as data: bindings, palette, help, ``/`` commands and the keys page."""

from __future__ import annotations

from msgspec import Struct


class Action(Struct, frozen=True):
    """One thing to do; ``hint`` is the short word beside its key in the status line.

    Its method is ``action_<id>`` of the client, its command ``/<id>`` with dashes.
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
    Action("undo", "alt+z", "Undo", "Bring back what was deleted last"),
    Action("rename", "f2", "Rename", "Give the conversation another title"),
    Action("editor", "ctrl+o", "Editor", "Write the message in $EDITOR"),
    Action("moderation", "ctrl+t", "Moderation on or off", "Ask the model to decline, or not"),
    Action("help", "f1", "Help", "All keys and commands"),
)

PROMPT_KEYS: tuple[tuple[str, str], ...] = (
    ("enter", "Send the message"),
    ("shift+enter, ctrl+j", "A new line"),
    ("up, on an empty prompt", "Edit your last message"),
    ("ctrl+up, ctrl+down", "What you wrote before"),
    ("pageup, pagedown", "Scroll the conversation"),
    ("ctrl+p", "All commands, themes among them"),
)
"""Keys of the prompt itself."""

LIST_KEYS: tuple[tuple[str, str], ...] = (
    ("letters", "Find a conversation"),
    ("enter", "Open it"),
    ("delete, twice", "Delete it; alt+z brings it back"),
    ("escape", "Back to the prompt"),
)
"""Keys of the list of conversations."""


def keys_table() -> str:
    """The keys page of the docs, as Markdown."""
    rows = ["| Key | Command | What it does |", "|---|---|---|"]
    rows += [f"| {action.key} | {action.command} | {action.help} |" for action in ACTIONS]
    parts = [("In the prompt", PROMPT_KEYS), ("In the list of conversations", LIST_KEYS)]
    for title, keys in parts:
        rows += ["", f"## {title}", "", "| Key | What it does |", "|---|---|"]
        rows += [f"| {key} | {what} |" for key, what in keys]
    return "\n".join(["# Keys and commands", "", *rows, ""])


if __name__ == "__main__":
    print(keys_table(), end="")
