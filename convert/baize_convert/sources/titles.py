"""Names for people, from those of folders, files and repositories."""

from __future__ import annotations

import os
import re
from pathlib import Path


def title(name: str) -> str:
    """A title for people from a name such as ``my-model``."""
    words = re.split(r"[-_\s]+", name)
    return " ".join(word[:1].upper() + word[1:] for word in words if word) or "Model"


def name_from_path(path: Path) -> str:
    """The name of a folder, or of a file without its extension, in UTF-8."""
    return utf8_name(path.resolve().stem if path.is_file() else path.resolve().name)


def utf8_name(name: str) -> str:
    """The name of a file as text that can be stored; file systems allow bytes that are none."""
    return os.fsencode(name).decode("utf-8", "replace")
