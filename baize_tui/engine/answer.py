"""One answer while it is written: its ids and text, its times, and the loop that decodes it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal

from baize_tui.engine.answer_text import AnswerText
from baize_tui.engine.llama.sampler import Sampler
from baize_tui.engine.llama.vocabulary import Vocabulary
from baize_tui.engine.look_ahead import LookAhead
from baize_tui.engine.profiles import ProfileName
from baize_tui.engine.prompts.prompt_reader import ReadPrompt
from baize_tui.engine.protocol import Delta, FinishReason, Generate, Stats, ThreadsChosen
from baize_tui.engine.threads.thread_counts import Threads
from baize_tui.translation import msg, tr

EVENTS_PER_SECOND = 10
"""As often as a screen draws: each event wakes the client, which takes a core from the model."""
_MARKUP_TOKENS = 256
"""Most tokens of markup and blanks around a thought and an answer."""
_BUDGET_SPENT = msg("the thought was ended after {count} tokens: {why}")


class Answer:
    """The answer to one request; times are of ``time.monotonic``, in seconds."""

    def __init__(
        self, request: Generate, prompt: ReadPrompt, vocabulary: Vocabulary, started: float
    ) -> None:
        """The request came at ``started``; ``prompt`` contains the part of the answer that exists.

        ``request.resume``, if an earlier worker died, starts with these ids and has those that it
        generated; the client has received all of them.
        """
        self._request = request
        self._vocabulary = vocabulary
        partial = prompt.partial_ids
        self._partial_count = len(partial)
        self.text = AnswerText(
            prompt.beginning, vocabulary, request.stop, trim_at_stop=request.trim_at_stop
        )
        self.ids: list[int] = []
        for token in partial:
            self._add(token)
        self._thought_before = self.text.spent_on_thought
        self._answer_before = self.text.spent_on_answer
        self._thinks_freely = bool(request.grammar) and not prompt.beginning.is_in(request.grammar)
        """Whether the grammar is for the answer alone: it has no markup that ends a thought."""
        self.resumed = request.resume[len(partial) :]
        self.resumed_in_grammar: list[int] = []
        """Those of ``resumed`` that the grammar allowed."""
        for token in self.resumed:
            self._add(token)
            if not self._thinks_freely or self.text.in_answer:
                self.resumed_in_grammar.append(token)
        if self.resumed:
            self.text.take_new()
        self._sent_ids = len(self.ids) if self.resumed else 0
        self.reused = 0
        """Ids of the prompt that were in the KV cache before."""
        self._ahead: LookAhead | None = None
        """None until the answer begins."""
        self.reason: FinishReason = "stop" if self.text.stopped() else "length"
        self._prompt = prompt
        self._budget_notice = ""
        self._started = self._prefilled = self._first = self._last = started

    def _add(self, token: int) -> None:
        self.ids.append(token)
        self.text.feed(token)

    @property
    def generated(self) -> int:
        """Tokens of the answer that its prompt did not have."""
        return len(self.ids) - self._partial_count

    @property
    def notices(self) -> list[str]:
        """What differs from what was asked, for a person."""
        prompt, thought = self._prompt, bool(self.text.thought)
        # Without a budget no thought is expected, and its end needs no word.
        budget = self._budget_notice if self._request.max_thinking_tokens else ""
        why = prompt.why_thinking if thought else ""
        return [*prompt.notices, *filter(None, (why, budget))]

    @property
    def _thought_tokens(self) -> int:
        return max(0, self.text.spent_on_thought - self._thought_before)

    def end_prefill(self) -> None:
        """Note the time at which the prompt is in the cache."""
        self._prefilled = self._first = self._last = time.monotonic()

    def write(
        self,
        ahead: LookAhead,
        sampler: Sampler,
        threads: Threads,
        markup_ids: Callable[[str], list[int]],
    ) -> Iterator[ThreadsChosen | Delta]:
        """Generate tokens until the answer ends; sets ``reason``.

        ``ahead`` has the logits after the prompt.
        ``markup_ids`` tokenizes markup.

        Raises:
            Aborted: the abort flag is set.
            EngineError: llama.cpp failed, or the grammar allows no token.
        """
        self._ahead = ahead
        n_ctx, text, already = ahead.n_ctx, self.text, len(self.ids)
        forced: deque[int] = deque()
        sent_at = 0.0
        while not text.stopped() and not self._is_full():
            if not forced and (why := self._spent_by(ahead.used, n_ctx)):
                self._budget_notice = tr(_BUDGET_SPENT, count=self._thought_tokens, why=why)
                forced.extend(markup_ids(text.ending))
            if forced:
                token = forced.popleft()
                sampler.accept(token)
            else:
                token = ahead.sample(sampler, free=self._thinks_freely and text.in_thought)
            self._last = now = time.monotonic()
            if len(self.ids) == already:
                self._first = now
            if self._vocabulary.is_end_of_generation(token) and not text.ends_thought(token):
                self.reason = "stop"
                return
            self._add(token)
            if text.stopped():
                self.reason = "stop"
                return
            if now - sent_at >= 1 / EVENTS_PER_SECOND:
                if (choice := threads.new_choice(now)) is not None:
                    yield ThreadsChosen(self._request.request, *choice)
                yield self.delta()
                sent_at = now
            if self._is_full():
                self.reason = "length"
                return
            if ahead.used >= n_ctx:
                self.reason = "context"
                return
            ahead.append(token)

    @property
    def _must_follow_grammar(self) -> bool:
        """Whether a grammar covers the thought as well."""
        return bool(self._request.grammar) and not self._thinks_freely

    def _is_full(self) -> bool:
        """Whether the answer has as many tokens as it may have."""
        request = self._request
        if self.text.spent_on_answer - self._answer_before >= request.max_tokens:
            return True
        most = request.max_tokens + request.max_thinking_tokens + _MARKUP_TOKENS
        if self.text.in_thought and self._must_follow_grammar:
            # Ending the thought could break the grammar.
            return self._thought_tokens >= max(request.max_thinking_tokens, 1)
        return self.generated >= most

    def _spent_by(self, used: int, n_ctx: int) -> str:
        """Why a thought has to end now, with ``used`` tokens of the context; empty if it need
        not."""
        request, text = self._request, self.text
        if not text.in_thought or self._must_follow_grammar or text.inside_character:
            return ""
        if self._thought_tokens >= request.max_thinking_tokens:
            return tr("chat.max_thinking_tokens sets how many it may have")
        if n_ctx - used <= request.reserve:
            return tr("the rest of the context is for the answer")
        return ""

    def delta(self) -> Delta:
        """What has come since the last delta."""
        new = self.text.take_new()
        ids = self.ids[self._sent_ids :]
        self._sent_ids = len(self.ids)
        return Delta(
            self._request.request,
            new.answer,
            ids,
            new.thought,
            self.text.in_thought,
            new.answer_was_thought,
        )

    def stats(
        self,
        prompt_tokens: int,
        seed: int,
        threads: Threads,
        profile: ProfileName | Literal[""],
        *,
        shifted: bool,
    ) -> Stats:
        """What it took."""
        ahead = self._ahead
        return Stats(
            prompt_tokens=prompt_tokens,
            reused_tokens=min(self.reused, prompt_tokens),
            completion_tokens=self.generated,
            ttft_s=self._first - self._started if self.generated else 0.0,
            prefill_s=self._prefilled - self._started,
            decode_s=self._last - self._first if self.generated else 0.0,
            seed=seed,
            threads=threads.decoding.mostly_used,
            threads_batch=threads.reading.mostly_used,
            lowered=threads.decoding.is_lowered,
            profile=profile,
            thinking_tokens=self._thought_tokens,
            resumed_tokens=len(self.resumed),
            guessed_tokens=ahead.guessed if ahead is not None else 0,
            accepted_tokens=ahead.accepted if ahead is not None else 0,
            shifted=shifted,
        )
