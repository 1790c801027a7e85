"""A vocabulary as GGUF stores it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gguf import TokenType

from baize_convert.failures import ConvertError

TokenizerModelName = Literal["llama", "gpt2"]
"""``tokenizer.ggml.model``: SentencePiece, and BPE on bytes."""


@dataclass
class Vocabulary:
    """Tokens and their types by id, and how llama.cpp tokenizes with them."""

    model: TokenizerModelName
    pre: str
    tokens: list[bytes]
    types: list[TokenType]
    scores: list[float] | None = None
    """Only for SentencePiece."""
    merges: list[str] = field(default_factory=list)
    special_ids: dict[str, int] = field(default_factory=dict)
    add_special: dict[str, bool] = field(default_factory=dict)
    overrides: dict[str, bool] = field(default_factory=dict)
    """Values of ``add_special`` that llama.cpp's converter sets whatever the files say."""
    add_space_prefix: bool | None = None
    chat_template: Any = None
    warnings: list[str] = field(default_factory=list)


def padded_vocabulary(model: TokenizerModelName, size: int, *, score: float | None) -> Vocabulary:
    """A vocabulary of ``size`` unused tokens; ``score`` is None for BPE."""
    return Vocabulary(
        model=model,
        pre="default",
        tokens=[f"[PAD{id}]".encode() for id in range(size)],
        types=[TokenType.UNUSED] * size,
        scores=None if score is None else [score] * size,
    )


def put_token(vocabulary: Vocabulary, folder: Path, id: int, token: str, type: TokenType) -> None:
    """Set a token of the tokenizer in ``folder``.

    Raises:
        ConvertError: the id is not below the size of the vocabulary.
    """
    if not 0 <= id < len(vocabulary.tokens):
        raise ConvertError(
            f"{folder}: the token {token!r} has the id {id}, but config.json says vocab_size "
            f"{len(vocabulary.tokens)}"
        )
    vocabulary.tokens[id] = token.encode()
    vocabulary.types[id] = type
    if vocabulary.scores is not None:
        vocabulary.scores[id] = -1000.0
