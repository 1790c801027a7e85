"""Times of llama.cpp alone and of an answer that stays in the model process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from baize_tui.engine.client import EngineFailure, ModelSpec, WorkerEngine
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama.bare_loop import time_loop
from baize_tui.engine.llama.errors import Aborted
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import (
    Finished,
    Generate,
    Prompt,
    PromptMessage,
    TimeAnswer,
    TimeLoop,
)
from baize_tui.paths import Paths
from baize_tui.settings import Sampling

QUESTION = Prompt([PromptMessage("user", "What is the capital of France?")])
HOUR_S = 3600.0


@pytest.fixture
async def worker(paths: Paths, shallow_smollm2: Path) -> AsyncIterator[WorkerEngine]:
    engine = WorkerEngine(paths)
    await engine.load(ModelSpec(str(shallow_smollm2), context=512, threads=1))
    yield engine
    await engine.close()


def test_the_loop_reads_and_writes_as_much_as_it_should(
    engine: LlamaEngine, abort: AbortFlag
) -> None:
    times = time_loop(engine.model, abort, threads=1, read=32, written=4, most_s=HOUR_S)
    assert times.written == 4
    assert times.read_s > 0
    assert times.write_s > 0
    only_read = time_loop(engine.model, abort, threads=1, read=8, written=0, most_s=HOUR_S)
    assert only_read.written == 0


def test_the_loop_stops_writing_when_its_time_is_up(engine: LlamaEngine, abort: AbortFlag) -> None:
    times = time_loop(engine.model, abort, threads=1, read=8, written=1000, most_s=0.0)
    assert times.written == 1


def test_the_loop_leaves_the_engine_as_it_was(engine: LlamaEngine, abort: AbortFlag) -> None:
    def answer() -> Finished:
        request = Generate(1, QUESTION, Sampling(temperature=0), max_tokens=12)
        *_, finished = engine.generate(request)
        assert isinstance(finished, Finished)
        return finished

    before = answer()
    time_loop(engine.model, abort, threads=1, read=32, written=4, most_s=HOUR_S)
    after = answer()
    assert after.ids == before.ids
    # The engine has its own context, whose cells are still there.
    assert after.stats.reused_tokens == after.stats.prompt_tokens - 1


def test_the_loop_can_be_stopped(engine: LlamaEngine, abort: AbortFlag) -> None:
    abort.set()
    try:
        with pytest.raises(Aborted):
            time_loop(engine.model, abort, threads=1, read=512, written=1, most_s=HOUR_S)
    finally:
        abort.clear()


async def test_the_worker_times_the_loop_and_stops_it(worker: WorkerEngine) -> None:
    short = TimeLoop(0, threads=1, read=16, written=3, most_s=HOUR_S)
    timed = await worker.request(short)
    assert (timed.written, timed.read_s > 0, timed.write_s > 0) == (3, True, True)
    endless = TimeLoop(0, threads=1, read=16, written=1 << 15, most_s=HOUR_S)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(worker.request(endless), 0.5)
    assert (await worker.request(short)).written == 3


async def test_the_worker_times_an_answer_without_sending_it(worker: WorkerEngine) -> None:
    request = Generate(0, QUESTION, Sampling(temperature=0), max_tokens=12)
    stats = (await worker.request(TimeAnswer(0, request))).stats
    finished = [event async for event in worker.generate(request)][-1]
    assert isinstance(finished, Finished)
    assert stats.completion_tokens == finished.stats.completion_tokens > 0
    assert stats.prompt_tokens == finished.stats.prompt_tokens
    assert stats.decode_s > 0


async def test_a_template_that_fails_is_named(worker: WorkerEngine) -> None:
    broken = Prompt([PromptMessage("user", "Hi")], template="{% broken", template_name="mine")
    with pytest.raises(EngineFailure, match="mine failed"):
        await worker.request(TimeAnswer(0, Generate(0, broken)))
