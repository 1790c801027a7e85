"""The merges of a ``tokenizer.json`` as scores for llama.cpp's SentencePiece.

``llm_tokenizer_spm`` merges two tokens whenever their concatenation is a token, and the score of
that token is the only order it knows. So every way to make a token must be a merge, and all of them
must be one after the other. That holds for the merges that transformers makes of the scores of a
SentencePiece model (``generate_merges``), but for groups of tokens that had the same score, such as
LLaMA's runs of spaces: they get the same score again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from baize_convert.failures import ConvertError
from baize_convert.vocabulary.tokenizer_files import TokenizerFile
from baize_convert.vocabulary.tokenizer_kind import BYTE_PIECE

_LARGEST_GROUP = 500
"""Tokens with the same score; Gemma has 246 of them."""


def scores_of_merges(file: Path, tokenizer: TokenizerFile) -> dict[str, float]:
    """Scores by token, with which llama.cpp makes the merges of ``file`` in their order.

    Raises:
        ConvertError: there are none.
    """
    try:
        pairs = tokenizer.model.pairs()
    except ValueError as error:
        raise ConvertError(f"{file}: a merge does not consist of two tokens") from error
    _check_complete(file, tokenizer, pairs)
    ends: dict[str, int] = {}
    for rank, (left, right) in enumerate(pairs):
        ends[left + right] = rank
    scores: dict[str, float] = {}
    group_begin, group_end, group = 0, -1, set[str]()
    for rank, (left, right) in enumerate(pairs):
        token = left + right
        if rank > group_end:
            group_begin, group = rank, set()
        group_end = max(group_end, ends[token])
        group.add(token)
        if len(group) > _LARGEST_GROUP:
            raise ConvertError(
                f"{file}: llama.cpp cannot do its merges in their order: those of "
                f"{next(iter(sorted(group)))!r} are apart"
            )
        scores[token] = -float(group_begin)
    return scores


def _check_complete(file: Path, tokenizer: TokenizerFile, pairs: Sequence[tuple[str, str]]) -> None:
    """Check that no token can be made of two others but by a merge."""
    listed = set(pairs)
    ids = tokenizer.model.ids()
    added = {token.content for token in tokenizer.added_tokens}
    parts = {token for token in ids if token not in added and not BYTE_PIECE.fullmatch(token)}
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
