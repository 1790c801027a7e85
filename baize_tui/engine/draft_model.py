"""A small model that guesses what a larger one with the same vocabulary will write.

Speculative decoding (Leviathan et al. 2023; llama.cpp's ``common/speculative.cpp``). The small
model always takes its likeliest token. How sure it is of that says how likely the larger one
agrees, which is learned for each range of its probabilities.
"""

from __future__ import annotations

import time
from bisect import bisect
from collections.abc import Sequence

from baize_tui.engine.draft_costs import MOST_TOKENS, DraftCosts
from baize_tui.engine.draft_payoff import DraftPayoff
from baize_tui.engine.kv_cache import KvCache
from baize_tui.engine.llama.errors import EngineError
from baize_tui.engine.llama.model import Model
from baize_tui.translation import tr

_PROBABILITIES = (0.3, 0.5, 0.7, 0.85, 0.95)
"""Limits of the ranges of its probabilities."""
_FIRST_RATES = (0.2, 0.4, 0.55, 0.7, 0.8, 0.9)
"""How often a guess of each range is right, before any was compared."""
_LEARNING = 0.05
_TIME_LEARNING = 0.2
_LIKELY_ANSWER = 200
"""Tokens of an answer, to judge whether it pays to read the prompt with this model, too."""
_SLOWEST_READING = 0.25
"""Time to read a token over the time to write one, until it was measured."""


class DraftModel:
    """The small model with its own KV cache, which follows that of the larger one."""

    def __init__(self, model: Model, cache: KvCache, n_vocab: int, relative_size: float) -> None:
        """``n_vocab`` is how many tokens both models have, ``relative_size`` the size of this one's
        weights over those of the other."""
        self._model = model
        self._cache = cache
        self._n_vocab = n_vocab
        self._relative_size = relative_size
        self._same = 0
        """How many ids of the cache are known to be those of the text."""
        self._rates = list(_FIRST_RATES)
        self._ranges: list[int] = []
        """Those of the guesses that were not compared yet."""
        self._seconds: float | None = None
        """Of a guess."""
        self._failed = False
        self._problem = ""
        self.spent_s = 0.0
        """What the last guesses took, without reading what came before them."""
        self.payoff = DraftPayoff()

    @property
    def path(self) -> str:
        """Its file."""
        return self._model.path

    def close(self) -> None:
        """Free the model and its context."""
        self._cache.context.close()
        self._model.close()

    def warm_up(self) -> None:
        """Compute a token, so that a kernel that crashes on this machine does so while loading.

        Raises:
            Aborted: the abort flag is set.
            EngineError: llama.cpp failed.
        """
        token = max(self._model.vocabulary.bos, 0)
        self._cache.decode([token, token])
        self._cache.decode([token])
        self._cache.clear()

    def begin_text(self) -> None:
        """Another text than before is continued from now on."""
        self._same = 0
        self._ranges.clear()

    def read(self, ids: Sequence[int]) -> None:
        """Read ``ids`` ahead, up to a last token that is not read.

        Raises:
            Aborted: the abort flag is set.
            EngineError: llama.cpp failed.
        """
        self._follow(ids)
        room = self._cache.context.n_ctx
        for _ in self._cache.prefill(ids[: min(len(ids) - 1, room)], self._same, lambda _: None):
            pass
        self._same = len(self._cache.ids)

    def guesses(self, ids: Sequence[int], most: int, costs: DraftCosts) -> list[int]:
        """Up to ``most`` tokens that may follow ``ids``; empty where they would not pay.

        Raises:
            Aborted: the abort flag is set.
        """
        self._ranges.clear()
        self.spent_s = 0.0
        single_s = costs.single_s
        if self._failed or single_s is None or not self.payoff.allows():
            return []
        if len(ids) + most > self._cache.context.n_ctx:
            return []
        try:
            self._follow(ids)
            if not self._reading_pays(len(ids), single_s):
                return []
            self.read(ids)
            return self._write(ids[-1], most, single_s, costs)
        except EngineError as error:
            self._failed = True
            self._problem = tr(
                "the draft model {file} is not used any more: {why}", file=self.path, why=error
            )
            return []

    def learn(self, *, right: bool) -> None:
        """Note whether the first guess that was not compared yet was right."""
        if self._ranges:
            found = self._ranges.pop(0)
            self._rates[found] += _LEARNING * (right - self._rates[found])
        if not right:
            self._ranges.clear()

    def take_problem(self) -> str:
        """Why it is not used any more, only once; empty if it is."""
        problem, self._problem = self._problem, ""
        return problem

    def _follow(self, ids: Sequence[int]) -> None:
        """Cut the cache to what it shares with ``ids``, without the last of them."""
        cached = self._cache.ids
        most = min(len(cached), len(ids) - 1)
        while self._same < most and cached[self._same] == ids[self._same]:
            self._same += 1
        self._same = self._cache.reuse(cached[: min(self._same, most)])

    def _reading_pays(self, tokens: int, single_s: float) -> bool:
        """Whether it pays to read what is missing of ``tokens``, in an answer of usual length."""
        unread = tokens - self._same
        if unread <= MOST_TOKENS:
            return True
        per_token = self._cache.reading_seconds_per_token
        if per_token is None:
            per_token = self._guess_s(single_s) * _SLOWEST_READING
        saved = _LIKELY_ANSWER * single_s * (1 - 1 / max(self.payoff.gain, 1.0))
        return unread * per_token < saved

    def _write(self, last: int, most: int, single_s: float, costs: DraftCosts) -> list[int]:
        """What follows ``last``, as long as one more guess is likely to save time."""
        began = time.perf_counter()
        guesses: list[int] = []
        rates: list[float] = []
        right = 1.0
        while len(guesses) < most:
            gained = right * self._rates[-1] * single_s
            if gained <= self._guess_s(single_s) + costs.per_guess * single_s:
                break
            last, found = self._guess(last)
            guesses.append(last)
            rates.append(self._rates[found])
            self._ranges.append(found)
            right *= self._rates[found]
        length = costs.best_draft(rates).length
        del self._ranges[length:]
        self.spent_s = time.perf_counter() - began
        return guesses[:length]

    def _guess_s(self, single_s: float) -> float:
        """Seconds of a guess, where a token of the larger model takes ``single_s``."""
        return self._relative_size * single_s if self._seconds is None else self._seconds

    def _guess(self, token: int) -> tuple[int, int]:
        """The likeliest token after ``token``, and the range of its probability."""
        import numpy as np

        began = time.perf_counter()
        self._cache.decode([token])
        logits = self._cache.context.logits_of_all(1, self._n_vocab)[0]
        best = int(np.argmax(logits))
        probability = 1.0 / float(np.exp(logits - logits[best]).sum())
        seconds = time.perf_counter() - began
        before = seconds if self._seconds is None else self._seconds
        self._seconds = before + _TIME_LEARNING * (seconds - before)
        return best, bisect(_PROBABILITIES, probability)
