"""Editing a message in the person's own editor, and reading one in their pager."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from msgspec import Struct

from baize_shared.one_line_error import OneLineError
from baize_shared.sanitizer import clean_text
from baize_shared.signal_names import signal_name
from baize_tui.exit_watch import ExitWatch
from baize_tui.translation import msg, tr

VARIABLES = "$VISUAL, $EDITOR, $PAGER"
EDITOR_FAILED = msg("{program} failed (exit code {code}); the message is unchanged")
EDITOR_ENDED = msg("{program} was ended by {signal}; this is what it had saved")
NO_COMMAND = msg("{command} is not a command: {error}; see {variables}")


class EditorFailed(OneLineError):
    """The editor ended with an exit code that says to take nothing."""


class Edited(Struct, frozen=True):
    """What the editor left in the file."""

    text: str
    problem: str = ""
    """How the editor ended, if it was not by itself."""


def editor_command() -> str:
    """``$VISUAL``, ``$EDITOR`` or vi."""
    return os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"


def viewer_command() -> str:
    """``$PAGER``, less where it is installed, or the editor."""
    return os.environ.get("PAGER") or shutil.which("less") or editor_command()


def view_text(text: str, exit_watch: ExitWatch) -> None:
    """Show ``text`` in the person's pager, and take nothing back; see ``edit_text``.

    Raises:
        OSError: the pager cannot be started.
        EditorFailed: it failed, or is not a command.
    """
    command = _split(viewer_command())
    code, _ = _run(command, f"{text}\n", exit_watch)
    if code > 0:
        raise EditorFailed(tr("{program} failed (exit code {code})", program=command[0], code=code))


def edit_text(text: str, exit_watch: ExitWatch) -> Edited:
    """``text`` as the editor saved it, sanitized; also if a signal ended the editor.

    The terminal must be free: suspend the client around this call. If ``exit_watch`` ends the
    client meanwhile, the editor gets SIGHUP and saves the text in its own way.

    Raises:
        OSError: the editor cannot be started.
        EditorFailed: it refused the text, or is not a command.
    """
    command = _split(editor_command())
    code, edited = _run(command, text, exit_watch)
    if code > 0:
        raise EditorFailed(tr(EDITOR_FAILED, program=command[0], code=code))
    if code < 0:
        name = signal_name(-code)
        return Edited(edited, tr(EDITOR_ENDED, program=command[0], signal=name))
    return Edited(edited)


def _run(command: list[str], text: str, exit_watch: ExitWatch) -> tuple[int, str]:
    """Run ``command`` on a file with ``text``: its exit code, and the text that it left there."""
    with tempfile.TemporaryDirectory(prefix="baize-") as folder:
        file = Path(folder) / "message.md"
        file.write_text(text, encoding="utf-8")
        program = subprocess.Popen([*command, str(file)])
        with exit_watch.at_exit_inside(lambda: program.send_signal(signal.SIGHUP)):
            code = program.wait()
        return code, _read(file, text)


def _split(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:  # a quotation mark without its partner
        why = tr(NO_COMMAND, command=command, error=error, variables=VARIABLES)
        raise EditorFailed(why) from error
    if not words:
        raise EditorFailed(tr("one of {variables} is blank", variables=VARIABLES))
    return words


def _read(draft: Path, before: str) -> str:
    """The text in the file; ``before`` if the editor removed the file."""
    try:
        raw = draft.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return before
    return clean_text(raw).rstrip("\n")
