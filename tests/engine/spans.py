"""Prompts as spans, without a chat template: what the rule of ``fragments`` is tested with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from baize_tui.engine.prompts.fragments import MarkedText, SpecialToken, StandIns


@dataclass(frozen=True, slots=True)
class Literal:
    """Template text: special strings in it are tokens."""

    text: str


@dataclass(frozen=True, slots=True)
class Content:
    """Typed or generated text: special strings in it are text."""

    text: str


@dataclass(frozen=True, slots=True)
class Ids:
    """Tokens generated earlier, kept as generated."""

    ids: tuple[int, ...]


Span = Literal | Content | Ids


def marked_text(spans: Iterable[Span], specials: Sequence[SpecialToken]) -> MarkedText:
    """The spans as one text with stand-ins."""
    spans = list(spans)
    stand_ins = StandIns(span.text for span in spans if not isinstance(span, Ids))
    parts: list[str] = []
    for span in spans:
        if isinstance(span, Ids):
            parts.append(stand_ins.keep(span.ids))
        elif isinstance(span, Content):
            parts.append(stand_ins.hide(span.text, specials))
        else:
            parts.append(span.text)
    return MarkedText("".join(parts), stand_ins.hidden, stand_ins.earlier)
