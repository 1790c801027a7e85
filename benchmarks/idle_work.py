"""How soon idle work yields: the time from asking for the engine until it does something else::

    python benchmarks/idle_work.py
    python benchmarks/idle_work.py --part 135m

Each round starts one kind of idle work in a conversation of 2,000 tokens, lets it run for a random
time, asks for the engine as a message does that is sent, and lets it count the tokens of a short
prompt. The time of the count alone, without idle work, is measured beside it.

- ``reading``: the conversation is read ahead;
- ``title``: it was read, and the model writes a title;
- ``saving``: it was read, and its state is written to the disk.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baize_tui.bench.disturbance import measured_disturbance
from baize_tui.bench.machine import processor_name
from baize_tui.chat.engine_lock import EngineLock
from baize_tui.chat.events import EngineUse
from baize_tui.chat.titles import GRAMMAR, INSTRUCTION, MAX_TOKENS
from baize_tui.engine.client import WorkerEngine
from baize_tui.engine.protocol import Count, Generate, Prompt, PromptMessage, Warm
from baize_tui.paths import Paths
from baize_tui.settings import Sampling
from benchmarks.snapshots import BUDGET, MODELS, asked, history, restarted, words_for

HIGHEST_MS = 100.0
ROUNDS = 20
MOST_WAIT_S = {"reading": 1.0, "title": 0.15, "saving": 0.1}
"""How long each kind runs before it is stopped, at most; less than it takes."""
SHORT = Prompt([PromptMessage("user", "Hello")])


async def ignore_answer(engine: WorkerEngine, request: Generate) -> None:
    async for _ in engine.generate(request):
        pass


async def warm(engine: WorkerEngine, request: Warm) -> None:
    await engine.warm(request)


async def save(engine: WorkerEngine) -> None:
    await engine.save_cache()


async def idle_work(
    engine: WorkerEngine, kind: str, prompt: Prompt, conversation: str
) -> Callable[[], Awaitable[None]]:
    """Work of this kind; nothing of the conversation is saved yet."""
    read = partial(warm, engine, Warm(0, asked(prompt, ""), conversation=conversation))
    if kind == "reading":
        return read
    await read()
    if kind == "saving":
        return partial(save, engine)
    request = Generate(
        0,
        asked(prompt, INSTRUCTION),
        Sampling(temperature=0, repeat_penalty=1.1),
        MAX_TOKENS,
        grammar=GRAMMAR,
        conversation=conversation,
    )
    return partial(ignore_answer, engine, request)


async def seconds_to_engine(lock: EngineLock, engine: WorkerEngine) -> float:
    began = time.perf_counter()
    async with lock.hold(EngineUse("answer", "")):
        await engine.count(Count(0, SHORT))
    return time.perf_counter() - began


async def measure(name: str, model: Path) -> bool:
    met = True
    with tempfile.TemporaryDirectory() as folder, measured_disturbance() as disturbance:
        home, lock = Path(folder), EngineLock()
        paths = Paths(home / "config", home / "data", home / "cache", home / "logs")
        engine = await restarted(paths, model, BUDGET)
        words = await words_for(engine)
        alone = [await seconds_to_engine(lock, engine) for _ in range(ROUNDS)]
        print(f"{name}: the count alone takes {statistics.median(alone) * 1000:.1f} ms")
        for kind, most_s in MOST_WAIT_S.items():
            times = []
            for number in range(ROUNDS):
                prompt = history(words)
                if kind == "reading":  # the others need what was read
                    prompt.messages.insert(0, PromptMessage("system", f"conversation {number}"))
                work = await idle_work(engine, kind, prompt, f"{kind} {number}")
                lock.start_idle_work(work)
                await asyncio.sleep(random.uniform(0.02, most_s))
                times.append(await seconds_to_engine(lock, engine))
            ms = sorted(seconds * 1000 for seconds in times)
            met = met and ms[-1] < HIGHEST_MS
            print(
                f"  {kind}: median {statistics.median(ms):.1f} ms, slowest {ms[-1]:.1f} ms "
                f"of {ROUNDS} (under {HIGHEST_MS:.0f})"
            )
        await engine.close()
    print(f"  other processes took {disturbance.share:.0%} of the machine")
    return met


def main(
    part: Annotated[list[str] | None, typer.Option(help="135m or 1.2b; all without.")] = None,
) -> None:
    print(processor_name())
    results = [
        asyncio.run(measure(name, make()))
        for name, make in MODELS.items()
        if part is None or name in part
    ]
    raise typer.Exit(0 if all(results) else 1)


if __name__ == "__main__":
    typer.run(main)
