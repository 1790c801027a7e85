"""A row of a list: a text that is cut where it does not fit, and a short one at the right."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.css.styles import RulesMap
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions, Visual

_GAP = 1


class ListRow(Visual):
    """It is drawn when it comes into sight, in the width that the list has then."""

    def __init__(self, text: str, end: str = "") -> None:
        self.text = text
        self.end = end

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ListRow) and (self.text, self.end) == (other.text, other.end)

    def __hash__(self) -> int:
        return hash((self.text, self.end))

    def render_strips(
        self, width: int, height: int | None, style: Style, options: RenderOptions
    ) -> list[Strip]:
        room = width - (cell_len(self.end) + _GAP if self.end else 0)
        text = self.text
        if cell_len(text) > room:
            text = set_cell_size(text, max(room - 1, 0)) + "…"
        content = Content(set_cell_size(text, max(room, 1)))
        if self.end:
            content = content + Content(f"{' ' * _GAP}{self.end}")
        return content.render_strips(width, height, style, options)

    def get_optimal_width(self, rules: RulesMap, container_width: int) -> int:
        return container_width

    def get_minimal_width(self, rules: RulesMap) -> int:
        return 1

    def get_height(self, rules: RulesMap, width: int) -> int:
        return 1
