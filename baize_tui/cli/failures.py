"""Which exceptions end a command with one line on stderr; any other is a bug."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from baize_convert.failures import ConvertError
from baize_shared import commands
from baize_shared.one_line_error import OneLineError
from baize_tui.bench.errors import BenchError
from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.export_files import ExportFailed, FileExists
from baize_tui.chat.formats import UnknownFormat
from baize_tui.cli.output import PROGRAM
from baize_tui.engine.client import EngineFailure
from baize_tui.serving.errors import AddressInUse, EndpointFailed, TokenError
from baize_tui.settings import SettingsError
from baize_tui.store.errors import StoreError


class CommandError(OneLineError):
    """The command failed; the message is the line that the person sees."""


@contextlib.contextmanager
def offering_force() -> Iterator[None]:
    """Say how to replace the file that is in the way.

    Raises:
        CommandError: a file exists already.
    """
    try:
        yield
    except FileExists as error:
        raise CommandError(f"{error}; --force replaces it") from error


EXPECTED = (
    AddressInUse,
    BenchError,
    CommandError,
    CatalogError,
    ConvertError,
    EndpointFailed,
    EngineFailure,
    ExportFailed,
    SettingsError,
    StoreError,
    TokenError,
    UnknownFormat,
)


def exit_code_of(command: Callable[[], object]) -> int:
    """Run ``command`` and return its exit code; a failure prints one line on stderr."""
    return commands.exit_code_of(PROGRAM, command, EXPECTED)
