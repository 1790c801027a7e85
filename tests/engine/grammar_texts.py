"""Whether a text has the form of a grammar, as llama.cpp itself sees it; no token is computed."""

from __future__ import annotations

import ctypes
import math
from typing import Any

from llama_cpp import llama_cpp as lib

from baize_tui.engine.llama.vocabulary import Vocabulary


def allows(vocabulary: Vocabulary, grammar: str, text: str) -> bool:
    """Whether a model that follows ``grammar`` could write ``text``, and end there."""
    sampler = lib.llama_sampler_init_grammar(vocabulary.handle, grammar.encode(), b"root")
    assert sampler, grammar
    ends = next(id for id in range(vocabulary.size) if vocabulary.is_end_of_generation(id))
    try:
        for token in vocabulary.tokenize(text):
            if not _may_follow(sampler, token):
                return False
            lib.llama_sampler_accept(sampler, token)
        return _may_follow(sampler, ends)
    finally:
        lib.llama_sampler_free(sampler)


def _may_follow(sampler: Any, token: int) -> bool:
    candidate = (lib.llama_token_data * 1)(lib.llama_token_data(token, 1.0, 0.0))
    candidates = lib.llama_token_data_array(candidate, 1, -1, False)
    lib.llama_sampler_apply(sampler, ctypes.byref(candidates))
    return bool(candidates.data[0].logit != -math.inf)
