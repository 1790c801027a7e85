"""Tracebacks of unexpected exceptions, in a file beside the other logs."""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from contextvars import ContextVar
from pathlib import Path

from baize_shared.private_files import create_file, open_own_file, private_folder
from baize_shared.sanitizer import clean_line
from baize_shared.user_paths import expand_user

APP_NAME = "baize-tui"
HOME_VARIABLE = "BAIZE_HOME"
_LARGEST = 1 << 20
"""Bytes of a log; it then begins anew."""
show_tracebacks: ContextVar[bool] = ContextVar("show_tracebacks", default=False)
"""Whether the person wants to see the tracebacks of errors (``--debug``)."""


def logs_folder() -> Path:
    """The folder of all logs, which need not exist: ``$BAIZE_HOME/logs``, or the platform's own."""
    home = os.environ.get(HOME_VARIABLE)
    if home:
        return expand_user(home).absolute() / "logs"
    import platformdirs

    return platformdirs.PlatformDirs(APP_NAME, appauthor=False).user_log_path


def record_crash(program: str, error: BaseException) -> str:
    """Write the traceback of ``error`` to the log of ``program``; one line for the person."""
    if isinstance(error, MemoryError):
        what = "there is too little memory"
    else:
        what = f"unexpected error: {type(error).__name__}"
        if words := clean_line(str(error)):
            what += f": {words}"
    file = _append_traceback(program, error)
    return what if file is None else f"{what}; the traceback is in {file}"


def _append_traceback(program: str, error: BaseException) -> Path | None:
    """The log; None if it cannot be written."""
    with contextlib.suppress(OSError, MemoryError, RecursionError, ValueError):
        file = private_folder(logs_folder()) / f"{program}.log"
        lines = traceback.format_exception(error)
        when = time.strftime("%Y-%m-%d %H:%M:%S %z")
        entry = f"{when} {program}\n{''.join(lines)}\n".encode("utf-8", "backslashreplace")
        descriptor = open_own_file(file)
        if descriptor is None or os.fstat(descriptor).st_size > _LARGEST:
            if descriptor is not None:
                os.close(descriptor)
            descriptor = create_file(file)
        with os.fdopen(descriptor, "r+b") as log:
            log.seek(0, os.SEEK_END)
            log.write(entry)
        return file
    return None
