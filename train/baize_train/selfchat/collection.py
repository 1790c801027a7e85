"""Collecting: many dialogues at once, within a budget; killed, only those on their way are lost."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from baize_train.corpus.append_only_file import CorpusFile
from baize_train.corpus.dialogues import Dialogue, Turn, id_of
from baize_train.corpus.duplicates import Seen, text_of
from baize_train.corpus.personal_data import masked_dialogue
from baize_train.selfchat.modes import Rejected, Usage
from baize_train.speakers.concurrency import Pace, each, patiently

Talk = Callable[[str, int, Usage], Awaitable[list[Turn]]]
"""Makes the turns out of a seed and a random seed, and counts what it took."""


class Prices(Struct, frozen=True):
    """Money for a million tokens."""

    prompt: float = 0.0
    completion: float = 0.0

    def of(self, usage: Usage) -> float:
        return (usage.prompt * self.prompt + usage.completion * self.completion) / 1e6


class Budget(Struct, frozen=True):
    """Where collecting ends; None is no limit. What is on its way then is still kept."""

    dialogues: int | None = None
    tokens: int | None = None
    money: float | None = None
    minutes: float | None = None


class Progress(Struct):
    """How far a collection is; earlier runs of the same file included in ``kept``."""

    kept: int = 0
    rejected: int = 0
    tokens: int = 0
    """Of this run."""
    money: float = 0.0
    seconds: float = 0.0
    of_seeds: int = 0
    at_once: int = 0
    reasons: Counter[str] = msgspec.field(default_factory=Counter)

    @property
    def a_minute(self) -> float:
        done = self.kept + self.rejected
        return 60 * done / self.seconds if self.seconds else 0.0


def key_of(seed: Any, settings: Any) -> str:
    """The name of a dialogue before it is there: of its seed and all settings."""
    raw = msgspec.json.encode([seed, settings], order="sorted")
    return hashlib.sha256(raw).hexdigest()[:16]


def rejected_file(output: Path) -> Path:
    """Where those are kept that were not good enough, with why."""
    return output.with_name(f"{output.stem}.rejected.jsonl")


class Collection:
    """The dialogues of one output file."""

    def __init__(
        self,
        output: Path,
        talk: Talk,
        settings: dict[str, Any],
        *,
        budget: Budget = Budget(),  # noqa: B008
        prices: Prices = Prices(),  # noqa: B008
        at_once: int = 1,
        near: float = 0.8,
        mask: bool = True,
        topics: Mapping[str, str] = {},
        report: Callable[[Progress], object] = lambda _: None,
    ) -> None:
        """``settings`` stand in every line, and are what it is known by, together with its seed.

        ``topics`` tells of seeds that are only a name what the dialogue is about.

        Raises:
            TrainError: the output cannot be written, or is something else.
        """
        self._talk = talk
        self._settings = settings
        self._budget, self._prices = budget, prices
        self._pace = Pace(at_once)
        self._mask, self._topics, self._report = mask, topics, report
        self._kept = CorpusFile(output)
        self._left_out = CorpusFile(rejected_file(output))
        self._seen = Seen(near)
        for dialogue in self._kept.dialogues:
            self._seen.add(text_of(dialogue))
        self._done = self._kept.keys | self._left_out.keys
        self._began = time.monotonic()
        self.progress = Progress(kept=len(self._kept.dialogues))

    async def run(self, seeds: Iterable[str]) -> Progress:
        """Collect until the seeds or the budget end.

        Raises:
            TrainError: a speaker cannot be asked, or the output cannot be written; what was
                collected is there, and the same command goes on.
        """
        keyed = ((key_of(seed, self._settings), seed) for seed in seeds)
        waiting = [(key, seed) for key, seed in keyed if key not in self._done]
        self.progress.of_seeds = len(waiting)
        try:
            await each(
                waiting,
                self._collect,
                self._pace,
                may_begin=lambda on_their_way: not self._spent(on_their_way),
                ended=self._tell,
            )
        finally:
            self._kept.close()
            self._left_out.close()
        return self.progress

    def _tell(self) -> None:
        self.progress.at_once = self._pace.at_once
        self.progress.seconds = time.monotonic() - self._began
        self._report(self.progress)

    def _spent(self, on_their_way: int) -> bool:
        budget, so_far = self._budget, self.progress
        limits: Sequence[tuple[float, float | None]] = (
            (so_far.kept + on_their_way, budget.dialogues),
            (so_far.tokens, budget.tokens),
            (so_far.money, budget.money),
            ((time.monotonic() - self._began) / 60, budget.minutes),
        )
        return any(limit is not None and spent >= limit for spent, limit in limits)

    async def _collect(self, keyed: tuple[str, str]) -> None:
        key, seed = keyed
        usage = Usage()
        began = time.monotonic()
        why = ""
        try:
            random_seed = int(key[:8], 16) % 2**31
            turns = await patiently(lambda: self._talk(seed, random_seed, usage), self._pace)
        except Rejected as error:
            turns, why = error.turns, str(error)
        meta = {
            "key": key,
            **self._settings,
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "seconds": round(time.monotonic() - began, 2),
        }
        source, topic = str(self._settings.get("mode", "")), self._topics.get(seed, seed)
        dialogue = Dialogue(turns, id_of(turns), source, topic, meta)
        if self._mask:
            dialogue, _ = masked_dialogue(dialogue)
        if not why and not self._seen.add(text_of(dialogue)):
            why = "said before"
        self.progress.tokens += usage.prompt + usage.completion
        self.progress.money += self._prices.of(usage)
        if why:
            self.progress.rejected += 1
            self.progress.reasons[why] += 1
            meta = {**dialogue.meta, "rejected": why}
            self._left_out.add(msgspec.structs.replace(dialogue, meta=meta))
        else:
            self.progress.kept += 1
            self._kept.add(dialogue)
