"""Reading a prompt and writing an answer, through each layer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from baize_tui.bench.errors import BenchError
from baize_tui.bench.home import TemporaryHome
from baize_tui.bench.prompts import Prompts
from baize_tui.bench.results import Lengths, Speed
from baize_tui.bench.screen import answer_on_screen
from baize_tui.engine.client import WorkerEngine
from baize_tui.engine.protocol import (
    Delta,
    Finished,
    Generate,
    PromptMessage,
    Stats,
    TimeAnswer,
    TimeLoop,
)
from baize_tui.translation import tr

_LEAST_TOKENS = 8
"""An answer that ends sooner says nothing about the speed."""
_SHORTEST_S = 1e-6


@dataclass(frozen=True, slots=True)
class Limits:
    """How long llama.cpp alone may take, in seconds."""

    writing_s: float
    """It writes no more tokens after this time."""
    all_s: float | None
    """It is stopped after this time; None if it must not be."""


class ScreenStats(msgspec.Struct, frozen=True):
    """What the client stores of an answer's making, as far as it is needed here."""

    prompt_tokens: int
    reused_tokens: int
    completion_tokens: int
    ttft_s: float
    decode_s: float
    threads: int


async def through_bare_loop(
    engine: WorkerEngine, lengths: Lengths, threads: int, limits: Limits
) -> Speed | None:
    """The speed of llama.cpp alone, with the model that is loaded in ``engine``.

    None if it takes too long, as with more threads than there are free cores.

    Raises:
        EngineFailure: llama.cpp failed.
    """
    request = TimeLoop(
        0,
        threads=threads,
        read=lengths.prompt,
        written=lengths.answer,
        most_s=limits.writing_s,
    )
    try:
        timed = await asyncio.wait_for(engine.request(request), limits.all_s)
    except TimeoutError:
        return None
    return Speed(
        lengths.prompt / max(timed.read_s, _SHORTEST_S),
        timed.written / max(timed.write_s, _SHORTEST_S),
        threads,
    )


async def through_engine(engine: WorkerEngine, prompts: Prompts) -> Speed:
    """The speed of an answer that stays in the model process.

    Raises:
        EngineFailure: the engine failed.
        BenchError: the answer ended too soon.
    """
    timed = await engine.request(TimeAnswer(0, _story(prompts)))
    return _speed(timed.stats)


async def through_worker(engine: WorkerEngine, prompts: Prompts) -> Speed:
    """The speed of an answer as it arrives in this process.

    Raises:
        EngineFailure: the engine failed.
        BenchError: the answer ended too soon.
    """
    began = time.perf_counter()
    first_s: float | None = None
    async for event in engine.generate(_story(prompts)):
        if first_s is None and isinstance(event, Delta | Finished):
            first_s = time.perf_counter() - began
        if isinstance(event, Finished):
            # From the first token in the model process to the end here: were it from its arrival,
            # a late one would make the answer look fast.
            decode_s = time.perf_counter() - began - event.stats.ttft_s
            return _speed(msgspec.structs.replace(event.stats, ttft_s=first_s, decode_s=decode_s))
    raise AssertionError("an answer ends with Finished")


async def through_screen(home: TemporaryHome, model: Path, prompts: Prompts) -> Speed:
    """The speed of an answer that the client draws, measured by its model process.

    Raises:
        BenchError: the client does not answer, or the answer ended too soon.
    """
    made = await answer_on_screen(home, model, prompts.story())
    return _speed(msgspec.convert(made, ScreenStats))


def _story(prompts: Prompts) -> Generate:
    prompt = prompts.prompt([PromptMessage("user", prompts.story())])
    return prompts.request(prompt, prompts.lengths.answer)


def _speed(stats: Stats | ScreenStats) -> Speed:
    written = stats.completion_tokens
    if written < _LEAST_TOKENS:
        raise BenchError(
            tr("the model ended an answer after {count} tokens: that is too short", count=written)
        )
    return Speed(
        (stats.prompt_tokens - stats.reused_tokens) / max(stats.ttft_s, _SHORTEST_S),
        (written - 1) / max(stats.decode_s, _SHORTEST_S),
        stats.threads,
    )
