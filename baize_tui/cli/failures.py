"""A failure ends a command in one clear line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from baize_convert.failures import ConvertError
from baize_tui.catalog.recipes import CatalogError
from baize_tui.chat.formats import UnknownFormat
from baize_tui.engine.client import EngineFailure
from baize_tui.sanitizer import clean_line
from baize_tui.settings import SettingsError
from baize_tui.store.conversations import StoreError

DONE, FAILED, INTERRUPTED = 0, 1, 130
"""Exit codes; wrong usage is 2, which the command line library gives."""


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


def tell(line: str) -> None:
    """A line for the person, on stderr."""
    print(f"baize-tui: {clean_line(line, 1000)}", file=sys.stderr)


def exit_code_of(command: Callable[[], int | None]) -> int:
    """Run ``command``; what it returns is the exit code, None is 0."""
    try:
        return command() or DONE
    except EXPECTED as error:
        tell(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Who read our output has gone; the interpreter must not try to flush it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        # A file or folder that cannot be read or written, where no one knew better.
        tell(f"{error.filename or 'system'}: {error.strerror or error}")
        return FAILED
