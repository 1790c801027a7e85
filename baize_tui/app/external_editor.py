"""Writing a message in the person's own editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from baize_tui.sanitizer import clean_text


def editor_command() -> str:
    """``$VISUAL``, ``$EDITOR`` or vi."""
    return os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"


def edited(text: str) -> str | None:
    """``text`` as it comes back from the editor, cleaned; None when the editor failed.

    The terminal must be free: suspend the client around it.

    Raises:
        OSError: the editor cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="baize-") as folder:
        draft = Path(folder) / "message.md"
        draft.write_text(text, encoding="utf-8")
        done = subprocess.run([*shlex.split(editor_command()), str(draft)], check=False)
        if done.returncode != 0:
            return None
        return clean_text(draft.read_text(encoding="utf-8", errors="replace")).rstrip("\n")
