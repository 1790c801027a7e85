"""What each of the programs does before anything else, and at its end.

These steps change the whole process, and the processes that it starts; so they are for programs,
not for a library.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_UTF8_MODE = "PYTHONUTF8"
_PRIVATE = 0o077


def prepare_process(program: str) -> None:
    """Make all new files private, and read file names as UTF-8 in every locale.

    Until ``exit_code_of`` runs the program, Ctrl-C ends it without a traceback of an import. What
    no code can catch goes to the log of ``program``.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Whatever a library creates is for its owner alone too: locks, caches, checkpoints, pictures.
    os.umask(_PRIVATE)
    _use_utf8_mode()
    sys.unraisablehook = partial(_record, program)


def end_process(code: int) -> NoReturn:
    """Exit with ``code``. From now on Ctrl-C ends the process without a traceback of its end."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def _record(program: str, unraisable: UnraisableHookArgs) -> None:
    """Write what a destructor raised to the log, not between the person's lines.

    Ctrl-C leaves objects half made, and what ends them may fail.
    """
    from baize_shared.crash_log import record_crash

    if unraisable.exc_value is not None:
        record_crash(program, unraisable.exc_value)


def _use_utf8_mode() -> None:
    """Start Python again in its UTF-8 mode where the locale has another encoding.

    File names are bytes, in practice UTF-8 (Python 3.15 reads them so in every locale, PEP 686). A
    name read as ASCII or GB18030 could not be written to a recipe, the store or a pipe, and another
    process would not find the file. The terminal keeps the encoding of the locale.
    """
    if sys.getfilesystemencoding() == "utf-8" or not sys.executable:
        return
    if os.environ.get(_UTF8_MODE) == "1":  # set already, and Python was told to ignore it
        return
    terminal = next((s for s in (sys.stdout, sys.stderr, sys.stdin) if s is not None), None)
    os.environ[_UTF8_MODE] = "1"
    if terminal is not None:
        os.environ.setdefault("PYTHONIOENCODING", terminal.encoding)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
