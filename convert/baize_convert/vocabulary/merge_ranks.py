"""The merges of a ``tokenizer.json`` as scores for llama.cpp's SentencePiece.

``llm_tokenizer_spm`` merges two tokens whenever their concatenation is a token, and the score of
that token is the only order it knows. So every way to make a token must be a merge, and all of them
must be one after the other. That holds for the merges that transformers makes of the scores of a
SentencePiece model (``generate_merges``), but for tokens with equal scores: these are user-defined
pieces, which SentencePiece looks for before it merges anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.vocabulary.tokenizer_files import TokenizerFile

_BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")
_MOST_ISOLATED = 1000
"""Gemma has 246 user-defined pieces."""


@dataclass(frozen=True)
class MergeRanks:
    """Scores by token, and the tokens that are looked for in the text before anything is merged."""

    scores: dict[str, float] = field(default_factory=dict)
    isolated: tuple[str, ...] = ()


def rank_merges(file: Path, tokenizer: TokenizerFile) -> MergeRanks:
    """Scores with which llama.cpp makes the merges of ``file`` in their order.

    Raises:
        ConvertError: there are none.
    """
    try:
        pairs = tokenizer.model.pairs()
    except ValueError as error:
        raise ConvertError(f"{file}: a merge does not consist of two tokens") from error
    added = {token.content for token in tokenizer.added_tokens}
    _check_complete(file, tokenizer, pairs, added)
    scores: dict[str, float] = {}
    last, last_apart, apart = "", -1, ""
    for rank, (left, right) in enumerate(pairs):
        token = left + right
        if token in scores and token != last:
            last_apart, apart = rank, token
        scores.setdefault(token, -float(rank))
        last = token
    isolated = {left + right: None for left, right in pairs[: last_apart + 1]}
    if len(isolated) > min(_MOST_ISOLATED, len(scores) // 10):
        raise ConvertError(
            f"{file}: llama.cpp cannot do its merges in their order: those of {apart!r} are apart"
        )
    return MergeRanks(scores, tuple(token for token in isolated if token not in added))


def _check_complete(
    file: Path, tokenizer: TokenizerFile, pairs: Sequence[tuple[str, str]], added: set[str]
) -> None:
    """Check that no token can be made of two others but by a merge."""
    listed = set(pairs)
    ids = tokenizer.model.ids()
    parts = {token for token in ids if token not in added and not _BYTE_PIECE.fullmatch(token)}
    for token in ids:
        if token not in parts:
            continue
        for at in range(1, len(token)):
            pair = (token[:at], token[at:])
            if pair[0] in parts and pair[1] in parts and pair not in listed:
                raise ConvertError(
                    f"{file}: llama.cpp cannot do its merges: it would also make {token!r} of "
                    f"{pair[0]!r} and {pair[1]!r}"
                )
