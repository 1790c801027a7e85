"""Data files that ship with the program: in the wheel, or beside the code in a checkout."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def shipped_models() -> Path:
    """The folder ``models``: recipes, and prompt formats in ``formats``."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"
