"""Everything a person can do, as data.

Key bindings, the command palette, the help, the ``/`` commands and the keys page of the docs are
made from it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from baize_tui.app.taken_keys import TAKERS
from baize_tui.settings import SettingsError
from baize_tui.translation import msg, tr


class Action(Struct, frozen=True):
    """One thing to do.

    ``conversation/commands.py`` says what it does; its command is ``/<id>`` with dashes.
    """

    id: str
    key: str
    """The key that is shown where there is room for one; empty if it has none."""
    title: str
    help: str
    other_key: str = ""
    """A second key, where a program around the client takes the first (``taken_keys.py``)."""
    only_in_prompt: bool = False
    """Whether the keys work in the prompt alone; it handles them after what was typed before."""
    argument: str = ""
    """What may follow its command, as the help shows it; empty if nothing may."""

    @property
    def command(self) -> str:
        return "/" + self.id.replace("_", "-")

    @property
    def binding(self) -> str:
        """Its keys as Textual takes them; without any, one that no keyboard has."""
        return ",".join(self.keys) or f"no-key-{self.id}"

    @property
    def usage(self) -> str:
        """The command with what may follow it."""
        return f"{self.command} {self.argument}".rstrip()

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(key for key in (self.key, self.other_key) if key)


_ASKING = (
    Action("stop", "escape", "Stop", "Stop the answer and keep its text"),
    Action("again", "ctrl+r", "Regenerate", "Answer again; the old answer stays a branch"),
    Action("go_on", "ctrl+g", "Continue", "Continue the last answer"),
    Action(
        "earlier",
        "ctrl+up",
        "Earlier message",
        "Recall the message you sent before",
        "f8",
        only_in_prompt=True,
    ),
    Action(
        "later",
        "ctrl+down",
        "Later message",
        "Recall the message you sent after",
        "f9",
        only_in_prompt=True,
    ),
    Action("take_back", "alt+q", "Edit queued", "Take the last queued message back"),
    Action("remove", "alt+x", "Remove queued", "Remove the last queued message"),
    Action("attach", "", "Attach", "Attach a file, a folder or a pattern", argument="[PATH]"),
    Action("json", "", "JSON", "Have the next answer in JSON, by a schema", argument="[SCHEMA]"),
    Action("regex", "", "Regex", "Have the next answer match an expression", argument="[REGEX]"),
    Action("grammar", "", "Grammar", "Have the next answer follow a GBNF", argument="[FILE]"),
    Action("prompts", "", "Prompts", "Insert a prompt that you have written", argument="[NAME]"),
    Action("compare", "alt+v", "Side by side", "Compare answers of models or adapters"),
    Action("editor", "ctrl+o", "Editor", "Write the message in $EDITOR"),
)
_MESSAGES = (
    Action("previous", "alt+up", "Message above", "Select the message above", "alt+u"),
    Action("next", "alt+down", "Message below", "Select the message below", "alt+n"),
    Action("edit", "alt+e", "Edit", "Edit the selected or your last message"),
    Action("summary", "alt+a", "Edit summary", "Edit the summary of turns that no longer fit"),
    Action("branch_back", "alt+left", "Previous branch", "Show the branch before", "alt+j"),
    Action("branch_on", "alt+right", "Next branch", "Show the branch after", "alt+l"),
    Action("map", "alt+shift+b", "Branch map", "Show the branches of the conversation"),
    Action("copy", "alt+c", "Copy", "Copy the selected message or last answer"),
    Action("copy_code", "alt+k", "Copy code", "Copy the last code block; again: the one before"),
    Action("view", "alt+shift+v", "View", "Open the message in $PAGER, less or $EDITOR"),
    Action("delete", "alt+d", "Delete message", "Delete the message and all below it"),
    Action("undo", "alt+z", "Undo", "Undo the last deletion, removal or new title"),
    Action("good", "alt+g", "Good answer", "Mark as good for an export; again: unmark"),
    # Without the kitty protocol, Textual 8.2 reads Alt+B and Alt+F as Ctrl+Left and Ctrl+Right.
    Action("bad", "alt+w", "Bad answer", "Mark as bad for an export; again: unmark"),
    Action("pin", "alt+p", "Pin", "Keep the turn when the context is full"),
    Action("unfold", "alt+r", "Unfold", "Unfold a paste, reasoning or a long message"),
    Action("details", "alt+i", "Details", "Show how the answer was made"),
    Action("tokens", "", "Token probabilities", "Show how likely each token of the answer was"),
    Action("replay", "", "Replay", "Generate the answer again, and compare the two"),
    Action("inspect", "", "What the model reads", "Show the prompt token by token"),
    Action("start", "alt+home", "First message", "Scroll to the first message"),
    Action("end", "alt+end", "Last message", "Scroll to the end and follow it"),
)
_CONVERSATIONS = (
    Action("new", "ctrl+n", "New conversation", "Start a new conversation", "alt+shift+n"),
    Action("list", "ctrl+b", "Conversations", "Go to the list; again: hide it", "f5"),
    Action("search", "ctrl+s", "Search", "Search all conversations"),
    Action("find", "ctrl+f", "Find", "Find in this conversation", "ctrl+l"),
    Action("rename", "f2", "Rename", "Rename the conversation"),
    Action("title", "alt+t", "Title", "Let the model choose a title"),
    Action("organize", "alt+shift+t", "Organize", "Pin, tag, archive or restore conversations"),
    Action("pin_conversation", "", "Pin conversation", "Keep it at the top; again: unpin"),
    Action("tags", "", "Tags", "Change the tags of the conversation"),
    Action("archive", "", "Archive", "Take it out of the list; again: put it back"),
    Action("archived", "", "Archived", "Show the archived conversations"),
    Action("trash", "", "Trash", "Restore what you deleted, or remove it for good"),
    Action("conversation", "f3", "This conversation", "Set model, system prompt and sampling"),
    Action("persona", "", "Persona", "Give the conversation a persona", argument="[NAME]"),
    Action("moderation", "ctrl+t", "Moderation", "Switch the moderation sentence on or off"),
    Action("export", "alt+o", "Export", "Write this or all conversations to files"),
    Action("import", "f12", "Import", "Add conversations of other programs"),
)
_CLIENT = (
    Action("palette", "ctrl+p", "Commands", "Search the commands", "alt+s"),
    Action("help", "f1", "Help", "Show all keys and commands", "alt+h"),
    Action("model", "alt+m", "Models", "Choose, pull, import or remove models"),
    Action("settings", "f4", "Settings", "Change the settings in config.toml"),
    Action("theme", "alt+y", "Theme", "Choose the colours"),
    Action("suspend", "ctrl+z", "Suspend", "Suspend to the shell; fg resumes"),
    Action("quit", "ctrl+q", "Quit", "Quit; conversations are saved", "f10"),
)
ACTION_GROUPS: tuple[tuple[str, tuple[Action, ...]], ...] = (
    (msg("Ask and answer"), _ASKING),
    (msg("Messages"), _MESSAGES),
    (msg("Conversations"), _CONVERSATIONS),
    (msg("The client"), _CLIENT),
)
"""All actions, by what they are about."""
ACTIONS: tuple[Action, ...] = tuple(action for _, group in ACTION_GROUPS for action in group)

ORGANIZING = ("pin_conversation", "tags", "archive", "archived", "trash")
"""The actions that ``organize`` offers."""
APP_ACTIONS = frozenset({"quit"})
"""The actions whose keys work on every screen."""

KeyRows = tuple[tuple[str, str], ...]

PROMPT_KEYS: KeyRows = (
    ("enter", msg("Send the message; during an answer: queue it")),
    (msg("enter, on an empty prompt"), msg("Send the message that waits")),
    ("shift+enter, ctrl+j", msg("Insert a new line")),
    (msg("up, on an empty prompt"), msg("Edit the queued, else your last message")),
    (msg("tab, after a /"), msg("Complete the command")),
    (msg("tab, on an empty prompt"), msg("Take an example of the welcome")),
    (
        msg("@, at the beginning of a word"),
        msg("Choose a file: up, down and tab; esc closes the list"),
    ),
    (msg("space, before a /"), msg("Write a message that begins with /")),
    ("pageup, pagedown", msg("Scroll the conversation")),
    ("ctrl+_, ctrl+y", msg("Undo and redo typing")),
    ("ctrl+c", msg("Copy what is selected; else stop the answer")),
)
LIST_KEYS: KeyRows = (
    (msg("letters"), msg("Search the titles; ctrl+s then searches the messages")),
    (msg("# and letters"), msg("Search the tags")),
    ("enter", msg("Open the conversation")),
    (msg("delete, twice"), msg("Delete it; undo and the trash restore it")),
    ("escape", msg("Go back to the prompt; the list stays")),
)
MAP_KEYS: KeyRows = (
    (msg("letters"), msg("Search the beginnings and names of the branches")),
    ("enter", msg("Show the branch")),
    ("f2", msg("Name the branch")),
    ("f5", msg("Compare it with the next one that you press f5 on")),
    (msg("delete, twice"), msg("Delete the branch; alt+z restores it")),
)
FIND_KEYS: KeyRows = (
    (msg("letters"), msg("Find them: words, the last of which may go on")),
    ("enter", msg("Walk through the matches; then / changes the words")),
    (msg("n, down; N, up"), msg("Next match; previous match")),
    ("escape", msg("End it, and go back to the prompt")),
)
MOUSE: KeyRows = (
    (msg("a message"), msg("Select it")),
    (msg("a folded line"), msg("Unfold it")),
    (msg("text, dragging or twice"), msg("Select it; ctrl+c copies it, esc ends that")),
    (msg("‹ or › below a message"), msg("Show another branch")),
    (msg("how an answer was made"), msg("Show all of it")),
    (msg("copy above a code block"), msg("Copy the code")),
    (msg("a key in the status line"), msg("Run its command")),
    (msg("the rest of that line"), msg("Search the commands")),
)
KEY_DOES_NOTHING: KeyRows = (
    (msg("the second key"), msg("Works where tmux, macOS or a terminal take the first")),
    (msg("the / command"), msg("Works everywhere, and so does the palette")),
    (msg("alt, on macOS"), msg("Needs Option as Meta key in the terminal's settings")),
)
OTHER_KEYS: tuple[tuple[str, KeyRows], ...] = (
    (msg("In the prompt"), PROMPT_KEYS),
    (msg("In the list of conversations"), LIST_KEYS),
    (msg("While you find in a conversation"), FIND_KEYS),
    (msg("In the branch map"), MAP_KEYS),
    (msg("Click with the mouse"), MOUSE),
    (msg("If a key does nothing"), KEY_DOES_NOTHING),
)
"""Keys and clicks that are no actions, in parts with titles."""

TAKEN_KEYS_NOTE = """
The client shows the second key first where it knows that the first one is taken: in tmux, on macOS,
in VS Code and in GNOME Terminal. Zellij takes most keys until Ctrl+G locks it.
"""
MACOS_NOTE = """
On macOS, Alt is the Option key, once it is the Meta key: in Terminal, Settings › Profiles ›
Keyboard › Use Option as Meta key; in iTerm2, Settings › Profiles › Keys › Left Option key: Esc+.
"""

_KEY = re.compile(r"((ctrl|alt|shift|super)\+)*([a-z0-9_]+|[^\s\w])")
_RESERVED = {"enter", "tab", "shift+enter", "ctrl+j", "ctrl+c", "backspace", "delete"}


def actions_with_keys(keys: Mapping[str, str], taken: Collection[str] = ()) -> tuple[Action, ...]:
    """The actions with the person's own ``keys``, by action id.

    An own key is the only one of its action. Of two keys, the first is shown unless it is among
    those that are ``taken`` by a program around the client.
    """
    own = set(keys.values())
    return tuple(_with_key(action, keys.get(action.id), own, taken) for action in ACTIONS)


def _with_key(
    action: Action, own_key: str | None, own: Collection[str], taken: Collection[str]
) -> Action:
    if own_key is not None:
        return msgspec.structs.replace(action, key=own_key, other_key="")
    if action.other_key in own:
        return msgspec.structs.replace(action, other_key="")
    if action.other_key and action.key in taken and action.other_key not in taken:
        return msgspec.structs.replace(action, key=action.other_key, other_key=action.key)
    return action


INVALID_KEY = msg("{file}: keys.{action}: {why}")


def check_keys(keys: Mapping[str, str], file: Path) -> None:
    """Check the person's own keys, which were read from the settings ``file``.

    Raises:
        SettingsError: an unknown action, an unknown key, or a key that is needed for typing or by
            another action.
    """
    ids = {action.id for action in ACTIONS}
    for id, key in keys.items():
        why = ""
        if id not in ids:
            why = tr("unknown action; the actions are {ids}", ids=", ".join(sorted(ids)))
        elif not _KEY.fullmatch(key):
            why = tr("{key} is not a key, such as ctrl+e, alt+x or f5", key=repr(key))
        elif len(key.removeprefix("shift+")) == 1 or key in _RESERVED:
            why = tr("{key} is needed for typing; combine it with ctrl+ or alt+", key=key)
        if why:
            raise SettingsError(tr(INVALID_KEY, file=file, action=id, why=why))
    by_key: dict[str, str] = {}
    for action in actions_with_keys(keys):
        other = by_key.setdefault(action.key or action.id, action.id)
        if other != action.id:
            new, old = (action.id, other) if action.id in keys else (other, action.id)
            why = tr(
                "{key} is already the key of {action}; give that another key",
                key=action.key,
                action=old,
            )
            raise SettingsError(tr(INVALID_KEY, file=file, action=new, why=why))


def key_name(key: str) -> str:
    """A key as the screen shows it: ``^g`` for ``ctrl+g``, ``esc`` for ``escape``."""
    return "esc" if key == "escape" else re.sub(r"^ctrl\+(.)$", r"^\1", key)


def keys_text(action: Action) -> str:
    """All keys of an action, as tables show them."""
    return ", ".join(action.keys)


def keys_page() -> str:
    """The keys page of the docs, as Markdown."""
    lines = ["# Keys and commands"]
    for title, group in ACTION_GROUPS:
        commands = [(keys_text(action), action.usage, action.help) for action in group]
        lines += ["", f"## {title}", "", *_table(("Key", "Command", "What it does"), commands)]
    for title, rows in OTHER_KEYS:
        head = {MOUSE: "Target", KEY_DOES_NOTHING: "Instead"}.get(rows, "Key")
        lines += ["", f"## {title}", "", *_table((head, "What it does"), rows)]
    lines += [
        "",
        *_table(("Key", "Taken by", "Second key"), _taken_keys()),
        TAKEN_KEYS_NOTE.rstrip(),
    ]
    lines += [
        MACOS_NOTE.rstrip(),
        "",
        "## Change a key",
        "",
        "To change the key of a command, add it under `[keys]` in `config.toml`. Its name is the",
        'command with `_` for `-`, for example `go_on = "ctrl+e"`.',
    ]
    return "\n".join([*lines, ""])


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def _taken_keys() -> list[tuple[str, str, str]]:
    """The first keys that programs take, with those programs and the second keys."""
    rows = [
        (action.key, ", ".join(t.name for t in TAKERS if action.key in t.keys), action.other_key)
        for action in ACTIONS
    ]
    return [row for row in rows if row[1]]


if __name__ == "__main__":
    print(keys_page(), end="")
