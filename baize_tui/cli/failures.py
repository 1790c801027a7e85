"""Which exceptions end a command in one clear line; any other is a bug."""

from __future__ import annotations

from collections.abc import Callable

from baize_convert.failures import ConvertError
from baize_shared import commands
from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.formats import UnknownFormat
from baize_tui.cli.output import PROGRAM
from baize_tui.engine.client import EngineFailure
from baize_tui.settings import SettingsError
from baize_tui.store.conversations import StoreError


class CommandError(Exception):
    """The command cannot go on; the message is the line the person sees."""


EXPECTED = (
    CommandError,
    CatalogError,
    ConvertError,
    EngineFailure,
    SettingsError,
    StoreError,
    UnknownFormat,
)


def exit_code_of(command: Callable[[], object]) -> int:
    """Run ``command``; its exit code, with a line on stderr if it failed."""
    return commands.exit_code_of(PROGRAM, command, EXPECTED)
