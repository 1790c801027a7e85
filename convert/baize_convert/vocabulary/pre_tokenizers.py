"""Detects which of llama.cpp's BPE pre-tokenizers a ``tokenizer.json`` needs.

llama.cpp's converter compares a hash of token ids, which changes with an edited post-processor or
one more added token. What counts is how text is split, and the file says that: the regexes of its
``Split`` steps, and whether digits are split one by one. The hash is used only if these are not
known. An unknown pre-tokenizer is an error, never a guess.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from baize_convert.failures import ConvertError
from baize_convert.vocabulary.pre_tokenizer_hashes import HASHED_TEXT, NAMES_BY_HASH
from baize_convert.vocabulary.tokenizer_library import read_tokenizer

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DIGITS, _BYTE_LEVEL = "<digits>", "<byte level>"

_NAMES_BY_STEPS: dict[tuple[str, ...], str] = {
    (_LLAMA3,): "llama-bpe",
    (_QWEN2,): "qwen2",
    (_TEKKEN,): "tekken",
    (_DIGITS, _BYTE_LEVEL): "smollm",
    (_BYTE_LEVEL,): "gpt-2",
}
"""Names of pre-tokenizers in llama.cpp's src/llama-vocab.cpp, by the steps that split text."""


def detect_pre_tokenizer(file: Path, pre_tokenizer: Any) -> str:
    """The value of ``tokenizer.ggml.pre``; ``pre_tokenizer`` is that part of the JSON in ``file``.

    Raises:
        ConvertError: the pre-tokenizer is unknown; the message lists its steps.
    """
    steps = tuple(_steps(pre_tokenizer))
    name = _NAMES_BY_STEPS.get(steps) or NAMES_BY_HASH.get(_hash(file))
    if name is None:
        shown = ", ".join(repr(step) for step in steps) or "none at all"
        raise ConvertError(
            f"{file}: llama.cpp does not know the pre-tokenizer (it splits by: {shown}). If "
            "you know which of llama.cpp's it is, name it with --pre"
        )
    return name


def _hash(file: Path) -> str:
    """SHA-256 of the token ids of llama.cpp's text (``get_vocab_base_pre``); "" if unreadable."""
    try:
        tokenizer = read_tokenizer(file)
    except ConvertError:
        return ""
    return hashlib.sha256(str(tokenizer.encode(HASHED_TEXT).ids).encode()).hexdigest()


def _steps(part: Any) -> list[str]:
    """The steps of a pre-tokenizer that split text, in order."""
    if not isinstance(part, dict):
        return []
    match part.get("type"):
        case "Sequence":
            inner = part.get("pretokenizers")
            return [step for nested in inner or [] for step in _steps(nested)]
        case "Split":
            pattern = part.get("pattern")
            if not isinstance(pattern, dict):
                return ["<no pattern>"]
            return [str(pattern.get("Regex", pattern.get("String", "")))]
        case "Digits":
            return [_DIGITS if part.get("individual_digits") else "<groups of digits>"]
        case "ByteLevel":
            # Without its regex it only maps bytes to characters.
            return [_BYTE_LEVEL] if part.get("use_regex", True) else []
        case kind:
            return [f"<{kind}>"]
