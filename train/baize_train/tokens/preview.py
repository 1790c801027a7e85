"""A dialogue as training sees it: each token trained, ignored, or cut off."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Literal

from rich.text import Text

from baize_train.tokens.dialogue_tokenizer import TokenizedDialogue
from baize_tui.engine.bindings import Vocabulary

Fate = Literal["trained", "ignored", "cut"]
STYLES: dict[Fate, str] = {"trained": "bold green", "ignored": "dim", "cut": "red strike"}
_MARKS: dict[Fate, tuple[str, str]] = {
    "trained": ("[", "]"),
    "ignored": ("", ""),
    "cut": ("~", "~"),
}
"""What tells them apart where there are no colours."""


def fates(dialogue: TokenizedDialogue, max_length: int | None) -> Iterator[tuple[int, Fate]]:
    """Each token id with what becomes of it."""
    for at, (token, trained) in enumerate(zip(dialogue.ids, dialogue.trained, strict=True)):
        if max_length is not None and at >= max_length:
            yield token, "cut"
        else:
            yield token, "trained" if trained else "ignored"


def preview(
    dialogue: TokenizedDialogue, vocabulary: Vocabulary, max_length: int | None, *, marks: bool
) -> Text:
    """The text of ``dialogue``, coloured by what becomes of each token; ``marks`` puts brackets
    around what is trained and waves around what is cut, for a terminal without colours."""
    text = Text()
    for fate, run in groupby(fates(dialogue, max_length), key=lambda one: one[1]):
        raw = vocabulary.text_of([token for token, _ in run], special=True)
        before, after = _MARKS[fate] if marks else ("", "")
        text.append(f"{before}{_shown(raw.decode('utf-8', 'replace'))}{after}", STYLES[fate])
    return text


def _shown(text: str) -> str:
    """Line ends stay; nothing else in a corpus is a command to the terminal."""
    return "".join(
        char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text
    )
