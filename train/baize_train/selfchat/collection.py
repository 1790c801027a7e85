"""Collect many dialogues at once within a budget. A killed run loses only those in progress."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from baize_train.corpus.append_only_file import GrowingCorpus
from baize_train.corpus.dialogues import Dialogue, Turn, dialogue_id, record_key
from baize_train.corpus.duplicates import SeenTexts, dialogue_text
from baize_train.corpus.personal_data import mask_dialogue
from baize_train.selfchat.budget import Budget, Prices, Usage
from baize_train.selfchat.modes import REPEAT, RejectedDialogue, Rejection
from baize_train.speakers.concurrency import ConcurrencyLimit, run_all, with_retries

HoldDialogue = Callable[[str, int, Usage], Awaitable[list[Turn]]]
"""Makes turns from a seed and a random seed, and adds their cost; see ``SelfChat.hold``."""


class CollectionProgress(Struct):
    """The state of a collection. ``kept`` includes earlier runs of the same file; the rest counts
    this run alone."""

    kept: int = 0
    rejected: int = 0
    tokens: int = 0
    money: float = 0.0
    seconds: float = 0.0
    seeds: int = 0
    concurrent: int = 0
    reasons: Counter[str] = msgspec.field(default_factory=Counter)
    """Rejected dialogues by the description of their rejection."""

    @property
    def per_minute(self) -> float:
        done = self.kept + self.rejected
        return 60 * done / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class CollectionOptions:
    """How dialogues are collected."""

    settings: Mapping[str, Any]
    """Recorded with each dialogue. Together with its seed they identify it."""
    budget: Budget = field(default_factory=Budget)
    prices: Prices = field(default_factory=Prices)
    max_concurrent: int = 1
    similarity: float = 0.8
    """Jaccard similarity above which a dialogue repeats another."""
    mask_personal_data: bool = True
    topics: Mapping[str, str] = field(default_factory=dict)
    """Topics of seeds that are only names."""


def rejected_file(output: Path) -> Path:
    """The file of the rejected dialogues, each with the reason."""
    return output.with_name(f"{output.stem}.rejected.jsonl")


class Collection:
    """The dialogues of one output file."""

    def __init__(
        self,
        output: Path,
        hold: HoldDialogue,
        options: CollectionOptions,
        report: Callable[[CollectionProgress], object] = lambda _: None,
    ) -> None:
        """Open ``output`` and read the dialogues of earlier runs.

        Raises:
            TrainError: it cannot be written, or is not a collection.
        """
        self._hold, self._options, self._report = hold, options, report
        self._limit = ConcurrencyLimit(options.max_concurrent)
        self._kept = GrowingCorpus(output)
        self._rejected = GrowingCorpus(rejected_file(output))
        self._seen = SeenTexts(options.similarity)
        for dialogue in self._kept.records:
            self._seen.add(dialogue_text(dialogue))
        self._done = self._kept.keys | self._rejected.keys
        self._started = time.monotonic()
        self.progress = CollectionProgress(kept=len(self._kept.records))

    async def run(self, seeds: Iterable[str]) -> CollectionProgress:
        """Collect until the seeds or the budget are used up.

        Raises:
            TrainError: a speaker does not reply, or the output cannot be written. What was
                collected is kept; another run continues it.
        """
        keyed = ((record_key(seed, self._options.settings), seed) for seed in seeds)
        waiting = [(key, seed) for key, seed in keyed if key not in self._done]
        self.progress.seeds = len(waiting)
        try:
            await run_all(
                waiting,
                self._collect,
                self._limit,
                may_start=lambda running: not self._is_spent(running),
                on_finished=self._report_progress,
            )
        finally:
            self._kept.close()
            self._rejected.close()
        return self.progress

    def _report_progress(self) -> None:
        self.progress.concurrent = self._limit.current
        self.progress.seconds = time.monotonic() - self._started
        self._report(self.progress)

    def _is_spent(self, running: int) -> bool:
        budget, progress = self._options.budget, self.progress
        limits: Sequence[tuple[float, float | None]] = (
            (progress.kept + running, budget.dialogues),
            (progress.tokens, budget.tokens),
            (progress.money, budget.money),
            ((time.monotonic() - self._started) / 60, budget.minutes),
        )
        return any(limit is not None and spent >= limit for spent, limit in limits)

    async def _collect(self, keyed_seed: tuple[str, str]) -> None:
        key, seed = keyed_seed
        usage = Usage()
        started = time.monotonic()
        rejection: Rejection | None = None
        random_seed = int(key[:8], 16) % 2**31
        try:
            turns = await with_retries(lambda: self._hold(seed, random_seed, usage), self._limit)
        except RejectedDialogue as error:
            turns, rejection = error.turns, error.rejection
        meta = {
            "key": key,
            **self._options.settings,
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "seconds": round(time.monotonic() - started, 2),
        }
        mode = str(self._options.settings.get("mode", ""))
        topic = self._options.topics.get(seed, seed)
        dialogue = Dialogue(turns, dialogue_id(turns), mode, topic, meta)
        if self._options.mask_personal_data:
            dialogue, _ = mask_dialogue(dialogue)
        if rejection is None and not self._seen.add(dialogue_text(dialogue)):
            rejection = REPEAT
        self.progress.tokens += usage.total
        self.progress.money += self._options.prices.cost(usage)
        self._record(dialogue, rejection)

    def _record(self, dialogue: Dialogue, rejection: Rejection | None) -> None:
        if rejection is None:
            self.progress.kept += 1
            self._kept.add(dialogue)
            return
        self.progress.rejected += 1
        self.progress.reasons[rejection.description] += 1
        meta = {**dialogue.meta, "rejected": rejection.description}
        self._rejected.add(msgspec.structs.replace(dialogue, meta=meta))
