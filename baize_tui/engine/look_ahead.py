"""Decodes the tokens of an answer, together with guesses of those that follow.

The logits after a guess are used only if the sampler chooses just that token. So the answer is that
of token by token decoding, apart from the rounding of batches.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from baize_tui.engine.draft_costs import MOST_TOKENS, DraftCosts
from baize_tui.engine.draft_model import DraftModel
from baize_tui.engine.kv_cache import KvCache
from baize_tui.engine.llama.sampler import Sampler
from baize_tui.engine.prompt_lookup import PromptLookup


class LookAhead:
    """The end of the KV cache while an answer is written."""

    def __init__(
        self,
        cache: KvCache,
        costs: DraftCosts,
        *,
        look_up: bool = False,
        draft_model: DraftModel | None = None,
    ) -> None:
        """The last decoded token is the last of the prompt.

        Guesses come from the text so far with ``look_up``, and from ``draft_model``. Without both,
        every token is decoded alone.
        """
        self._cache = cache
        self._costs = costs
        self._look_up = look_up
        self._lookup: PromptLookup | None = None
        """Made after the first token, which must not wait for it."""
        self._draft_model = draft_model
        if draft_model is not None:
            draft_model.begin_text()
        self._drafted: tuple[int, float] | None = None
        """How much of the context was used when the draft model guessed last, and the seconds that
        its guesses and their check took."""
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
        if self._look_up and self._lookup is None:
            self._lookup = PromptLookup(self._cache.ids[: self._used])
        if self._lookup is not None:
            self._lookup.add(token)
        if guesses:
            self._compare(guesses[0], token)
        if guesses and guesses[0] == token:
            self.accepted += 1
            self._row += 1
        else:
            self.drop_guesses()
            self._decode(token)
        self._used += 1

    def _compare(self, guess: int, token: int) -> None:
        if self._drafted is not None and self._draft_model is not None:
            self._draft_model.learn(right=guess == token)

    def _decode(self, token: int) -> None:
        self._judge_drafts()
        draft = [] if self._costs.needs_single else self._draft(token)
        self.guessed += len(draft)
        began = time.perf_counter()
        self._cache.decode([token, *draft], of_all=bool(draft))
        seconds = time.perf_counter() - began
        self._costs.measured(1 + len(draft), seconds)
        if self._drafted is not None:
            used, spent_s = self._drafted
            self._drafted = used, spent_s + seconds
        self._row = 0 if draft else -1

    def _judge_drafts(self) -> None:
        """Have the draft model know what its last guesses gained."""
        single_s = self._costs.single_s
        if self._drafted is not None and self._draft_model is not None and single_s is not None:
            used, seconds = self._drafted
            self._draft_model.payoff.record(self._used - used, seconds, single_s)
        self._drafted = None

    def _draft(self, token: int) -> Sequence[int]:
        """Guesses of what follows ``token``, as many as pay."""
        most = min(MOST_TOKENS - 1, self.n_ctx - len(self._cache.ids) - 1)
        found: list[int] = []
        rate = 0.0
        if self._lookup is not None:
            found, rate = self._lookup.guesses(most), self._lookup.rate
        length, gain = self._costs.best_draft([rate] * len(found))
        model = self._draft_model
        if model is None or gain >= model.payoff.gain:
            return found[:length]
        guesses = model.guesses([*self._cache.ids, token], most, self._costs)
        if model.spent_s:
            self._drafted = self._used, model.spent_s
        return guesses or found[:length]

    def drop_guesses(self) -> None:
        """Remove guesses from the cache that were not confirmed."""
        if len(self._cache.ids) > self._used:
            self._cache.reuse(self._cache.ids[: self._used])
