"""Editing a message in the person's own editor."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path

from baize_shared.sanitizer import clean_text
from baize_tui.exit_watch import ExitWatch


def editor_command() -> str:
    """``$VISUAL``, ``$EDITOR`` or vi."""
    return os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"


def edit_text(text: str, exit_watch: ExitWatch) -> str | None:
    """``text`` as the editor saved it, sanitized; None if the editor failed.

    The terminal must be free: suspend the client around this call. If ``exit_watch`` ends the
    client meanwhile, the editor gets SIGHUP and saves the text in its own way.

    Raises:
        OSError: the editor cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="baize-") as folder:
        draft = Path(folder) / "message.md"
        draft.write_text(text, encoding="utf-8")
        editor = subprocess.Popen([*shlex.split(editor_command()), str(draft)])
        with exit_watch.at_exit_inside(lambda: editor.send_signal(signal.SIGHUP)):
            if editor.wait() != 0:
                return None
        return clean_text(draft.read_text(encoding="utf-8", errors="replace")).rstrip("\n")
