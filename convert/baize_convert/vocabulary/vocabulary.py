"""A vocabulary as GGUF stores it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from gguf import TokenType

from baize_convert.failures import ConvertError, first_few
from baize_convert.vocabulary.chat_templates import ChatTemplates
from baize_convert.vocabulary.tokenizer_kind import Limit, TokenizerKind, TokenizerModelName


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
    add_space_prefix: bool | None = None
    chat_template: ChatTemplates = None
    limits: tuple[Limit, ...] = ()
    """What llama.cpp does otherwise."""
    warnings: list[str] = field(default_factory=list)
    filled: set[int] = field(default_factory=set)
    """The ids that belong to no token; their texts are fillers."""
    left_out: list[str] = field(default_factory=list)
    """Tokens for which the model has no embedding, such as a padding added before training."""


def unfilled_vocabulary(kind: TokenizerKind, size: int) -> Vocabulary:
    """A vocabulary of ``size`` ids without tokens, for a tokenizer of this kind."""
    return Vocabulary(
        model=kind.model,
        pre=kind.pre,
        tokens=[b""] * size,
        types=[TokenType.UNUSED] * size,
        scores=[-10000.0] * size if kind.model == "llama" else None,
        limits=kind.limits,
        filled=set(range(size)),
    )


def put_token(vocabulary: Vocabulary, folder: Path, id: int, token: str, type: TokenType) -> None:
    """Set a token of the tokenizer in ``folder``.

    Raises:
        ConvertError: the id is not below the size of the vocabulary.
    """
    if not 0 <= id < len(vocabulary.tokens):
        raise ConvertError(
            f"{folder}: the token {token!r} has the id {id}, but config.json says vocab_size "
            f"{len(vocabulary.tokens)}: it is the tokenizer of another model"
        )
    vocabulary.tokens[id] = token.encode()
    vocabulary.types[id] = type
    vocabulary.filled.discard(id)
    if vocabulary.scores is not None:
        vocabulary.scores[id] = -1000.0


def check_left_out(
    vocabulary: Vocabulary, folder: Path, template: str | None, needed: Iterable[str]
) -> None:
    """Warn about the tokens that are left out, and check that conversations do without them.

    transformers loads such a model too, and fails only if a text contains one. ``template`` is the
    chat template, and ``needed`` are the tokens around a text.

    Raises:
        ConvertError: one does.
    """
    if vocabulary.left_out:
        vocabulary.warnings.append(
            f"{folder}: the model has {len(vocabulary.tokens)} tokens, and no embedding for "
            f"{first_few([repr(text) for text in vocabulary.left_out])} of the tokenizer: left out"
        )
    for text in vocabulary.left_out:
        if text in needed or text in (template or ""):
            raise ConvertError(
                f"{folder}: conversations have the token {text!r}, but the model, with "
                f"{len(vocabulary.tokens)} tokens, has no embedding for it: call "
                "resize_token_embeddings(len(tokenizer)) before training, and save the new rows "
                "(for a LoRA: modules_to_save or trainable_token_indices); or give the tokenizer "
                "and the template of the base"
            )


def fill_gaps(vocabulary: Vocabulary, folder: Path) -> None:
    """Give the ids without tokens the texts of llama.cpp's converter, ``[PAD7]``.

    Raises:
        ConvertError: two tokens have the same text, which llama.cpp cannot load.
    """
    texts = {token for id, token in enumerate(vocabulary.tokens) if id not in vocabulary.filled}
    if len(texts) + len(vocabulary.filled) != len(vocabulary.tokens):
        raise ConvertError(f"{folder}: {_repeated(vocabulary)}, which llama.cpp cannot load")
    for id in vocabulary.filled:
        filler = f"[PAD{id}]".encode()
        while filler in texts:
            filler += b"_"
        vocabulary.tokens[id] = filler
        texts.add(filler)


def _repeated(vocabulary: Vocabulary) -> str:
    first: dict[bytes, int] = {}
    for id, token in enumerate(vocabulary.tokens):
        if id not in vocabulary.filled and first.setdefault(token, id) != id:
            return f"the ids {first[token]} and {id} are both {token.decode()!r}"
    raise AssertionError("a text is repeated")
