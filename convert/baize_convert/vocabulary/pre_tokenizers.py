"""Finds which of llama.cpp's pre-tokenizers splits text as a ``tokenizer.json`` does.

The usual steps are known by their regexes. Other ways to write the same are compared with each of
llama.cpp's own lists of regexes on texts in which every pair of characters and every word of the
steps occurs. An unknown pre-tokenizer is an error, never a guess.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baize_convert.failures import ConvertError
from baize_convert.vocabulary.llama_pre_tokenizers import PRE_TOKENIZERS, LlamaPreTokenizer
from baize_convert.vocabulary.pipeline_steps import (
    ByteLevel,
    Digits,
    PreTokenizer,
    Split,
    parse_pre_tokenizers,
)
from baize_convert.vocabulary.pre_tokenizer_hashes import HASHED_TEXT, NAMES_BY_HASH
from baize_convert.vocabulary.tokenizer_library import read_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.pre_tokenizers import PreTokenizer as LibraryPreTokenizer

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LLAMA3 = (
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = (
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN35 = (
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_WORD = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
_CAPITALS = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = rf"{_WORD}|{_CAPITALS}|\p{{N}}|{_REST}"
_GPT4O = rf"{_WORD}{_CONTRACTIONS}?|{_CAPITALS}{_CONTRACTIONS}?|\p{{N}}{{1,3}}|{_REST}"
_DIGITS, _BYTE_LEVEL = "<digits>", "<byte level>"

_NAMES_BY_STEPS: dict[tuple[str, ...], str] = {
    (_LLAMA3,): "llama-bpe",
    (_QWEN2,): "qwen2",
    (_QWEN35,): "qwen35",
    (_TEKKEN,): "tekken",
    (_GPT4O,): "gpt-4o",
    (_DIGITS, _BYTE_LEVEL): "smollm",
    (_BYTE_LEVEL,): "gpt-2",
}
"""A name in llama.cpp's src/llama-vocab.cpp, by the steps that split text."""
APPROXIMATED = frozenset({"tekken", "gpt-4o"})
"""llama.cpp's regexes for these differ from the original ones for letters outside ASCII."""


def find_pre_tokenizer(
    file: Path, steps: Sequence[PreTokenizer], *, ignore_merges: bool
) -> LlamaPreTokenizer:
    """The pre-tokenizer of llama.cpp for ``steps``, which are those of the ``tokenizer.json``.

    Of two that split alike, the one with this ``ignore_merges``, if there is one. Its first name is
    the one that llama.cpp's converter would write, if it knows the tokenizer by its hash.

    Raises:
        ConvertError: llama.cpp has none; the message lists the steps.
    """
    known = known_name(steps)
    if known is not None:
        alike = [named_pre_tokenizer(known)]
    elif any(isinstance(step, ByteLevel) for step in steps):
        tokenizer = read_tokenizer(file)
        alike = [one for one in PRE_TOKENIZERS if _splits_alike(one, tokenizer, steps)]
    else:
        alike = []
    if not alike:
        raise ConvertError(f"{file}: {_refusal(file, steps)}")
    candidates = [
        one for one in PRE_TOKENIZERS if any(one.regexes == other.regexes for other in alike)
    ]
    fitting = [one for one in candidates if one.ignore_merges == ignore_merges]
    return (fitting or candidates)[0]


def known_name(steps: Sequence[PreTokenizer]) -> str | None:
    """A name that llama.cpp has for these steps, if they are the usual ones."""
    canonical = _canonical(steps)
    return None if canonical is None else _NAMES_BY_STEPS.get(canonical)


def named_pre_tokenizer(name: str) -> LlamaPreTokenizer:
    """llama.cpp's pre-tokenizer of this name."""
    return next(one for one in PRE_TOKENIZERS if name in one.names)


def converter_name(file: Path, pre_tokenizer: LlamaPreTokenizer) -> str:
    """Of the names that mean the same, the one that llama.cpp's converter writes for ``file``."""
    if len(pre_tokenizer.names) == 1:
        return pre_tokenizer.names[0]
    known = NAMES_BY_HASH.get(_hash(file))
    return known if known in pre_tokenizer.names else pre_tokenizer.names[0]


def llama_splitter(pre_tokenizer: LlamaPreTokenizer) -> LibraryPreTokenizer:
    """A pre-tokenizer of the tokenizers library that splits as llama.cpp does."""
    from tokenizers import Regex, pre_tokenizers

    splits = [pre_tokenizers.Split(Regex(regex), "isolated") for regex in pre_tokenizer.regexes]
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([*splits, to_bytes])


def _hash(file: Path) -> str:
    """SHA-256 of the token ids of llama.cpp's text (``get_vocab_base_pre``); "" if unreadable."""
    try:
        tokenizer = read_tokenizer(file)
    except ConvertError:
        return ""
    return hashlib.sha256(str(tokenizer.encode(HASHED_TEXT).ids).encode()).hexdigest()


def _canonical(steps: Sequence[PreTokenizer]) -> tuple[str, ...] | None:
    """The steps that split text; None if one of them splits in another than the usual way."""
    found = []
    if not any(isinstance(step, ByteLevel) for step in steps):
        return None
    for step in steps:
        match step:
            case Split(pattern=pattern, behavior=behavior, invert=invert):
                # Both give the matches and, if there were any, what is between them.
                if pattern.regex is None or (behavior, invert) not in (
                    ("Isolated", False),
                    ("Removed", True),
                ):
                    return None
                found.append(pattern.regex)
            case Digits(individual_digits=True):
                found.append(_DIGITS)
            case ByteLevel(use_regex=use_regex):
                # Without its regex it only maps bytes to characters.
                found += [_BYTE_LEVEL] if use_regex else []
            case _:
                return None
    return tuple(found)


def _splits_alike(
    candidate: LlamaPreTokenizer, tokenizer: Tokenizer, steps: Sequence[PreTokenizer]
) -> bool:
    ours, theirs = llama_splitter(candidate), tokenizer.pre_tokenizer
    return theirs is not None and all(
        _pieces(ours, text) == _pieces(theirs, text) for text in _probes(steps)
    )


def _pieces(splitter: LibraryPreTokenizer, text: str) -> list[str]:
    return [piece for piece, _ in splitter.pre_tokenize_str(text)]


def _probes(steps: Sequence[PreTokenizer]) -> Iterator[str]:
    """Texts that show how a pre-tokenizer splits; those that tell most come first."""
    yield HASHED_TEXT
    patterns = [step.pattern for step in steps if isinstance(step, Split)]
    for pattern in patterns:
        source = pattern.regex or pattern.text or ""
        yield f"a{source}b {source} 1{source}{source}\n{source}"
        for word in re.findall(r"\w+|[^\w\s]+", source):
            yield f"a{word}b {word} 1{word}{word}\n{word}"
    ascii_characters = "\n\r\t" + "".join(map(chr, range(0x20, 0x7F)))
    for first in ascii_characters:
        yield "q".join(first + second for second in ascii_characters)
    generator = random.Random(0)
    characters = (
        ascii_characters
        + "éÉßяЯ中文かカ한글אבקמ٣१४،。！？—…€°½²\u00a0\u3000\u0301\u0940🙂🚀\u200d\ufe0f"
    )
    for _ in range(40):
        yield "".join(generator.choices(characters, k=400))


def _refusal(file: Path, steps: Sequence[PreTokenizer]) -> str:
    shown = ", ".join(map(str, steps)) or "none at all"
    hint = "if you know which of llama.cpp's it is, name it with --pre"
    if known := NAMES_BY_HASH.get(_hash(file)):
        hint = f"llama.cpp's converter takes it for {known}: --pre {known} if that is right"
    return f"llama.cpp does not know the pre-tokenizer (it splits by: {shown}); {hint}"


def detect_pre_tokenizer(file: Path, pre_tokenizer: Any, *, ignore_merges: bool = False) -> str:
    """The value of ``tokenizer.ggml.pre``; ``pre_tokenizer`` is that part of the JSON in ``file``.

    Raises:
        ConvertError: see ``find_pre_tokenizer``.
    """
    steps = parse_pre_tokenizers(pre_tokenizer)
    return converter_name(file, find_pre_tokenizer(file, steps, ignore_merges=ignore_merges))
