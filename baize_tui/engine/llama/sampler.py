"""Choosing the next token: llama.cpp's samplers."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from typing import Any

import llama_cpp.llama_cpp as lib

from baize_tui.engine.llama.context import Context
from baize_tui.engine.llama.errors import EngineError
from baize_tui.engine.llama.log import forget_errors, reason_from_log
from baize_tui.engine.llama.vocabulary import Vocabulary
from baize_tui.settings import Sampling
from baize_tui.translation import tr

GENEROUS_TOP_K = 1024
"""Precedes top-p when no top-k is set: top-p alone would sort the whole vocabulary."""
_MIROSTAT_M = 100
_DRY_BREAKERS = (b"\n", b":", b'"', b"*")


class Sampler:
    """llama.cpp's sampler chain in the order of ``common_sampler_init`` (common/sampling.cpp).

    With a grammar, a token is sampled first and checked against the grammar; only when the grammar
    rejects it are all candidates filtered, as ``common_sampler_sample`` does.
    """

    def __init__(
        self, settings: Sampling, vocabulary: Vocabulary, seed: int, grammar: str = ""
    ) -> None:
        """``grammar`` is GBNF with the rule ``root``; empty for no grammar.

        Raises:
            EngineError: the grammar cannot be read.
        """
        self._grammar = _grammar_sampler(vocabulary, grammar) if grammar else None
        self._size = vocabulary.size
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        for sampler in _chain(settings, vocabulary, seed):
            lib.llama_sampler_chain_add(self._chain, sampler)

    @property
    def names(self) -> list[str]:
        """The samplers of the chain, in order."""
        n: int = lib.llama_sampler_chain_n(self._chain)
        return [
            lib.llama_sampler_name(lib.llama_sampler_chain_get(self._chain, i)).decode()
            for i in range(n)
        ]

    def accept(self, token: int) -> None:
        """Count a token of the text so far for the penalties."""
        lib.llama_sampler_accept(self._chain, token)

    def accept_in_grammar(self, ids: Sequence[int]) -> None:
        """Advance the grammar over tokens that it allowed earlier."""
        if self._grammar is not None:
            for token in ids:
                lib.llama_sampler_accept(self._grammar, token)

    def sample(self, context: Context, *, free: bool = False, row: int = -1) -> int:
        """Choose a token and accept it; with ``free`` without the grammar.

        It is chosen from the logits of token ``row`` of the last batch, -1 for its last one.

        Raises:
            EngineError: the grammar allows no token.
        """
        if self._grammar is None or free:
            return int(lib.llama_sampler_sample(self._chain, context.handle, row))
        token = self._choose(context, row, grammar_first=False)
        if not self._allows(token):
            token = self._choose(context, row, grammar_first=True)
        lib.llama_sampler_accept(self._grammar, token)
        lib.llama_sampler_accept(self._chain, token)
        return token

    def _choose(self, context: Context, row: int, *, grammar_first: bool) -> int:
        candidates, logits = context.candidates(self._size, row)
        if grammar_first:
            lib.llama_sampler_apply(self._grammar, ctypes.byref(candidates))
            if logits.max() == -math.inf:
                raise EngineError("the grammar allows no token here")
        lib.llama_sampler_apply(self._chain, ctypes.byref(candidates))
        return int(candidates.data[candidates.selected].id)

    def _allows(self, token: int) -> bool:
        candidate = (lib.llama_token_data * 1)(lib.llama_token_data(token, 1.0, 0.0))
        candidates = lib.llama_token_data_array(candidate, 1, -1, False)
        lib.llama_sampler_apply(self._grammar, ctypes.byref(candidates))
        return bool(candidates.data[0].logit != -math.inf)

    def close(self) -> None:
        """Free the samplers."""
        if self._chain:
            lib.llama_sampler_free(self._chain)
            self._chain = None
        if self._grammar:
            lib.llama_sampler_free(self._grammar)
            self._grammar = None


def check_grammar(vocabulary: Vocabulary, grammar: str) -> None:
    """Check that ``grammar`` is GBNF with the rule ``root``.

    Raises:
        EngineError: the grammar cannot be read.
    """
    lib.llama_sampler_free(_grammar_sampler(vocabulary, grammar))


def _grammar_sampler(vocabulary: Vocabulary, grammar: str) -> Any:
    forget_errors()
    sampler = lib.llama_sampler_init_grammar(vocabulary.handle, grammar.encode(), b"root")
    if not sampler:
        why = reason_from_log(tr("no reason given"))
        raise EngineError(tr("the grammar cannot be read: {why}", why=why))
    return sampler


def _chain(settings: Sampling, vocabulary: Vocabulary, seed: int) -> Iterator[Any]:
    s = settings
    if s.penalty_last_n and (
        s.repeat_penalty != 1.0 or s.frequency_penalty != 0.0 or s.presence_penalty != 0.0
    ):
        yield lib.llama_sampler_init_penalties(
            vocabulary.size,
            s.penalty_last_n,
            s.repeat_penalty,
            s.frequency_penalty,
            s.presence_penalty,
        )
    if s.dry_multiplier > 0:
        breakers = (ctypes.c_char_p * len(_DRY_BREAKERS))(*_DRY_BREAKERS)
        yield lib.llama_sampler_init_dry(
            vocabulary.handle,
            s.dry_multiplier,
            s.dry_base,
            s.dry_allowed_length,
            s.dry_penalty_last_n,
            breakers,
            len(_DRY_BREAKERS),
        )
    if s.temperature <= 0:
        yield lib.llama_sampler_init_greedy()
        return
    if s.mirostat == 1:
        yield lib.llama_sampler_init_temp(s.temperature)
        yield lib.llama_sampler_init_mirostat(
            vocabulary.size, seed, s.mirostat_tau, s.mirostat_eta, _MIROSTAT_M
        )
        return
    if s.mirostat == 2:
        yield lib.llama_sampler_init_temp(s.temperature)
        yield lib.llama_sampler_init_mirostat_v2(seed, s.mirostat_tau, s.mirostat_eta)
        return
    if s.top_k or s.top_p < 1.0:
        yield lib.llama_sampler_init_top_k(s.top_k or GENEROUS_TOP_K)
    if s.top_p < 1.0:
        yield lib.llama_sampler_init_top_p(s.top_p, 1)
    if s.min_p > 0:
        yield lib.llama_sampler_init_min_p(s.min_p, 1)
    if s.xtc_probability > 0:
        yield lib.llama_sampler_init_xtc(s.xtc_probability, s.xtc_threshold, 1, seed)
    yield lib.llama_sampler_init_temp(s.temperature)
    yield lib.llama_sampler_init_dist(seed)
