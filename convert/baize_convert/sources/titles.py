"""Names for people, from those of folders, files and repositories."""

from __future__ import annotations

import os
import re
from pathlib import Path

from baize_convert.sources.folder_files import cached_repository


def title(name: str) -> str:
    """A title for people from a name such as ``my-model``."""
    words = re.split(r"[-_\s]+", name)
    return " ".join(word[:1].upper() + word[1:] for word in words if word) or "Model"


def name_from_path(path: Path) -> str:
    """The name of a folder, a file without its extension, or a repository in the hub's cache.

    It is text in UTF-8.
    """
    full = path.resolve()
    name = full.stem if path.is_file() else full.name
    if full.parent.name == "snapshots" and (repository := cached_repository(full)):
        name = repository.rpartition("/")[2]
    return utf8_name(name)


def utf8_name(name: str) -> str:
    """The name of a file as text that can be stored; file systems allow bytes that are none."""
    return os.fsencode(name).decode("utf-8", "replace")
