"""Large pastes, shown as a short mark: in a line of a megabyte, every key would be slow."""

from __future__ import annotations

import re

from baize_shared.counts import count_text

LARGE_LINES = 20
LARGE_CHARACTERS = 2000
_MARK = re.compile(r"\[paste (\d+): [^\]]*\]")


def is_large(text: str) -> bool:
    return len(text) > LARGE_CHARACTERS or text.count("\n") >= LARGE_LINES


class Pastes:
    """The pasted texts of one draft, and the marks that stand for them."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def collapse(self, text: str) -> str:
        """Keep ``text``; returns the mark that stands for it."""
        self._texts.append(text)
        lines = text.count("\n") + 1
        size = count_text(lines, "line") if lines > 1 else count_text(len(text), "character")
        return f"[paste {len(self._texts)}: {size}]"

    def expand(self, draft: str) -> str:
        """``draft`` with every mark replaced by its text; other brackets are left alone."""

        def pasted_text(mark: re.Match[str]) -> str:
            number = int(mark[1]) - 1
            return self._texts[number] if number < len(self._texts) else mark[0]

        return _MARK.sub(pasted_text, draft)

    def mark_before(self, line: str) -> str | None:
        """The mark that ``line`` ends with; None if it does not end with a paste's mark."""
        marks = list(_MARK.finditer(line))
        last = marks[-1] if marks else None
        if last is None or last.end() != len(line) or int(last[1]) > len(self._texts):
            return None
        return last[0]

    def forget(self) -> None:
        self._texts.clear()
