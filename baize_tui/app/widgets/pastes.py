"""Large pastes stand in the prompt as one short mark: a megabyte in a line makes each key crawl."""

from __future__ import annotations

import re

LARGE_LINES = 20
LARGE_CHARACTERS = 2000
_MARK = re.compile(r"\[paste (\d+): [^\]]*\]")


def is_large(text: str) -> bool:
    return len(text) > LARGE_CHARACTERS or text.count("\n") >= LARGE_LINES


class Pastes:
    """The texts behind the marks of one draft."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def collapse(self, text: str) -> str:
        """The mark that stands for ``text``."""
        self._texts.append(text)
        lines = text.count("\n") + 1
        many = f"{lines} lines" if lines > 1 else f"{len(text)} characters"
        return f"[paste {len(self._texts)}: {many}]"

    def expand(self, draft: str) -> str:
        """``draft`` with every mark replaced by its text; other brackets stay."""

        def text_of(mark: re.Match[str]) -> str:
            number = int(mark[1]) - 1
            return self._texts[number] if number < len(self._texts) else mark[0]

        return _MARK.sub(text_of, draft)

    def mark_before(self, line: str) -> str | None:
        """The mark that ``line`` ends with, where it ends with one of a paste."""
        marks = list(_MARK.finditer(line))
        last = marks[-1] if marks else None
        if last is None or last.end() != len(line) or int(last[1]) > len(self._texts):
            return None
        return last[0]

    def forget(self) -> None:
        self._texts.clear()
