"""Collect many dialogues at once within a budget. A killed run loses only requests in progress."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from baize_train.corpus.append_only_file import GrowingCorpus
from baize_train.corpus.dialogues import Dialogue, Turn, dialogue_id, record_key
from baize_train.corpus.duplicates import SeenTexts, dialogue_text
from baize_train.corpus.personal_data import mask_dialogue
from baize_train.selfchat.budget import Budget, Outlook, Prices
from baize_train.selfchat.modes import REPEAT, DialogueRequest, RejectedDialogue, Rejection
from baize_train.speakers.concurrency import run_all
from baize_train.speakers.reply_journal import JournaledSpeaker, ReplyJournal
from baize_train.speakers.speaker import RequestFailed
from baize_train.speakers.usage import Usage

HoldDialogue = Callable[[DialogueRequest], Awaitable[list[Turn]]]
"""Makes turns from a seed; see ``SelfChat.hold``."""


class CollectionProgress(Struct):
    """The state of a collection. ``kept`` and the ``total`` values include earlier runs of the same
    file; the rest counts this run alone."""

    kept: int = 0
    rejected: int = 0
    postponed: int = 0
    """Dialogues that the server did not finish; the next run tries them again."""
    postponed_reason: str = ""
    tokens: int = 0
    total_tokens: int = 0
    money: float = 0.0
    total_money: float = 0.0
    seconds: float = 0.0
    seeds: int = 0
    concurrent: int = 0
    reasons: Counter[str] = msgspec.field(default_factory=Counter)
    """Rejected dialogues by the description of their rejection."""
    filters: Counter[str] = msgspec.field(default_factory=Counter)
    """Rejected dialogues by the filter that rejected them."""

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
    """Jaccard similarity above which a dialogue repeats another; None keeps repeats."""
    drop_repeats: bool = True
    mask_personal_data: bool = True
    topics: Mapping[str, str] = field(default_factory=dict)
    """Topics of seeds that are only names."""
    expected: Usage = field(default_factory=Usage)
    """What a dialogue will take, before one is known."""


def rejected_file(output: Path) -> Path:
    """The file of the rejected dialogues, each with the reason."""
    return output.with_name(f"{output.stem}.rejected.jsonl")


def replies_file(output: Path) -> Path:
    """The file of the replies to unfinished dialogues, and of what all replies took."""
    return output.with_name(f"{output.stem}.replies.jsonl")


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
            TrainError: it cannot be written, is not a collection, or another process writes it.
        """
        self._hold, self._options, self._report = hold, options, report
        self._kept = GrowingCorpus(output)
        self._rejected = GrowingCorpus(rejected_file(output))
        self._journal = ReplyJournal(replies_file(output))
        self._seen = SeenTexts(options.similarity)
        for dialogue in self._kept.records:
            self._seen.add(dialogue_text(dialogue))
        self._done = self._kept.keys | self._rejected.keys
        self._finished = Usage()
        """What all finished dialogues took."""
        for dialogue in (*self._kept.records, *self._rejected.records):
            self._finished.count(*_tokens_of(dialogue))
        if self._journal.is_new and self._finished.total:  # of a version without a journal
            self._journal.add_cost(self._finished.prompt, self._finished.completion)
        spent = self._journal.spent
        self._spent_before = Usage(spent.prompt, spent.completion)
        self._running: dict[str, Usage] = {}
        self._postponed: list[Usage] = []
        self._unclear: list[tuple[str, Dialogue, Rejection]] = []
        """Rejected for a reason that may concern every request, until one succeeds."""
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
                self._options.max_concurrent,
                may_start=self._may_start,
                on_finished=self._report_progress,
            )
            self._record_unclear()
        finally:
            self._journal.close(lambda key: key in self._done)
            self._kept.close()
            self._rejected.close()
        self._update_progress()
        return self.progress

    def _report_progress(self) -> None:
        self._update_progress()
        self._report(self.progress)

    def _update_progress(self) -> None:
        progress, prices, spent = self.progress, self._options.prices, self._journal.spent
        this_run = spent.minus(self._spent_before)
        progress.tokens, progress.total_tokens = this_run.total, spent.total
        progress.money, progress.total_money = prices.cost(this_run), prices.cost(spent)
        progress.concurrent = len(self._running)
        progress.seconds = time.monotonic() - self._started

    def _may_start(self, running: int) -> bool:
        budget = self._options.budget
        begun = self.progress.kept + running + len(self._postponed)
        if budget.dialogues is not None and begun >= budget.dialogues:
            return False
        minutes = (time.monotonic() - self._started) / 60
        if budget.minutes is not None and minutes >= budget.minutes:
            return False
        # Those that were started a moment ago have not taken anything yet.
        starting = [Usage()] * (running - len(self._running))
        return Outlook(
            budget,
            self._options.prices,
            self._journal.spent,
            self._expected_usage(),
            [*self._running.values(), *starting, *self._postponed],
        ).allows_another()

    def _expected_usage(self) -> Usage:
        """What one dialogue takes: the mean so far."""
        count = len(self._kept.records) + len(self._rejected.records)
        if not count or not self._finished.total:
            return self._options.expected
        return Usage(round(self._finished.prompt / count), round(self._finished.completion / count))

    async def _collect(self, keyed_seed: tuple[str, str]) -> None:
        key, seed = keyed_seed
        started = time.monotonic()
        request = DialogueRequest(
            seed,
            int(key[:8], 16) % 2**31,
            remember=lambda speaker: JournaledSpeaker(speaker, self._journal, key),
        )
        self._running[key] = request.usage
        rejection, unclear = None, False
        try:
            turns = await self._hold(request)
        except RejectedDialogue as error:
            turns, rejection, unclear = error.turns, error.rejection, error.unclear
        except RequestFailed as error:
            self._postponed.append(request.usage)
            self.progress.postponed += 1
            self.progress.postponed_reason = str(error)
            return
        finally:
            del self._running[key]
        dialogue = self._describe(key, request, turns, time.monotonic() - started)
        if unclear and rejection is not None:
            self._unclear.append((key, dialogue, rejection))
            return
        self._record_unclear()
        repeats = rejection is None and not self._seen.add(dialogue_text(dialogue))
        if repeats and self._options.drop_repeats:
            rejection = REPEAT
        self._record(key, dialogue, rejection)

    def _describe(
        self, key: str, request: DialogueRequest, turns: list[Turn], seconds: float
    ) -> Dialogue:
        """The dialogue as it is recorded."""
        settings = self._options.settings
        meta = {
            "key": key,
            **settings,
            **request.meta,
            "prompt_tokens": request.usage.prompt,
            "completion_tokens": request.usage.completion,
            "seconds": round(seconds, 2),
        }
        topic = self._options.topics.get(request.seed, request.seed)
        mode = str(settings.get("mode", ""))
        dialogue = Dialogue(turns, dialogue_id(turns), mode, topic, meta)
        if self._options.mask_personal_data:
            dialogue, _ = mask_dialogue(dialogue)
        return dialogue

    def _record_unclear(self) -> None:
        """Something else has succeeded, or all is done: these requests were refused for what they
        are."""
        for key, dialogue, rejection in self._unclear:
            self._record(key, dialogue, rejection)
        self._unclear.clear()

    def _record(self, key: str, dialogue: Dialogue, rejection: Rejection | None) -> None:
        if rejection is None:
            self._kept.add(dialogue)
            self.progress.kept += 1
        else:
            meta = {**dialogue.meta, "rejected": rejection.description, "filter": rejection.kind}
            self._rejected.add(msgspec.structs.replace(dialogue, meta=meta))
            self.progress.rejected += 1
            self.progress.reasons[rejection.description] += 1
            self.progress.filters[rejection.kind] += 1
        self._done.add(key)
        self._finished.count(*_tokens_of(dialogue))


def _tokens_of(dialogue: Dialogue) -> tuple[int, int]:
    """Tokens of the prompts and of the replies, as far as they were recorded."""
    values = [dialogue.meta.get(name) for name in ("prompt_tokens", "completion_tokens")]
    prompt, completion = (value if isinstance(value, int) else 0 for value in values)
    return prompt, completion
