"""How a command of any of the programs ends: an exit code, and one clear line if it failed."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from baize_shared.crash_log import record_crash, show_tracebacks
from baize_shared.printing import discard_output, print_message, write_to_stderr
from baize_shared.sanitizer import clean_text

DONE, FAILED, INTERRUPTED = 0, 1, 130
"""Exit codes; wrong usage is 2, which typer gives."""


def exit_code_of(
    program: str,
    command: Callable[[], object],
    expected: tuple[type[Exception], ...],
    *,
    interrupted: Callable[[], str] | None = None,
    translate: Callable[[str], str] = str,
) -> int:
    """Run ``command``, a typer application or a function that returns its exit code or None.

    The exceptions in ``expected`` and errors of the operating system become one line on stderr. Any
    other exception is a bug: it becomes one line too, and its traceback goes to a log that the line
    names. With ``--debug`` the traceback of each is printed as well. What ``interrupted`` returns
    is printed after Ctrl-C. ``translate`` gives the lines of this module in the person's language.
    """
    _enable_interrupts()
    if sys.stdout is None:  # closed by the caller, as with ``>&-``
        _open_missing_streams()
        print_message(program, translate("there is nowhere to print to: standard output is closed"))
        return FAILED
    _open_missing_streams()
    _escape_what_cannot_be_encoded()
    before = show_tracebacks.set(False)
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:  # what libraries warn of is no message for a person
                warnings.simplefilter("ignore")
            code = _run(program, command, expected, translate)
        if code == INTERRUPTED and interrupted is not None:
            print_message(program, interrupted())
        return _flush_stdout(program, code, translate)
    except KeyboardInterrupt:  # when the command had ended already
        return INTERRUPTED
    finally:
        show_tracebacks.reset(before)


def _run(
    program: str,
    command: Callable[[], object],
    expected: tuple[type[Exception], ...],
    translate: Callable[[str], str],
) -> int:
    try:
        result = command()
    except SystemExit as end:  # how typer ends every command; wrong usage is 2
        return end.code if isinstance(end.code, int) else DONE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        discard_output(sys.stdout)
        return FAILED
    except BaseException as error:  # noqa: BLE001 - the boundary; PyO3's panics are no Exception
        if show_tracebacks.get():
            write_to_stderr(clean_text("".join(traceback.format_exception(error))))
        print_message(program, _line_about(program, error, expected, translate))
        return FAILED
    return result if isinstance(result, int) else DONE


def _line_about(
    program: str,
    error: BaseException,
    expected: tuple[type[Exception], ...],
    translate: Callable[[str], str],
) -> str:
    if isinstance(error, expected):
        return str(error)
    if isinstance(error, OSError) and (error.strerror or str(error)):
        # A file or folder that cannot be read or written, where no code had better words. One that
        # says nothing, such as a time-out of asyncio, is no such error.
        return translate(f"{error.filename or 'system'}: {error.strerror or error}")
    return translate(record_crash(program, error))


def _enable_interrupts() -> None:
    """Let Ctrl-C raise ``KeyboardInterrupt``, if ``prepare_process`` has put that off."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _open_missing_streams() -> None:
    """Open the null device for standard streams that the caller has closed.

    Python has None for them; and the next file that is opened would get their number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            file = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - open until the end
            setattr(sys, name, file)


def _escape_what_cannot_be_encoded() -> None:
    """Print ``\\u4f60`` where the encoding of stdout has no such character."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _flush_stdout(program: str, code: int, translate: Callable[[str], str]) -> int:
    """Write what is left of the output; the exit code.

    The interpreter would do it later, and print a traceback if it fails.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        discard_output(sys.stdout)
        if code == DONE and not isinstance(error, BrokenPipeError):
            print_message(program, translate(f"standard output: {error.strerror}"))
        return code or FAILED
    return code
