"""Added tokens that overlap in a text, of which llama.cpp finds another one than the tokenizer.

The tokenizers library takes the first one, and of those at the same place the longest. llama.cpp
looks for the longest token in the whole text first (``llama_vocab::impl::tokenizer_st_partition``).
"""

from __future__ import annotations

from collections.abc import Sequence


def find_overlap(tokens: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Two tokens of which the second begins in the first one, and wins in llama.cpp alone."""
    known = set(tokens)
    longest: dict[bytes, bytes] = {}
    """The longest token by each of its beginnings."""
    for token in sorted(tokens, key=len):
        for end in range(1, len(token)):
            longest[token[:end]] = token
    for first in tokens:
        for at in range(1, len(first)):
            second = longest.get(first[at:], b"")
            if second == first or len(second) < len(first):
                continue
            text = first[:at] + second
            if not any(text[:end] in known for end in range(len(first) + 1, len(text))):
                return first, second
    return None
