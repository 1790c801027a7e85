"""The words with which servers refuse a prompt that is too long, and the numbers in them."""

from __future__ import annotations

import re

from msgspec import Struct

_TOO_LONG = re.compile(
    r"context[ _]?(length|size|window|overflow)|maximum (context|model|prompt)|too many tokens"
    r"|(prompt|input|request) is too long|longer than the maximum|when context the overflows"
    # Google, Moonshot, DashScope
    r"|input token count|exceeded model token limit|range of input length"
    # text-generation-inference and Together, TabbyAPI
    r"|inputs`? (tokens \+|must have less)|max_seq_len",
    re.I,
)
_CODES = {"context_length_exceeded", "exceed_context_size_error", "context_exceeded"}
# In each list the first that is found counts: the words of some servers fit others, too.
_CONTEXT = [
    re.compile(words, re.I)
    for words in (
        r"max_seq_len\D{0,12}(\d{2,9})",
        r"max_model_len\D{0,8}(\d{2,9})",
        r"maximum (?:context|model|prompt) length\D{0,16}(\d{2,9})",
        r"(\d{2,9}) maximum context length|tokens > (\d{2,9}) maximum",
        r"maximum number of tokens allowed\D{0,8}(\d{2,9})|model token limit\D{0,8}(\d{2,9})",
        r"range of input length\D{0,16}\d+, *(\d{2,9})",
        r"inputs`? (?:tokens \+[^<]{0,40}<=|must have less than)\D{0,4}(\d{2,9})",
        r"(?:context (?:size|length)(?: is| of)?|n_ctx\D{0,4})\D{0,12}(\d{2,9})",
        r"while limit is (\d{2,9})",
    )
]
_PROMPT = [
    re.compile(words, re.I)
    for words in (
        r"(\d{1,9})(?: tokens)? (?:in|from|of) (?:the |your |text )?(?:input )?"
        r"(?:messages|prompt|input)",
        r"(\d{1,9}) `?(?:inputs?|prompt)`? tokens|given: (\d{1,9})\b",
        r"resulted in (\d{1,9})|prompt (?:has|contains|is) (?:at least )?(\d{1,9})",
        r"prompt is too long\D{0,4}(\d{1,9})|input (?:token count )?\((\d{1,9})",
        r"request (?:\(|contains )(\d{1,9}) ?tokens|context length (\d{1,9}) is greater",
        r"prompt (?:length|contains) (\d{1,9})|current length is (\d{1,9})",
    )
]


class FullContext(Struct, frozen=True):
    """A prompt does not fit; 0 for numbers that the server does not say."""

    tokens: int = 0
    """Of the prompt."""
    n_ctx: int = 0


def find_full_context(reason: str, codes: set[str]) -> FullContext | None:
    """What a refusal with this reason and these names says about the context; None for another."""
    if not (codes & _CODES or _TOO_LONG.search(reason)):
        return None
    return FullContext(_first_number(_PROMPT, reason), _first_number(_CONTEXT, reason))


def _first_number(patterns: list[re.Pattern[str]], text: str) -> int:
    for pattern in patterns:
        if (found := pattern.search(text)) is not None:
            return int(next(filter(None, found.groups()), "0"))
    return 0
