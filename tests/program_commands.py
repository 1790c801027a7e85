"""All commands of the three programs, from their typer applications."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from baize_convert.cli.commands import app as convert_commands
from baize_convert.cli.program import run as run_convert
from baize_train.cli.app import app as train_commands
from baize_train.cli.app import run as run_train
from baize_tui.cli.main import commands as tui_commands
from baize_tui.cli.main import run as run_tui

MODULES = {
    "baize-tui": "baize_tui",
    "baize-convert": "baize_convert",
    "baize-train": "baize_train",
}
"""The programs and their packages."""
RUN = {"baize-tui": run_tui, "baize-convert": run_convert, "baize-train": run_train}
"""What runs the command line of each program in this process."""
_APPLICATIONS = {
    "baize-tui": tui_commands,
    "baize-convert": convert_commands,
    "baize-train": train_commands,
}


def program(name: str) -> Any:
    """The click command of the program ``name``."""
    return get_command(_APPLICATIONS[name])


@functools.cache
def all_commands() -> dict[str, Any]:
    """Every command by its words, such as ``baize-tui models list``.

    ``baize-tui`` alone, which starts the client, is not among them.
    """
    found: dict[str, Any] = {}
    for program, application in _APPLICATIONS.items():
        found.update(_leaves(program, get_command(application)))
    return found


def with_json() -> set[str]:
    """The commands that have the option ``--json``."""
    return {
        words
        for words, command in all_commands().items()
        if any("--json" in parameter.opts for parameter in command.params)
    }


def process_arguments(words: str) -> list[str]:
    """How a process runs the command ``words``."""
    program, *more = words.split()
    return [sys.executable, "-m", MODULES[program], *more]


def _leaves(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words, command
        return
    for name, each in inner.items():
        yield from _leaves(f"{words} {name}", each)
