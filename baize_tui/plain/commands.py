"""The commands of the plain client, as data; most are those of the screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

from baize_tui.measures import cells
from baize_tui.translation import msg, tr


class PlainCommand(Struct, frozen=True):
    """A line that begins with ``/`` and does something."""

    name: str
    arguments: str
    """As the help shows them; empty if it has none."""
    help: str

    @property
    def usage(self) -> str:
        return f"/{self.name} {self.arguments}".rstrip()


COMMANDS: tuple[PlainCommand, ...] = (
    PlainCommand("help", "", "List the commands"),
    PlainCommand("new", "", "Start a new conversation"),
    PlainCommand("list", "", "List the conversations used last"),
    PlainCommand("open", "N", "Open conversation N of the list, or the one with an id"),
    PlainCommand("show", "", "Print the conversation again"),
    PlainCommand("again", "[N]", "Answer turn N again, or the last; the old answer stays"),
    PlainCommand("go-on", "", "Continue the last answer"),
    PlainCommand("edit", "N TEXT", "Ask the question of turn N in other words"),
    PlainCommand("branch-back", "[N]", "Show the version before, of turn N or the last"),
    PlainCommand("branch-on", "[N]", "Show the version after, of turn N or the last"),
    PlainCommand("delete", "[N]", "Delete turn N, or the last, and all below it"),
    PlainCommand("undo", "", "Undo the last deletion"),
    PlainCommand("good", "[N]", "Mark an answer as good for an export; again: unmark"),
    PlainCommand("bad", "[N]", "Mark an answer as bad for an export; again: unmark"),
    PlainCommand("thought", "[N]", "Print what the model thought before an answer"),
    PlainCommand("rename", "TITLE", "Rename the conversation"),
    PlainCommand("title", "", "Let the model choose a title"),
    PlainCommand("model", "[NAME]", "Say which model answers, or choose another"),
    PlainCommand("attach", "PATH", "Attach a file, a folder or a pattern to the next message"),
    PlainCommand("json", "[SCHEMA]", "Have the next answer in JSON, by the schema in a file"),
    PlainCommand("regex", "REGEX", "Have the next answer match an expression"),
    PlainCommand("grammar", "FILE", "Have the next answer follow the GBNF in a file"),
    PlainCommand("persona", "[NAME]", "List the personas, or give one to the conversation"),
    PlainCommand("system", "[TEXT]", "Print or set the system prompt of the conversation"),
    PlainCommand("quit", "", "Quit; conversations are saved"),
)

OTHER_INPUT = (
    ("Enter", msg("Sends the line; it waits for the end of an answer")),
    ('"""', msg("Begins and ends a message of several lines")),
    (msg("a space before a /"), msg("Sends the line as a message")),
    ("Ctrl-C", msg("Stops the answer and keeps its text")),
    ("Ctrl-D", msg("Quits")),
)


class GivenCommand(NamedTuple):
    """A command as it was typed."""

    command: PlainCommand
    argument: str
    """All that follows the name, stripped."""


def looks_like_command(text: str) -> bool:
    """Whether a message is one line that begins with a slash."""
    return text.startswith("/") and "\n" not in text.rstrip()


def parse_command(text: str) -> GivenCommand | None:
    """The command in ``text``; None if it is none."""
    name, _, argument = text[1:].strip().partition(" ")
    for command in COMMANDS:
        if command.name == name:
            return GivenCommand(command, argument.strip())
    return None


def help_lines() -> Iterator[str]:
    """What can be typed, one line each."""
    rows = [(command.usage, tr(command.help)) for command in COMMANDS]
    rows += [(tr(usage), tr(text)) for usage, text in OTHER_INPUT]
    width = max(cells(usage) for usage, _ in rows)
    for usage, text in rows:
        yield f"  {usage}{' ' * (width - cells(usage))}  {text}"
