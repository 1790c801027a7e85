"""The vocabulary of a Hugging Face folder as the ``tokenizer.ggml.*`` keys of GGUF.

The rules are those of ``TextModel._set_vocab_*`` in llama.cpp's conversion/base.py, with one
repair: SentencePiece scores that stand nowhere are rebuilt from the order of the merges, where
llama.cpp writes -1000 for every token and so tokenizes wrongly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from gguf import SpecialVocab, TokenType

from baize_convert.failures import ConvertError
from baize_convert.model_config import ModelConfig
from baize_convert.pre_tokenizers import pre_tokenizer_of
from baize_convert.sentencepiece_model import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    read_pieces,
)

_BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")
_SPACE = "▁"


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
    add_space_prefix: bool | None = None
    chat_template: Any = None


def read_vocabulary(folder: Path, config: ModelConfig, pre: str | None = None) -> Vocabulary:
    """The vocabulary of ``folder``; ``pre`` names the pre-tokenizer where the file does not tell.

    Raises:
        ConvertError: no tokenizer, one that contradicts the config, or an unknown pre-tokenizer.
    """
    tokenizer = _read_json(folder / "tokenizer.json")
    settings = _read_json(folder / "tokenizer_config.json")
    if (folder / "tokenizer.model").is_file():
        found = _from_sentencepiece(folder, settings, config.vocab_size)
    elif not tokenizer:
        raise ConvertError(f"{folder} has no tokenizer.model and no tokenizer.json")
    elif tokenizer.get("model", {}).get("byte_fallback"):
        found = _from_byte_fallback(folder, tokenizer, config.vocab_size)
    else:
        found = _from_bpe(folder, tokenizer, config.vocab_size, pre)
    _add_specials(found, folder)
    if (prefix := settings.get("add_prefix_space")) is not None:
        found.add_space_prefix = bool(prefix)
    # Two sizes that llama.cpp takes for a model: granite, and so SmolLM2, and CodeLlama.
    if config.vocab_size == 49152:
        found.add_special["bos"] = False
    elif config.vocab_size == 32016:
        found.special_ids["eot"] = 32010
    return found


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConvertError(f"{path}: {error}") from error


def _from_sentencepiece(folder: Path, settings: dict[str, Any], size: int) -> Vocabulary:
    pieces = read_pieces(folder / "tokenizer.model")
    if len(pieces) > size:
        raise ConvertError(
            f"{folder}: tokenizer.model has {len(pieces)} pieces, config.json says {size}"
        )
    known = {NORMAL: NORMAL, UNKNOWN: UNKNOWN, CONTROL: CONTROL, UNUSED: UNUSED, BYTE: BYTE}
    found = _padded("llama", size, score=-10000.0)
    assert found.scores is not None
    for id, piece in enumerate(pieces):
        found.tokens[id] = piece.text.encode()
        found.scores[id] = piece.score
        found.types[id] = known.get(piece.type, NORMAL)
    for token, id in _read_json(folder / "added_tokens.json").items():
        _put(found, folder, int(id), str(token), USER_DEFINED)
    for id, entry in settings.get("added_tokens_decoder", {}).items():
        token = str(entry["content"])
        special = entry.get("special") or looks_special(token)
        _put(
            found,
            folder,
            int(id),
            token if special else token.replace(_SPACE, " "),
            CONTROL if special else USER_DEFINED,
        )
    return found


def _from_byte_fallback(folder: Path, tokenizer: dict[str, Any], size: int) -> Vocabulary:
    """SentencePiece known only from its tokenizer.json: scores come from the order of merges."""
    vocab: dict[str, int] = tokenizer["model"]["vocab"]
    found = _padded("llama", size, score=-10000.0)
    assert found.scores is not None
    rank = {left + right: place for place, (left, right) in enumerate(_pairs(tokenizer))}
    unknown = tokenizer["model"].get("unk_token")
    for token, id in vocab.items():
        if id >= size:
            raise ConvertError(
                f"{folder}: token {id} in tokenizer.json, but config.json says {size}"
            )
        found.tokens[id] = token.encode()
        found.scores[id] = -float(rank[token]) if token in rank else 0.0
        found.types[id] = BYTE if _BYTE_PIECE.fullmatch(token) else NORMAL
        if token == unknown:
            found.types[id] = UNKNOWN
    for entry in tokenizer.get("added_tokens", []):
        token, id = str(entry["content"]), int(entry["id"])
        if found.types[id] == UNKNOWN:
            continue
        special = entry.get("special") or looks_special(token)
        _put(found, folder, id, token, CONTROL if special else USER_DEFINED)
    return found


def _from_bpe(folder: Path, tokenizer: dict[str, Any], size: int, pre: str | None) -> Vocabulary:
    vocab: dict[str, int] = tokenizer.get("model", {}).get("vocab", {})
    if not vocab or tokenizer["model"].get("type", "BPE") != "BPE":
        raise ConvertError(f"{folder}: tokenizer.json holds no BPE vocabulary")
    found = _padded("gpt2", size, score=None)
    found.pre = pre or pre_tokenizer_of(tokenizer)
    for token, id in vocab.items():
        _put(found, folder, id, token, NORMAL)
    for entry in tokenizer.get("added_tokens", []):
        token = str(entry["content"])
        special = entry.get("special") or looks_special(token)
        if not special:
            token = token.replace(_SPACE, " ")
        _put(found, folder, int(entry["id"]), token, CONTROL if special else USER_DEFINED)
    return found


def _padded(model: str, size: int, *, score: float | None) -> Vocabulary:
    return Vocabulary(
        model=model,
        pre="default",
        tokens=[f"[PAD{id}]".encode() for id in range(size)],
        types=[int(TokenType.UNUSED)] * size,
        scores=None if score is None else [score] * size,
    )


def _put(found: Vocabulary, folder: Path, id: int, token: str, type: int) -> None:
    if not 0 <= id < len(found.tokens):
        raise ConvertError(
            f"{folder}: the token {token!r} has the id {id}, but config.json says vocab_size "
            f"{len(found.tokens)}"
        )
    found.tokens[id] = token.encode()
    found.types[id] = type
    if found.scores is not None:
        found.scores[id] = -1000.0


def _pairs(tokenizer: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = []
    for merge in tokenizer["model"].get("merges", []):
        left, _, right = (
            merge.partition(" ") if isinstance(merge, str) else (merge[0], "", merge[1])
        )
        pairs.append((left, right))
    return pairs


def looks_special(token: str) -> bool:
    """Whether a token that nobody marked looks special (``does_token_look_special``)."""
    return (
        token in ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
        or (token.startswith("<|") and token.endswith("|>"))
        or (token.startswith("<｜") and token.endswith("｜>"))
        or (token.startswith("<unused") and token.endswith(">"))
    )


def _add_specials(found: Vocabulary, folder: Path) -> None:
    bpe = found.scores is None
    special = SpecialVocab(folder, load_merges=bpe, n_vocab=len(found.tokens))
    found.merges = special.merges if bpe else []
    found.special_ids = dict(special.special_token_ids)
    found.add_special = dict(special.add_special_token)
    found.chat_template = special.chat_template
