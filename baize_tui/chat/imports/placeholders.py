"""What stands in a text for what it has no room for, such as a picture, and how often."""

from __future__ import annotations

import re
from collections import Counter

_RUNS = re.compile("`+")


class Placeholders:
    """Writes placeholders, and counts them by what they stand for."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        """What is not in any text, because nobody was meant to read it."""

    def line(self, kind: str, detail: str | None = "") -> str:
        """``[kind: detail]``, for what is lost but for its name; ``kind`` is a singular noun."""
        self.counts[kind] += 1
        detail = " ".join((detail or "").split())
        return f"[{kind}: {detail}]" if detail else f"[{kind}]"

    def block(self, kind: str, detail: str | None, content: str, language: str = "") -> str:
        """A line and a code block, for what stays only as text."""
        line = self.line(kind, detail)
        return f"{line}\n{code_block(content, language)}" if content.strip() else line


def code_block(content: str, language: str = "") -> str:
    """``content`` in a fence that is longer than any in it."""
    longest = max((len(run) for run in _RUNS.findall(content)), default=0)
    fence = "`" * max(3, longest + 1)
    word = language if re.fullmatch(r"[\w+#.-]{1,30}", language) else ""
    return f"{fence}{word}\n{content.strip(chr(10))}\n{fence}"


def join_texts(*texts: str) -> str:
    """The texts that are not blank, as paragraphs."""
    return "\n\n".join(text.strip("\n") for text in texts if text.strip())
