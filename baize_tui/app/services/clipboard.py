"""Copying: to the system's clipboard, or to a file where there is none.

The client also asks the terminal (OSC 52), which works over ssh but never says whether it did.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from baize_tui.paths import private_folder

_COMMANDS = (
    ("wl-copy", (), "WAYLAND_DISPLAY"),
    ("xclip", ("-selection", "clipboard"), "DISPLAY"),
    ("xsel", ("--clipboard", "--input"), "DISPLAY"),
    ("pbcopy", (), ""),
)
_PATIENCE_S = 2.0


def code_blocks(markdown: str) -> list[str]:
    """The contents of the code blocks, as written."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").parse(markdown)
    return [token.content for token in tokens if token.type in ("fence", "code_block")]


def system_copy(text: str) -> bool:
    """Give ``text`` to the system's clipboard program; False where there is none that works."""
    for name, arguments, needs in _COMMANDS:
        program = shutil.which(name)
        if program is None or (needs and not os.environ.get(needs)):
            continue
        try:
            subprocess.run(
                [program, *arguments],
                input=text.encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_PATIENCE_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            continue
        return True
    return False


def copy_to_file(text: str, cache: Path) -> Path:
    """Write ``text`` where other programs can take it up.

    Raises:
        OSError: it cannot be written.
    """
    file = private_folder(cache) / "copied.txt"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    return file
