"""A line for a path, which Tab completes as in a shell."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.suggester import Suggester

from baize_shared.common_prefix import common_prefix_length
from baize_shared.sanitizer import clean_line
from baize_tui.app.widgets.text_fields import LineInput

_MOST_NAMES = 10_000
"""Names of a folder that are looked at."""


def path_matches(text: str) -> list[str]:
    """The paths that begin with ``text``, sorted, folders with a slash at the end.

    ``text`` keeps its form: ``~/`` is not replaced. Hidden names have to be begun, and names that a
    terminal could obey are left out.
    """
    folder, _, begun = text.rpartition("/")
    if "/" not in text:
        return ["~/"] if text == "~" else []
    matches = []
    try:
        with os.scandir(Path(folder or "/").expanduser()) as entries:
            for entry, _ in zip(entries, range(_MOST_NAMES), strict=False):
                name = entry.name
                if not name.startswith(begun) or (name.startswith(".") and not begun):
                    continue
                if name == clean_line(name, len(name)):
                    slash = "/" if entry.is_dir() else ""
                    matches.append(f"{folder}/{name}{slash}")
    except (OSError, RuntimeError, ValueError):  # no such folder or home, or a zero byte in it
        return []
    return sorted(matches)


class PathSuggester(Suggester):
    """Shows behind the cursor how a path could go on."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """The first path that begins with ``value``."""
        matches = await asyncio.to_thread(path_matches, value)
        return matches[0] if matches else None


class PathInput(LineInput):
    """One line for a path; Tab completes it as far as that is certain, Right takes the rest."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "complete", show=False)]

    def __init__(self, *, compact: bool = False, select_on_focus: bool = True) -> None:
        super().__init__(
            compact=compact, select_on_focus=select_on_focus, suggester=PathSuggester()
        )

    async def action_complete(self) -> None:
        """Add what all paths that begin with the text have in common."""
        matches = await asyncio.to_thread(path_matches, self.value)
        if not matches:
            return
        common = matches[0][: common_prefix_length(matches[0], matches[-1])]  # they are sorted
        if len(common) > len(self.value):
            self.value = common
            self.cursor_position = len(common)
