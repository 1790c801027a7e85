"""Which of llama.cpp's BPE pre-tokenizers a ``tokenizer.json`` asks for.

llama.cpp's converter compares a hash of token ids, which an edited post-processor or one more added
token changes. What decides is how text is split, and that stands in the file: the regexes of its
``Split`` steps, and whether digits come one by one. Where these are not known, the hash is asked
too. An unknown one is an error, never a guess.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from baize_convert.failures import ConvertError
from baize_convert.vocabulary.pre_tokenizer_hashes import HASHES, TEXT
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

KNOWN: dict[tuple[str, ...], str] = {
    (_LLAMA3,): "llama-bpe",
    (_QWEN2,): "qwen2",
    (_TEKKEN,): "tekken",
    (_DIGITS, _BYTE_LEVEL): "smollm",
    (_BYTE_LEVEL,): "gpt-2",
}
"""Steps that split text, and the name of the pre-tokenizer in llama.cpp's src/llama-vocab.cpp."""


def detect_pre_tokenizer(file: Path, pre_tokenizer: Any) -> str:
    """The name for ``tokenizer.ggml.pre``; ``pre_tokenizer`` is that part of ``file``.

    Raises:
        ConvertError: none that is known; the message gives the steps.
    """
    steps = tuple(_steps(pre_tokenizer))
    found = KNOWN.get(steps) or HASHES.get(_hash(file))
    if found is None:
        shown = ", ".join(repr(step) for step in steps) or "none at all"
        raise ConvertError(
            f"{file}: the pre-tokenizer is not known to llama.cpp (it splits by: {shown}). "
            "Where you know which of llama.cpp's it is, name it with --pre"
        )
    return found


def _hash(file: Path) -> str:
    """SHA-256 of the ids of llama.cpp's text (``get_vocab_base_pre``); "" without a tokenizer."""
    try:
        tokenizer = read_tokenizer(file)
    except ConvertError:
        return ""
    return hashlib.sha256(str(tokenizer.encode(TEXT).ids).encode()).hexdigest()


def _steps(part: Any) -> list[str]:
    """The steps of a pre-tokenizer that split text, in their order."""
    if not isinstance(part, dict):
        return []
    match part.get("type"):
        case "Sequence":
            inner = part.get("pretokenizers")
            return [step for one in inner or [] for step in _steps(one)]
        case "Split":
            pattern = part.get("pattern")
            if not isinstance(pattern, dict):
                return ["<no pattern>"]
            return [str(pattern.get("Regex", pattern.get("String", "")))]
        case "Digits":
            return [_DIGITS if part.get("individual_digits") else "<groups of digits>"]
        case "ByteLevel":
            # Without its regex it only maps bytes to letters.
            return [_BYTE_LEVEL] if part.get("use_regex", True) else []
        case kind:
            return [f"<{kind}>"]
