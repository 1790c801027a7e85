"""The first token after the oldest turns left the context, over the one before::

    python benchmarks/overflow.py
    python benchmarks/overflow.py --part 135m --overflow drop

Each round fills a conversation and asks four questions of the same length, each after time in which
nobody waits, and measures the time from sending the question to the first text of the answer:

- ``before``: there is room;
- ``fits``: there is hardly any left, so a cut was prepared, but the question still fits;
- ``cut``: the oldest turns leave the context, as was prepared;
- ``at once``: they leave it, and there was no time before.

The ratios are medians of the rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baize_tui.bench.machine import processor_name
from baize_tui.catalog.adapters import CatalogAdapter
from baize_tui.catalog.recipes import CatalogError, CatalogModel, Recipe
from baize_tui.chat.chat import Chat
from baize_tui.chat.events import AnswerFailed, AnswerText, Summarizing, TurnsDropped
from baize_tui.chat.store_thread import open_store
from baize_tui.engine.client import WorkerEngine
from baize_tui.engine.protocol import Warm, Warmed
from baize_tui.paths import Paths
from baize_tui.settings import ChatSettings, ModelSettings, Overflow, Settings
from baize_tui.store.conversations import Store
from benchmarks.decode import MODELS, Case

MOST = 1.2
ANSWER = 64
QUESTION = "What did we say about dragons and knights? Please answer in a few short words only."
ENOUGH = 500
"""Tokens that are free where there is room."""
CUTTING: tuple[Overflow, ...] = ("drop", "summarize", "shift")


class WatchedEngine(WorkerEngine):
    """Tells when idle work has ended: it reads, and then saves."""

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        self.idle_ended, self.has_read = asyncio.Event(), asyncio.Event()

    async def warm(self, request: Warm) -> Warmed:
        warmed = await super().warm(request)
        self.has_read.set()
        return warmed

    async def save_cache(self) -> str:
        problem = await super().save_cache()
        if self.has_read.is_set():
            self.idle_ended.set()
        return problem

    def idle_begins(self) -> None:
        self.idle_ended.clear()
        self.has_read.clear()


class OneModel:
    """A catalog with nothing but the model that is measured."""

    def __init__(self, model: CatalogModel) -> None:
        self._model = model

    def find_model(self, name: str | None) -> CatalogModel:
        return self._model

    def find_adapter(self, name: str) -> CatalogAdapter:
        raise CatalogError(f"no adapter is called {name}")

    def names_in_domain(self, domain: str) -> Set[str]:
        return frozenset()

    def find_same_model(self, name: str, path: str | None, sha256: str | None) -> CatalogModel:
        return self._model


@dataclass
class Bench:
    """A conversation that is filled and asked."""

    chat: Chat
    store: Store
    engine: WatchedEngine
    context: int
    conversation: str = ""

    async def begin(self) -> None:
        self.conversation = (await self.chat.new_conversation()).id

    async def free(self) -> int:
        """Tokens that are left for a question."""
        stored = await self.chat.conversations.get(self.conversation)
        context = await self.chat.count_context(stored, stored.leaf_id, QUESTION)
        assert context is not None
        return self.context - ANSWER - context.tokens

    async def fill(self, free: int) -> None:
        """Add turns until about ``free`` tokens are left after the question."""
        while (left := await self.free() - free) > 0:
            words = max(1, min(left - 15, 100))
            leaf = self.store.conversation(self.conversation).leaf_id
            text = "and so " * (words // 2)
            question = self.store.add_message(self.conversation, leaf, "user", f"Tell me {text}")
            self.store.add_message(self.conversation, question.id, "assistant", "I see.")
            if left < 20:
                return

    async def idle(self) -> None:
        """Wait until everything is prepared for the next question."""
        stored = await self.chat.conversations.get(self.conversation)
        # The turns that were added were never read, as answers are; a draft has them read.
        self.engine.idle_begins()
        await self.chat.prepare(stored, stored.leaf_id, "Hm")
        await self.engine.has_read.wait()
        self.engine.idle_begins()
        await self.chat.prepare(stored, stored.leaf_id, "")
        await self.engine.idle_ended.wait()

    async def first_token(self, *, cuts: bool) -> float:
        """Seconds until the first text of an answer; ``cuts`` says whether turns have to leave."""
        began, first, dropped = time.perf_counter(), 0.0, False
        async for event in self.chat.ask(self.conversation, QUESTION):
            dropped |= isinstance(event, TurnsDropped | Summarizing)
            if isinstance(event, AnswerFailed):
                raise RuntimeError(event.why)
            if isinstance(event, AnswerText) and not first:
                first = time.perf_counter() - began
        assert dropped == cuts, "the context is not as full as it should be"
        return first


async def one_round(bench: Bench) -> dict[str, float]:
    times: dict[str, float] = {}
    await bench.begin()
    await bench.fill(ENOUGH)
    await bench.idle()
    times["before"] = await bench.first_token(cuts=False)
    await bench.fill(20)
    await bench.idle()
    times["fits"] = await bench.first_token(cuts=False)
    await bench.fill(-15)
    await bench.idle()
    times["cut"] = await bench.first_token(cuts=True)
    await bench.fill(-15)
    times["at once"] = await bench.first_token(cuts=True)
    return times


async def measure(name: str, case: Case, overflow: Overflow, context: int, rounds: int) -> bool:
    settings = Settings(
        model=ModelSettings(context=context),
        chat=ChatSettings(overflow=overflow, max_tokens=ANSWER),
    )
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        paths = Paths(home / "config", home / "data", home / "cache", home / "logs")
        model = CatalogModel(name, case.path, Recipe(file=str(case.path), title=name))
        engine, thread = WatchedEngine(paths), open_store(paths.conversations_file)
        chat = Chat(thread, engine, settings, paths.cache, OneModel(model))
        await chat.use_model(model)
        bench = Bench(chat, thread.store, engine, context)
        await one_round(bench)  # the first one also reads the file, and measures the machine
        times = [await one_round(bench) for _ in range(rounds)]
        await chat.close()
    return report(f"{name}, overflow = {overflow}, context {context}", times)


def report(name: str, rounds: list[dict[str, float]]) -> bool:
    print(f"{name}; time to the first token:")
    before = statistics.median(times["before"] for times in rounds)
    print(f"  before: {before * 1000:.0f} ms")
    for kind in ("fits", "cut", "at once"):
        median = statistics.median(times[kind] for times in rounds)
        ratio = statistics.median(times[kind] / times["before"] for times in rounds)
        limit = f"; at most {MOST}" if kind == "cut" else ""
        print(f"  {kind}: {median * 1000:.0f} ms, {ratio:.2f} of before{limit}")
    return statistics.median(times["cut"] / times["before"] for times in rounds) <= MOST


def main(
    part: Annotated[list[str] | None, typer.Option(help="135m or 1.1b; all without.")] = None,
    overflow: Annotated[
        list[str] | None, typer.Option(help="drop, summarize or shift; all without.")
    ] = None,
    context: Annotated[int, typer.Option(help="Tokens of the context.")] = 2048,
    rounds: Annotated[int, typer.Option(help="Rounds of each.")] = 5,
) -> None:
    print(processor_name())
    chosen = [choice for choice in CUTTING if overflow is None or choice in overflow]
    results = [
        asyncio.run(measure(name, make(), choice, context, rounds))
        for name, make in MODELS.items()
        if part is None or name in part
        for choice in chosen
    ]
    raise typer.Exit(0 if all(results) else 1)


if __name__ == "__main__":
    typer.run(main)
