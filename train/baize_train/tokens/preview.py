"""A dialogue as training sees it: each token trained, ignored, or cut off."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Literal

from rich.text import Text

from baize_shared.sanitizer import clean_text
from baize_train.tokens.dialogue_tokenizer import TokenizedDialogue
from baize_tui.engine.bindings import Vocabulary

TokenUse = Literal["trained", "ignored", "cut"]
STYLES: dict[TokenUse, str] = {"trained": "bold green", "ignored": "dim", "cut": "red strike"}
_BRACKETS: dict[TokenUse, tuple[str, str]] = {
    "trained": ("[", "]"),
    "ignored": ("", ""),
    "cut": ("~", "~"),
}
"""They replace the colours on a terminal without any."""


def token_uses(
    dialogue: TokenizedDialogue, max_length: int | None
) -> Iterator[tuple[int, TokenUse]]:
    """Each token id with its use in training."""
    for at, (token, trained) in enumerate(zip(dialogue.ids, dialogue.trained, strict=True)):
        if max_length is not None and at >= max_length:
            yield token, "cut"
        else:
            yield token, "trained" if trained else "ignored"


def preview(
    dialogue: TokenizedDialogue, vocabulary: Vocabulary, max_length: int | None, *, brackets: bool
) -> Text:
    """The text of ``dialogue``, coloured by the use of each token.

    ``brackets`` adds square brackets around trained and tildes around cut tokens.
    """
    text = Text()
    for use, run in groupby(token_uses(dialogue, max_length), key=lambda pair: pair[1]):
        raw = vocabulary.text_of([token for token, _ in run], special=True)
        before, after = _BRACKETS[use] if brackets else ("", "")
        text.append(f"{before}{clean_text(raw.decode('utf-8', 'replace'))}{after}", STYLES[use])
    return text
