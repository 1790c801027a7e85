"""Decodes the tokens of an answer, together with guesses of those that follow.

The logits after a guess are used only if the sampler chooses just that token. So the answer is that
of token by token decoding, apart from the rounding of batches.
"""

from __future__ import annotations

import time

from baize_tui.engine.draft_costs import MOST_TOKENS, DraftCosts
from baize_tui.engine.kv_cache import KvCache
from baize_tui.engine.llama.sampler import Sampler
from baize_tui.engine.prompt_lookup import PromptLookup


class LookAhead:
    """The end of the KV cache while an answer is written."""

    def __init__(self, cache: KvCache, costs: DraftCosts, *, guess: bool) -> None:
        """The last decoded token is the last of the prompt. Without ``guess``, every token is
        decoded alone."""
        self._cache = cache
        self._costs = costs
        self._guess = guess
        self._lookup: PromptLookup | None = None
        """Made after the first token, which must not wait for it."""
        self._used = len(cache.ids)
        self._row = -1
        """Of the logits that come next; -1 for those of the last token."""
        self.guessed = 0
        """Guesses that were computed."""
        self.accepted = 0
        """Guesses that were right."""

    @property
    def used(self) -> int:
        """Tokens of the context that the prompt and the answer take."""
        return self._used

    @property
    def n_ctx(self) -> int:
        """Tokens that the context holds."""
        return self._cache.context.n_ctx

    def sample(self, sampler: Sampler, *, free: bool) -> int:
        """Choose the next token; see ``Sampler.sample``."""
        return sampler.sample(self._cache.context, free=free, row=self._row)

    def append(self, token: int) -> None:
        """Have the logits after ``token``.

        Raises:
            Aborted: the abort flag is set.
            EngineError: llama.cpp failed.
        """
        guesses = self._cache.ids[self._used :]
        if self._guess and self._lookup is None:
            self._lookup = PromptLookup(self._cache.ids)
        if self._lookup is not None:
            self._lookup.add(token)
        if guesses and guesses[0] == token:
            self.accepted += 1
            self._row += 1
        else:
            self.drop_guesses()
            self._decode(token)
        self._used += 1

    def _decode(self, token: int) -> None:
        draft = self._draft()
        self.guessed += len(draft)
        began = time.perf_counter()
        self._cache.decode([token, *draft], of_all=bool(draft))
        self._costs.measured(1 + len(draft), time.perf_counter() - began)
        self._row = 0 if draft else -1

    def _draft(self) -> list[int]:
        if self._lookup is None:
            return []
        room = self.n_ctx - len(self._cache.ids) - 1
        guesses = self._lookup.guesses(min(MOST_TOKENS - 1, room))
        return guesses[: self._costs.best_draft(self._lookup.rate, len(guesses))]

    def drop_guesses(self) -> None:
        """Remove guesses from the cache that were not confirmed."""
        if len(self._cache.ids) > self._used:
            self._cache.reuse(self._cache.ids[: self._used])
