"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path


def expand_user(path: str | Path) -> Path:
    """``path`` with ``~`` or ``~name`` replaced by a home folder; as it is if there is none."""
    path = Path(path)
    try:
        return path.expanduser()
    except RuntimeError:  # no such user
        return path
