"""A vocabulary as GGUF stores it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gguf import TokenType

from baize_convert.failures import ConvertError


@dataclass
class Vocabulary:
    """Tokens by id, with llama.cpp's type of each; ``scores`` only for SentencePiece."""

    model: str
    pre: str
    tokens: list[bytes]
    types: list[int]
    scores: list[float] | None = None
    merges: list[str] = field(default_factory=list)
    special_ids: dict[str, int] = field(default_factory=dict)
    add_special: dict[str, bool] = field(default_factory=dict)
    overrides: dict[str, bool] = field(default_factory=dict)
    """What llama.cpp's converter sets at last, whatever the files say."""
    add_space_prefix: bool | None = None
    chat_template: Any = None
    warnings: list[str] = field(default_factory=list)


def padded_vocabulary(model: str, size: int, *, score: float | None) -> Vocabulary:
    return Vocabulary(
        model=model,
        pre="default",
        tokens=[f"[PAD{id}]".encode() for id in range(size)],
        types=[int(TokenType.UNUSED)] * size,
        scores=None if score is None else [score] * size,
    )


def put_token(found: Vocabulary, folder: Path, id: int, token: str, type: int) -> None:
    if not 0 <= id < len(found.tokens):
        raise ConvertError(
            f"{folder}: the token {token!r} has the id {id}, but config.json says vocab_size "
            f"{len(found.tokens)}"
        )
    found.tokens[id] = token.encode()
    found.types[id] = type
    if found.scores is not None:
        found.scores[id] = -1000.0
