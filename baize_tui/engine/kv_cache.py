"""The KV cache of a loaded model: which ids are in it, and decoding more of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

from baize_shared.common_prefix import common_prefix_length
from baize_tui.engine.cache_gaps import find_gap
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.context import Context
from baize_tui.engine.llama.errors import Aborted, EngineError
from baize_tui.engine.reading_progress import ReadingProgress
from baize_tui.engine.threads.thread_counts import Threads

FIRST_BATCH = 64
"""Tokens of the first decode call for a prompt longer than one batch, as long as nothing is known
about the speed."""


class KvCache:
    """A context whose cached ids are known after every call, also after one that failed."""

    def __init__(
        self, context: Context, threads: Threads, abort: AbortFlag, *, measured: bool = True
    ) -> None:
        """``threads`` are chosen by the times of this cache, unless it is not ``measured``."""
        self.context = context
        self._measured = measured
        self.ids: list[int] = []
        """The tokens in the cache."""
        self._shifted_from: int | None = None
        """Where the tokens begin that were moved, or computed after such; None without any."""
        self._threads = threads
        self._abort = abort
        self._reading = ReadingProgress()

    def clear(self) -> None:
        """Forget all ids."""
        self.context.clear()
        self.ids.clear()
        self._shifted_from = None

    @property
    def aborted(self) -> bool:
        """Whether the abort flag is set."""
        return self._abort.is_set()

    @property
    def reading_seconds_per_token(self) -> float | None:
        """How fast a prompt was read last; None before the first."""
        return self._reading.seconds_per_token

    def shared_with(self, ids: Sequence[int]) -> int:
        """Length of the longest prefix that the cache shares with ``ids``."""
        return common_prefix_length(self.ids, ids)

    def append_state(self, state: memoryview, before: Sequence[int], ids: Sequence[int]) -> bool:
        """Cut the cache to ``before`` and append ``ids`` with the ``state`` that they gave.

        ``state`` must be whole and unchanged. False if llama.cpp refuses it, or the cache does not
        begin with ``before``; then nothing is appended.
        """
        start = len(before)
        if self.reuse(before) < start:
            return False
        if start + len(ids) > self.context.n_ctx:
            return False
        if not self.context.restore_state(state, start, start + len(ids)):
            return False
        self.ids.extend(ids)
        return True

    def reuse(self, ids: Sequence[int]) -> int:
        """Cut the cache to the longest prefix that it shares with ``ids``; return its length."""
        shared = self.shared_with(ids)
        if shared < len(self.ids) and not self.context.truncate(shared):
            self.context.clear()
            shared = 0
        del self.ids[shared:]
        if self._shifted_from is not None and shared <= self._shifted_from:
            self._shifted_from = None
        return shared

    @property
    def is_shifted(self) -> bool:
        """Whether tokens in the cache were moved: it is not what reading them would give."""
        return self._shifted_from is not None

    def shift_to(self, ids: Sequence[int]) -> None:
        """Cut out of the cache what ``ids`` lacks, where the cache goes on like ``ids`` after it.

        What is moved has been computed after what is cut out, and keeps traces of that. If
        llama.cpp cannot move it, the cache stays as it is, or is empty afterwards.

        Raises:
            Aborted: the abort flag is set.
        """
        if self.aborted:
            raise Aborted
        if not self.context.can_shift:
            return
        gap = find_gap(self.ids, ids)
        if gap is None:
            return
        while gap is not None and self.context.cut_out(*gap):
            start, end = gap
            del self.ids[start:end]
            before = self._shifted_from
            self._shifted_from = start if before is None else min(start, before)
            gap = find_gap(self.ids, ids)
        self._move_now(ids)

    def _move_now(self, ids: Sequence[int]) -> None:
        """Have llama.cpp move the tokens after gaps: it does so when it decodes the next one."""
        self.reuse(ids[: len(ids) - 1])
        token = ids[len(self.ids)]
        try:
            with self.context.uninterrupted():
                # Not through ``decode``, which measures: moving takes longer than a token.
                self.context.decode([token], len(self.ids), logits=False)
        except EngineError:
            self.clear()
        else:
            self.ids.append(token)

    def prefill(
        self, ids: Sequence[int], start: int, on_estimate: Callable[[int], None]
    ) -> Iterator[int]:
        """Decode ``ids[start:]`` batch by batch; yields how many are done.

        During a long batch ``on_estimate`` receives estimates of that, from another thread. A long
        text starts with a small batch, if no earlier one has shown how fast the rest will be.

        Raises:
            Aborted: the abort flag is set.
            EngineError: llama.cpp failed.
        """
        at, batch = start, self.context.n_batch
        while at < len(ids):
            size = min(batch, len(ids) - at)
            if len(ids) - at > batch and self._reading.seconds_per_token is None:
                size = min(FIRST_BATCH, batch)
            with self._reading.batch(at, size, on_estimate):
                self.decode(ids[at : at + size], logits=False)
            yield len(self.ids)
            at += size

    def decode(self, tokens: Sequence[int], *, logits: bool = True, of_all: bool = False) -> None:
        """Append ``tokens``; ``logits`` keeps those of the last one or, with ``of_all``, of each.

        Raises:
            Aborted: the abort flag is set; tokens computed before are in ``ids``.
            EngineError: llama.cpp failed.
        """
        if self._abort.is_set():
            raise Aborted
        decoding, reading = self._threads.decoding, self._threads.reading
        # Guesses belong to the writing of an answer.
        batch_threads = decoding.threads if of_all else reading.threads
        self.context.set_threads(decoding.threads, batch_threads)
        # The time of a few tokens says little.
        measured: AbstractContextManager[None] = nullcontext()
        if not self._measured:
            pass
        elif len(tokens) == 1:
            measured = decoding.measured()
        elif len(tokens) >= FIRST_BATCH:
            measured = reading.measured(scale=self.context.n_batch / len(tokens))
        try:
            with measured:
                self.context.decode(tokens, len(self.ids), logits=logits, of_all=of_all)
        except (Aborted, EngineError):
            kept = self.context.last_position() + 1 - len(self.ids)
            self.ids.extend(tokens[: max(kept, 0)])
            raise
        self.ids.extend(tokens)
