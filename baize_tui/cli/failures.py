"""Which exceptions end a command with one line on stderr; any other is a bug."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

from baize_convert.failures import ConvertError
from baize_shared import commands
from baize_shared.one_line_error import OneLineError
from baize_tui.bench.errors import BenchError
from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.export_files import ExportFailed, FileExists
from baize_tui.chat.formats import UnknownFormat
from baize_tui.cli.output import PROGRAM
from baize_tui.engine.client import EngineFailure
from baize_tui.paths import project_paths
from baize_tui.serving.errors import AddressInUse, EndpointFailed, TokenError
from baize_tui.settings import SettingsError, load_settings
from baize_tui.shared_texts import tr_shared
from baize_tui.store.errors import StoreError
from baize_tui.translation import Language, choose_language, is_english, tr


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
        raise CommandError(tr("{why}; --force replaces it", why=error)) from error


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
    """Run ``command``, which speaks the person's language, and return its exit code; a failure
    prints one line on stderr."""

    def run() -> object:
        _choose_language()
        return command()

    return commands.exit_code_of(PROGRAM, run, EXPECTED, translate=tr_shared)


def _choose_language() -> None:
    """Choose the language of the settings; that of the environment if they cannot be read.

    It is English where Chinese characters would be escaped, and nobody could read them.
    """
    language: Language = "auto"
    with contextlib.suppress(SettingsError):
        language = load_settings(project_paths().settings_file).look.language
    choose_language(language)
    if not is_english() and not all(map(_can_print_chinese, (sys.stdout, sys.stderr))):
        choose_language("en")


def _can_print_chinese(stream: TextIO) -> bool:
    try:
        "中文".encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
