"""Copying a text: the terminal is asked (OSC 52), and the system's clipboard program, or a file if
there is none.

Asking the terminal also works over ssh, but a terminal never says whether it did. tmux drops what
programs ask in its default settings (set-clipboard external), but asks the terminal itself when it
is told with its own command.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from textual.app import App

from baize_shared.private_files import private_folder
from baize_tui.measures import count_text
from baize_tui.translation import tr

_COMMANDS = (
    ("wl-copy", (), "WAYLAND_DISPLAY"),
    ("xclip", ("-selection", "clipboard"), "DISPLAY"),
    ("xsel", ("--clipboard", "--input"), "DISPLAY"),
    ("pbcopy", (), ""),
    ("tmux", ("load-buffer", "-w", "-"), "TMUX"),
)
"""Programs, their arguments, and the variable that is set where they work."""
_TIMEOUT_S = 2.0


def code_blocks(markdown: str) -> list[str]:
    """The contents of the code blocks of a Markdown text, unchanged."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").parse(markdown)
    return [token.content for token in tokens if token.type in ("fence", "code_block")]


def copy_text(app: App[Any], text: str, cache: Path) -> str:
    """Copy ``text``; returns a notice about that. ``cache`` is the folder for the file."""
    app.copy_to_clipboard(text)
    count = count_text(len(text), "character")
    if copy_to_system(text):
        return tr("Copied {characters}", characters=count)
    try:
        file = copy_to_file(text, cache)
    except OSError as error:
        return tr("Copied {characters} (to no file: {why})", characters=count, why=error.strerror)
    return tr("Copied {characters}, also to {file}", characters=count, file=file)


def copy_to_system(text: str) -> bool:
    """Pass ``text`` to the system's clipboard program; False if no such program works."""
    for name, arguments, variable in _COMMANDS:
        program = shutil.which(name)
        if program is None or (variable and not os.environ.get(variable)):
            continue
        try:
            subprocess.run(
                [program, *arguments],
                input=text.encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            continue
        return True
    return False


def copy_to_file(text: str, cache: Path) -> Path:
    """Write ``text`` to a file in ``cache``, for other programs to read.

    Raises:
        OSError: it cannot be written.
    """
    file = private_folder(cache) / "copied.txt"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    return file
