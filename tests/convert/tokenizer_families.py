"""Tokenizers of many families as Hugging Face folders, from the vocabularies of llama.cpp.

The vocabularies are real; the steps around them are those that the family's ``tokenizer.json`` has.
A folder has a ``config.json`` but no weights: enough for ``write_vocabulary``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from gguf import TokenType

from baize_convert.sources.gguf_file import read_gguf, read_value
from tests.vocabularies import FOLDER as VOCABULARIES

Json = dict[str, Any]
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3_REGEX = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_TAIL}"
QWEN2_REGEX = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_TAIL}"
QWEN35_REGEX = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_WORD = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
_CAPITALS = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
_SLASHES = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN_REGEX = rf"{_WORD}|{_CAPITALS}|\p{{N}}|{_SLASHES}"
GPT4O_REGEX = rf"{_WORD}{_CONTRACTIONS}?|{_CAPITALS}{_CONTRACTIONS}?|\p{{N}}{{1,3}}|{_SLASHES}"

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
GPT2_STEP = {**BYTE_LEVEL, "use_regex": True}
BYTES_STEP = {**BYTE_LEVEL, "use_regex": False}
DIGITS_STEP = {"type": "Digits", "individual_digits": True}
TO_SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
LEGACY_SPACES = {
    "type": "Sequence",
    "normalizers": [{"type": "Prepend", "prepend": "▁"}, TO_SPACES],
}
SPM_DECODER = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ],
}


def split_step(regex: str, behavior: str = "Isolated") -> Json:
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": False}


def sequence(*steps: Json) -> Json:
    return {"type": "Sequence", "pretokenizers": list(steps)}


def metaspace(scheme: str, *, split: bool = False) -> Json:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


@dataclass(frozen=True)
class Family:
    """A family of tokenizers, and the steps of its ``tokenizer.json``."""

    name: str
    vocabulary: str
    """The file of llama.cpp that has its vocabulary, or one like it."""
    pre_tokenizer: Json | None = None
    normalizer: Json | None = None
    model: Json = field(default_factory=dict)
    """Flags of the model."""
    bos: str | None = None
    eos: str | None = None
    adds_bos: bool = False
    model_type: str = "llama"
    files: str = "json"
    """Which files the folder has: "json", "model" (SentencePiece), or "both"."""
    flags: Json = field(default_factory=dict)
    """Flags of the special tokens."""

    @property
    def is_sentencepiece(self) -> bool:
        return bool(self.model.get("byte_fallback"))


_SPM = {"byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"}
_LLAMA_SPM: Json = {"vocabulary": "llama-spm", "bos": "<s>", "eos": "</s>", "adds_bos": True}
_GEMMA_SPLIT = {
    "type": "Split",
    "pattern": {"String": " "},
    "behavior": "MergedWithPrevious",
    "invert": False,
}
FAMILIES = (
    Family("LLaMA 2, legacy", normalizer=LEGACY_SPACES, model=_SPM, **_LLAMA_SPM),
    Family("LLaMA 2, transformers 5", pre_tokenizer=metaspace("first"), model=_SPM, **_LLAMA_SPM),
    Family("LLaMA 2, all files", normalizer=LEGACY_SPACES, model=_SPM, files="both", **_LLAMA_SPM),
    Family("LLaMA 2, tokenizer.model", model=_SPM, files="model", **_LLAMA_SPM),
    Family("without a space in front", pre_tokenizer=metaspace("never"), model=_SPM, **_LLAMA_SPM),
    Family(
        "Phi-3",
        "phi-3",
        normalizer=LEGACY_SPACES,
        model=_SPM,
        bos="<s>",
        eos="<|endoftext|>",
        model_type="phi3",
        flags={"rstrip": True},
    ),
    Family(
        "Gemma",
        "gemma-4",
        normalizer=TO_SPACES,
        pre_tokenizer=_GEMMA_SPLIT,
        model=_SPM,
        bos="<bos>",
        eos="<eos>",
        adds_bos=True,
        model_type="gemma2",
    ),
    Family("GPT-2", "gpt-2", GPT2_STEP, bos="<|endoftext|>", eos="<|endoftext|>"),
    Family(
        "Llama 3",
        "llama-bpe",
        sequence(split_step(LLAMA3_REGEX), BYTES_STEP),
        model={"ignore_merges": True},
        bos="<|begin_of_text|>",
        eos="<|end_of_text|>",
        adds_bos=True,
    ),
    Family(
        "SmolLM3",
        "llama-bpe",
        sequence(split_step(LLAMA3_REGEX), BYTES_STEP),
        model={"ignore_merges": True},
        eos="<|end_of_text|>",
        model_type="smollm3",
    ),
    Family(
        "OLMo 2",
        "qwen2",
        sequence(split_step(LLAMA3_REGEX), BYTES_STEP),
        bos="<|endoftext|>",
        eos="<|endoftext|>",
        model_type="olmo2",
    ),
    Family(
        "Qwen2",
        "qwen2",
        sequence(split_step(QWEN2_REGEX), BYTES_STEP),
        {"type": "NFC"},
        eos="<|endoftext|>",
        model_type="qwen2",
    ),
    Family(
        "Qwen3.5",
        "qwen35",
        sequence(split_step(QWEN35_REGEX), BYTES_STEP),
        {"type": "NFC"},
        eos="<|endoftext|>",
        model_type="qwen2",
    ),
    Family(
        "Granite, StarCoder",
        "starcoder",
        sequence(DIGITS_STEP, GPT2_STEP),
        bos="<|endoftext|>",
        eos="<|endoftext|>",
        model_type="granite",
    ),
    Family(
        "Phi-4",
        "qwen2",
        sequence(split_step(LLAMA3_REGEX, "Removed") | {"invert": True}, BYTES_STEP),
        bos="<|endoftext|>",
        eos="<|endoftext|>",
        model_type="phi3",
    ),
    Family(
        "Phi-4-mini, GPT-4o",
        "llama-bpe",
        sequence(split_step(GPT4O_REGEX), BYTES_STEP),
        bos="<|begin_of_text|>",
        eos="<|end_of_text|>",
        model_type="phi3",
    ),
    Family(
        "Mistral NeMo",
        "llama-bpe",
        sequence(split_step(TEKKEN_REGEX), BYTES_STEP),
        model={"ignore_merges": True},
        bos="<|begin_of_text|>",
        eos="<|end_of_text|>",
        adds_bos=True,
    ),
    Family(
        "Command R",
        "command-r",
        sequence(DIGITS_STEP, GPT2_STEP),
        bos="<BOS_TOKEN>",
        eos="<|END_OF_TURN_TOKEN|>",
        adds_bos=True,
    ),
)


@dataclass(frozen=True)
class _Stored:
    """The vocabulary of a file of llama.cpp."""

    tokens: list[str]
    types: list[int]
    scores: list[float]
    merges: list[str]


@lru_cache(maxsize=2)
def _stored(name: str) -> _Stored:
    reader = read_gguf(VOCABULARIES / f"ggml-vocab-{name}.gguf")

    def values(key: str) -> list[Any]:
        return read_value(reader, f"tokenizer.ggml.{key}") or []

    return _Stored(values("tokens"), values("token_type"), values("scores"), values("merges"))


def spm_merges(tokens: Sequence[str], scores: Sequence[float], skipped: set[int]) -> list[Json]:
    """The merges that transformers makes of the scores of SentencePiece (``generate_merges``)."""
    ids = {token: id for id, token in enumerate(tokens) if id not in skipped}
    merges = [
        (scores[id], left, token[len(left) :])
        for token, id in ids.items()
        for left in (token[:at] for at in range(1, len(token)))
        if left in ids and token[len(left) :] in ids
    ]
    merges.sort(key=lambda merge: (merge[0], len(merge[1]), len(merge[2])), reverse=True)
    return [[left, right] for _, left, right in merges]  # type: ignore[misc]


def make_tokenizer(family: Family) -> Json:
    """The ``tokenizer.json`` of a family."""
    stored = _stored(family.vocabulary)
    plain = {TokenType.NORMAL, TokenType.BYTE}
    if family.is_sentencepiece:
        plain.add(TokenType.UNKNOWN)
    vocab = {
        token: id
        for id, (token, type) in enumerate(zip(stored.tokens, stored.types, strict=True))
        if type in plain and not token.startswith("[PAD")
    }
    added = [
        added_token(id, token, special=type != TokenType.USER_DEFINED, **family.flags)
        for id, (token, type) in enumerate(zip(stored.tokens, stored.types, strict=True))
        if type in (TokenType.CONTROL, TokenType.USER_DEFINED) and not token.startswith("[PAD")
    ]
    # Where ids of special tokens are among the others, the vocabulary has them too.
    vocab |= {token["content"]: token["id"] for token in added if token["id"] < max(vocab.values())}
    merges: list[Any] = stored.merges
    if family.is_sentencepiece:
        merges = stored.merges or spm_merges(
            stored.tokens,
            stored.scores,
            {id for id, type in enumerate(stored.types) if type != TokenType.NORMAL},
        )
    post_processor = None
    if family.adds_bos:
        assert family.bos is not None
        post_processor = template_processing(before=(family.bos, stored.tokens.index(family.bos)))
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": family.normalizer,
        "pre_tokenizer": family.pre_tokenizer,
        "post_processor": post_processor,
        "decoder": SPM_DECODER if family.is_sentencepiece else {**GPT2_STEP},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            **family.model,
            "vocab": vocab,
            "merges": merges,
        },
    }


def added_token(id: int, content: str, *, special: bool, **flags: bool) -> Json:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": id, "content": content, **plain, **flags, "special": special}


def template_processing(
    before: tuple[str, int] | None = None, after: tuple[str, int] | None = None
) -> Json:
    """A post-processor that puts tokens (text, id) around a text."""
    text = {"Sequence": {"id": "A", "type_id": 0}}
    tokens = [token for token in (before, after) if token is not None]
    items = [{"SpecialToken": {"id": name, "type_id": 0}} for name, _ in tokens]
    at = 1 if before is not None else 0
    return {
        "type": "TemplateProcessing",
        "single": [*items[:at], text, *items[at:]],
        "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            name: {"id": name, "ids": [id], "tokens": [name]} for name, id in tokens
        },
    }


def _varint(value: int) -> bytes:
    raw = b""
    while value >= 0x80:
        raw += bytes([value & 0x7F | 0x80])
        value >>= 7
    return raw + bytes([value])


def _field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def sentencepiece_file(
    tokens: Sequence[str], scores: Sequence[float], types: Sequence[int]
) -> bytes:
    """A ``tokenizer.model``: BPE with bytes, identity, a space in front, extra spaces kept."""
    raw = b""
    for token, score, type in zip(tokens, scores, types, strict=True):
        piece = _field(1, token.encode()) + b"\x15" + struct.pack("<f", score)
        raw += _field(1, piece + b"\x18" + bytes([type]))
    trainer = b"\x18\x02" + b"\x98\x02\x01"  # BPE, byte_fallback
    normalizer = _field(1, b"identity") + b"\x18\x01\x20\x00\x28\x01"
    return raw + _field(2, trainer) + _field(3, normalizer)


def make_folder(
    folder: Path, family: Family, tokenizer: Json, settings: Json | None = None, *, extra: int = 0
) -> Path:
    """A folder with ``tokenizer``; the model has ``extra`` more tokens than that."""
    folder.mkdir(parents=True)
    stored = _stored(family.vocabulary)
    if family.files != "json":
        raw = sentencepiece_file(stored.tokens, stored.scores, stored.types)
        (folder / "tokenizer.model").write_bytes(raw)
    if family.files != "model":
        _write(folder / "tokenizer.json", tokenizer)
    elif len(tokenizer["added_tokens"]) > 2:
        new = {token["content"]: token["id"] for token in tokenizer["added_tokens"][2:]}
        _write(folder / "added_tokens.json", new)
    named = {"bos_token": family.bos, "eos_token": family.eos, **(settings or {})}
    _write(folder / "tokenizer_config.json", {k: v for k, v in named.items() if v is not None})
    highest = max(
        *(token["id"] for token in tokenizer["added_tokens"]), *tokenizer["model"]["vocab"].values()
    )
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "vocab_size": highest + 1 + extra,
    }
    _write(folder / "config.json", config)
    return folder


def _write(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
