"""One answer while it is written: its ids and text, its times, and the loop that decodes it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Literal

from baize_tui.engine.kv_cache import KvCache
from baize_tui.engine.llama.sampler import Sampler
from baize_tui.engine.llama.vocabulary import Vocabulary
from baize_tui.engine.profiles import ProfileName
from baize_tui.engine.protocol import Delta, FinishReason, Generate, Stats, ThreadsChosen
from baize_tui.engine.stop_strings import TextUntilStop
from baize_tui.engine.threads.thread_counts import Threads

EVENTS_PER_SECOND = 10
"""As often as a screen draws: each event wakes the client, which takes a core from the model."""


class Answer:
    """The answer to one request; times are of ``time.monotonic``, in seconds."""

    def __init__(
        self, request: Generate, partial_ids: Sequence[int], vocabulary: Vocabulary, started: float
    ) -> None:
        """The request came at ``started``; ``partial_ids`` are the ids of the answer that
        the prompt already contains.

        ``request.resume``, if an earlier worker died, starts with them and has the ids that it
        generated; the client has received all of these.
        """
        self._request = request.request
        self._vocabulary = vocabulary
        self._partial_count = len(partial_ids)
        self._most_ids = len(partial_ids) + request.max_tokens
        self.resumed = request.resume[len(partial_ids) :]
        self.ids = [*partial_ids, *self.resumed]
        self.text = TextUntilStop(request.stop, trim_at_stop=request.trim_at_stop)
        for token in self.ids:
            self.text.feed(vocabulary.piece(token))
        self._sent_ids = len(self.ids) if self.resumed else 0
        self._sent_text = len(self.text.text) if self.resumed else 0
        self.reason: FinishReason = "stop" if self.text.stopped() else "length"
        self._started = self._prefilled = self._first = self._last = started

    @property
    def generated(self) -> int:
        """Tokens of the answer that its prompt did not have."""
        return len(self.ids) - self._partial_count

    def end_prefill(self) -> None:
        """Note the time at which the prompt is in the cache."""
        self._prefilled = self._first = self._last = time.monotonic()

    def write(
        self, cache: KvCache, sampler: Sampler, threads: Threads
    ) -> Iterator[ThreadsChosen | Delta]:
        """Generate tokens until the answer ends; sets ``reason``.

        Raises:
            Aborted: the abort flag is set.
            EngineError: llama.cpp failed, or the grammar allows no token.
        """
        context, vocabulary, text, ids = cache.context, self._vocabulary, self.text, self.ids
        n_ctx, most, already = context.n_ctx, self._most_ids, len(ids)
        sent_at = 0.0
        while not text.stopped() and len(ids) < most:
            token = sampler.sample(context)
            self._last = now = time.monotonic()
            if len(ids) == already:
                self._first = now
            if vocabulary.is_end_of_generation(token):
                self.reason = "stop"
                return
            ids.append(token)
            text.feed(vocabulary.piece(token))
            if text.stopped():
                self.reason = "stop"
                return
            if now - sent_at >= 1 / EVENTS_PER_SECOND:
                if (choice := threads.new_choice(now)) is not None:
                    yield ThreadsChosen(self._request, *choice)
                yield self.delta()
                sent_at = now
            if len(ids) >= most:
                self.reason = "length"
                return
            if len(cache.ids) >= n_ctx:
                self.reason = "context"
                return
            cache.decode([token])

    def delta(self) -> Delta:
        """What has come since the last delta."""
        text, ids = self.text.text[self._sent_text :], self.ids[self._sent_ids :]
        self._sent_text, self._sent_ids = len(self.text.text), len(self.ids)
        return Delta(self._request, text, ids)

    def stats(
        self,
        prompt_tokens: int,
        reused: int,
        seed: int,
        threads: Threads,
        profile: ProfileName | Literal[""],
    ) -> Stats:
        """What it took; ``reused`` ids were in the cache before."""
        return Stats(
            prompt_tokens=prompt_tokens,
            reused_tokens=min(reused, prompt_tokens),
            completion_tokens=self.generated,
            ttft_s=self._first - self._started if self.generated else 0.0,
            prefill_s=self._prefilled - self._started,
            decode_s=self._last - self._first if self.generated else 0.0,
            seed=seed,
            threads=threads.decoding.mostly_used,
            threads_batch=threads.reading.mostly_used,
            lowered=threads.decoding.is_lowered,
            profile=profile,
            resumed_tokens=len(self.resumed),
        )
