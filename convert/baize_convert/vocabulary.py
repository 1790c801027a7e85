"""The vocabulary of a Hugging Face folder as the ``tokenizer.ggml.*`` keys of GGUF.

The rules are those of ``TextModel._set_vocab_*`` in llama.cpp's conversion/base.py, with three
repairs. SentencePiece scores that stand nowhere are rebuilt from the order of the merges, where
llama.cpp writes -1000 for every token and so tokenizes wrongly. Ids of begin and end that
contradict a SentencePiece vocabulary (decapoda's LLaMA) are those of the vocabulary. Every token
that ends an answer is written, where llama.cpp's converter takes one of a list, or none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from gguf import SpecialVocab, TokenType
from msgspec import Struct

from baize_convert.architectures import LLAMA
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
_BEGIN, _END = b"<s>", b"</s>"
_ENDS_BY_TEXT = frozenset(
    {
        b"<|eot_id|>",
        b"<|im_end|>",
        b"<|end|>",
        b"<|return|>",
        b"<|call|>",
        b"<|flush|>",
        b"<|calls|>",
        b"<end_of_turn>",
        b"<|endoftext|>",
        b"</s>",
        b"<|eom_id|>",
        b"<EOT>",
        b"_<EOT>",
        b"[EOT]",
        b"[EOS]",
        b"<|end_of_text|>",
        b"<end_of_utterance>",
        b"<eos>",
    }
)
"""What llama.cpp takes for an end of generation by its text (``llama_vocab::impl::load``)."""


class _AddedToken(Struct, frozen=True):
    content: str
    id: int = -1
    special: bool | None = None

    @property
    def is_special(self) -> bool:
        return bool(self.special) or looks_special(self.content)


class _TokenizerModel(Struct, frozen=True):
    type: str | None = None
    vocab: dict[str, int] | list[Any] = {}
    merges: list[str | list[str]] = []
    byte_fallback: bool | None = None
    unk_token: str | None = None

    def ids(self) -> dict[str, int]:
        """Ids by token; none where the vocabulary is of another kind."""
        return self.vocab if isinstance(self.vocab, dict) else {}

    def pairs(self) -> list[tuple[str, str]]:
        """The merges in their order; written "a b" in older files."""
        found = []
        for merge in self.merges:
            left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
            found.append((left, right))
        return found


class _TokenizerFile(Struct, frozen=True):
    """``tokenizer.json`` of the tokenizers library."""

    model: _TokenizerModel = _TokenizerModel()
    added_tokens: list[_AddedToken] = []
    pre_tokenizer: Any = None


class _TokenizerConfig(Struct, frozen=True):
    """``tokenizer_config.json``."""

    added_tokens_decoder: dict[int, _AddedToken] = {}
    add_prefix_space: bool | None = None


class _GenerationConfig(Struct, frozen=True):
    eos_token_id: int | list[int] | None = None


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
    forced: dict[str, bool] = field(default_factory=dict)
    """What llama.cpp's converter sets at last, whatever the files say."""
    add_space_prefix: bool | None = None
    chat_template: Any = None
    warnings: list[str] = field(default_factory=list)


def read_vocabulary(
    folder: Path, config: ModelConfig, pre: str | None = None, *, model_folder: Path | None = None
) -> Vocabulary:
    """The vocabulary of ``folder``; ``pre`` names the pre-tokenizer where the file does not tell.

    ``model_folder`` is where the model lies, if not in the same folder.

    Raises:
        ConvertError: no tokenizer, one that contradicts the config, or an unknown pre-tokenizer.
    """
    tokenizer = _read(folder / "tokenizer.json", _TokenizerFile)
    settings = _read(folder / "tokenizer_config.json", _TokenizerConfig) or _TokenizerConfig()
    if (folder / "tokenizer.model").is_file():
        found = _from_sentencepiece(folder, settings, config.vocab_size)
    elif tokenizer is None:
        raise ConvertError(f"{folder} has no tokenizer.model and no tokenizer.json")
    elif tokenizer.model.byte_fallback and config.architecture == LLAMA:
        found = _from_byte_fallback(folder, tokenizer, config.vocab_size)
    else:
        found = _from_bpe(folder, tokenizer, config.vocab_size, pre)
    _add_specials(found, folder, config)
    if found.model == "llama":
        _repair_begin_and_end(found, folder)
    _add_ends(found, model_folder or folder, config)
    if config.architecture != LLAMA:
        return found
    found.add_space_prefix = settings.add_prefix_space
    # Two sizes that llama.cpp takes for a model: granite, and so SmolLM2, and CodeLlama.
    if config.vocab_size == 49152:
        found.forced["bos"] = False
    elif config.vocab_size == 32016:
        found.special_ids |= {"prefix": 32007, "suffix": 32008, "middle": 32009, "eot": 32010}
    return found


_T = TypeVar("_T")


def _read(path: Path, type: type[_T]) -> _T | None:
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=type)
    except OSError as error:
        raise ConvertError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConvertError(f"{path}: {error}") from error


def _from_sentencepiece(folder: Path, settings: _TokenizerConfig, size: int) -> Vocabulary:
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
    for token, id in (_read(folder / "added_tokens.json", dict[str, int]) or {}).items():
        _put(found, folder, id, token, USER_DEFINED)
    for id, added in settings.added_tokens_decoder.items():
        token = added.content
        if added.is_special:
            _put(found, folder, id, token, CONTROL)
        else:
            _put(found, folder, id, token.replace(_SPACE, " "), USER_DEFINED)
    return found


def _from_byte_fallback(folder: Path, tokenizer: _TokenizerFile, size: int) -> Vocabulary:
    """SentencePiece known only from its tokenizer.json: scores come from the order of merges."""
    found = _padded("llama", size, score=-10000.0)
    assert found.scores is not None
    try:
        rank = {left + right: place for place, (left, right) in enumerate(tokenizer.model.pairs())}
    except ValueError as error:
        raise ConvertError(f"{folder}: a merge in tokenizer.json is not of two tokens") from error
    for token, id in tokenizer.model.ids().items():
        kind = BYTE if _BYTE_PIECE.fullmatch(token) else NORMAL
        _put(found, folder, id, token, UNKNOWN if token == tokenizer.model.unk_token else kind)
        found.scores[id] = -float(rank[token]) if token in rank else 0.0
    for added in tokenizer.added_tokens:
        if 0 <= added.id < size and found.types[added.id] == UNKNOWN:
            continue
        _put(found, folder, added.id, added.content, CONTROL if added.is_special else USER_DEFINED)
    return found


def _from_bpe(folder: Path, tokenizer: _TokenizerFile, size: int, pre: str | None) -> Vocabulary:
    vocab = tokenizer.model.ids()
    if not vocab or tokenizer.model.type not in (None, "BPE"):
        raise ConvertError(f"{folder}: tokenizer.json holds no BPE vocabulary")
    found = _padded("gpt2", size, score=None)
    found.pre = pre or pre_tokenizer_of(folder / "tokenizer.json", tokenizer.pre_tokenizer)
    for token, id in vocab.items():
        _put(found, folder, id, token, NORMAL)
    for added in tokenizer.added_tokens:
        if added.is_special:
            _put(found, folder, added.id, added.content, CONTROL)
        else:
            _put(found, folder, added.id, added.content.replace(_SPACE, " "), USER_DEFINED)
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


def looks_special(token: str) -> bool:
    """Whether a token that nobody marked looks special (``does_token_look_special``)."""
    return (
        token in ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
        or (token.startswith("<|") and token.endswith("|>"))
        or (token.startswith("<｜") and token.endswith("｜>"))
        or (token.startswith("<unused") and token.endswith(">"))
    )


class _SpecialTokens(SpecialVocab):
    """An id of -1 says "none" in old configs; the gguf package raises for it."""

    def _set_special_token(self, typ: str, tid: Any) -> None:
        if not isinstance(tid, int) or tid >= 0:
            super()._set_special_token(typ, tid)


def _add_specials(found: Vocabulary, folder: Path, config: ModelConfig) -> None:
    bpe = found.scores is None
    try:
        special = _SpecialTokens(folder, load_merges=bpe, n_vocab=len(found.tokens))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OSError) as error:
        why = " ".join(str(error).split())
        raise ConvertError(f"{folder}: the files of the tokenizer cannot be read: {why}") from error
    found.merges = special.merges if bpe else []
    found.special_ids = dict(special.special_token_ids)
    for kind, id in (("bos", config.bos_token_id), ("eos", config.eos_token_id)):
        if isinstance(id, int) and 0 <= id < len(found.tokens):
            found.special_ids.setdefault(kind, id)
    found.add_special = dict(special.add_special_token)
    found.chat_template = special.chat_template


def _repair_begin_and_end(found: Vocabulary, folder: Path) -> None:
    """Take ``<s>`` and ``</s>`` of the vocabulary where the config names what cannot be they."""
    wrong_for = {"bos": (_BEGIN, {_END}), "eos": (_END, {_BEGIN})}
    for kind, (piece, others) in wrong_for.items():
        id = found.special_ids.get(kind)
        if id is None or piece not in found.tokens:
            continue
        if found.types[id] == UNKNOWN or found.tokens[id] in others:
            right = found.tokens.index(piece)
            found.warnings.append(
                f"{folder}: the config says that {kind} is {id}, {found.tokens[id].decode()}: "
                f"taken is {right}, {piece.decode()}, as the vocabulary has it"
            )
            found.special_ids[kind] = right


def _add_ends(found: Vocabulary, folder: Path, config: ModelConfig) -> None:
    """All tokens that end an answer: llama.cpp has three places for them besides those it knows."""
    generation = _read(folder / "generation_config.json", _GenerationConfig)
    ends: list[int] = []
    for given in (config.eos_token_id, generation.eos_token_id if generation else None):
        ends += [id for id in (given if isinstance(given, list) else [given]) if id is not None]
    begin = found.special_ids.get("bos")
    ends = [
        id
        for id in dict.fromkeys(ends)
        if 0 <= id < len(found.tokens) and id != begin and found.types[id] != UNKNOWN
    ]
    if ends:
        found.special_ids.setdefault("eos", ends[0])
    known = set(found.special_ids.values())
    left = [id for id in ends if id not in known and found.tokens[id] not in _ENDS_BY_TEXT]
    for kind in ("eot", "eom"):
        if left and kind not in found.special_ids:
            found.special_ids[kind] = left.pop(0)
    if left:
        named = ", ".join(found.tokens[id].decode("utf-8", "replace") for id in left)
        found.warnings.append(
            f"{folder}: llama.cpp has no place for more ends of an answer: {named}"
        )
