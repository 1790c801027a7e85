"""How a command of any of the programs ends: an exit code, and one clear line if it failed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from baize_shared.crash_log import record_crash
from baize_shared.printing import print_message

DONE, FAILED, INTERRUPTED = 0, 1, 130
"""Exit codes; wrong usage is 2, which typer gives."""


def exit_code_of(
    program: str,
    command: Callable[[], object],
    expected: tuple[type[Exception], ...],
    *,
    interrupted: str | None = None,
) -> int:
    """Run ``command``, a typer application or a function that returns its exit code or None.

    The exceptions in ``expected`` and errors of the operating system become one line on stderr. Any
    other exception is a bug: it becomes one line too, and its traceback goes to a log that the line
    names. ``interrupted`` is printed after Ctrl-C.
    """
    if sys.stdout is None:  # closed by the caller, as with ``>&-``
        _open_missing_streams()
        print_message(program, "there is nowhere to print to: standard output is closed")
        return FAILED
    _open_missing_streams()
    try:
        result = command()
    except SystemExit as end:  # how typer ends every command; wrong usage is 2
        code = end.code if isinstance(end.code, int) else DONE
        if code == INTERRUPTED and interrupted is not None:  # typer turns Ctrl-C into this code
            print_message(program, interrupted)
        return code
    except expected as error:
        print_message(program, str(error))
        return FAILED
    except KeyboardInterrupt:
        if interrupted is not None:
            print_message(program, interrupted)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone; the interpreter must not try to flush it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        # A file or folder that cannot be read or written, where no code had better words.
        print_message(program, f"{error.filename or 'system'}: {error.strerror or error}")
        return FAILED
    except BaseException as error:  # noqa: BLE001 - the boundary; PyO3's panics are no Exception
        print_message(program, record_crash(program, error))
        return FAILED
    return result if isinstance(result, int) else DONE


def _open_missing_streams() -> None:
    """Open the null device for standard streams that the caller has closed.

    Python has None for them; and the next file that is opened would get their number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            file = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - open until the end
            setattr(sys, name, file)
