"""Whether something is at a path that a person or a file has named."""

from __future__ import annotations

from pathlib import Path


def is_file(path: Path) -> bool:
    """Whether a regular file is at ``path``; False too if that cannot be found out.

    ``Path.is_file`` raises for a name that is too long, or a folder that must not be entered.
    """
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder is at ``path``; False too if that cannot be found out."""
    try:
        return path.is_dir()
    except OSError:
        return False


def exists(path: Path) -> bool:
    """Whether anything is at ``path``; False too if that cannot be found out."""
    try:
        return path.exists()
    except OSError:
        return False
