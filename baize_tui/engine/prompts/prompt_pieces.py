"""A prompt as it is read, for people: its texts, its control tokens, and what is cached of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Protocol

from baize_tui.engine.prompts.fragments import SpecialToken
from baize_tui.engine.protocol import PromptPiece


class PiecesVocabulary(Protocol):
    """What the pieces of a prompt need from a vocabulary."""

    specials: Sequence[SpecialToken]

    def detokenize(self, ids: Sequence[int], *, special: bool = False) -> bytes:
        """The bytes of ``ids``; control tokens are empty unless ``special``."""

    def special_text(self, token: int) -> str:
        """The text of a special token as a template writes it."""


def prompt_pieces(
    ids: Sequence[int], cached: int, vocabulary: PiecesVocabulary
) -> list[PromptPiece]:
    """The pieces of ``ids``, of which the first ``cached`` are in the KV cache.

    Each control token is a piece of its own; so is all other text up to the next one, or up to
    where the cached part ends.
    """
    return [*_pieces(ids[:cached], vocabulary, True), *_pieces(ids[cached:], vocabulary, False)]


def _pieces(
    ids: Sequence[int], vocabulary: PiecesVocabulary, is_cached: bool
) -> Iterator[PromptPiece]:
    control = {special.id for special in vocabulary.specials if special.control}
    for is_control, group in groupby(ids, control.__contains__):
        tokens = list(group)
        if is_control:
            for token in tokens:
                yield PromptPiece(vocabulary.special_text(token), 1, True, is_cached)
        else:
            text = vocabulary.detokenize(tokens).decode("utf-8", "replace")
            yield PromptPiece(text, len(tokens), False, is_cached)
