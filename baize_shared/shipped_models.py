"""Data files that ship with the program: in the wheel, or beside the code in a checkout."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def shipped_models() -> Path:
    """The folder ``models``: recipes, and prompt formats in ``formats``."""
    packages = Path(__file__).resolve().parent.parent
    inside = packages / "baize_tui" / "models"
    return inside if inside.is_dir() else packages / "models"


OWN_TEMPLATE = "template"
"""Name of the prompt format that uses the chat template in the GGUF file."""


def format_files() -> dict[str, Path]:
    """The files of all prompt formats but ``OWN_TEMPLATE``, by name."""
    return {file.stem: file for file in sorted((shipped_models() / "formats").glob("*.toml"))}
