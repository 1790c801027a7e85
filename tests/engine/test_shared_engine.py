"""One model process serves several clients, each as if it were alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from baize_tui.engine.client import EngineFailure, ModelSpec, WorkerEngine
from baize_tui.engine.protocol import Count, Delta, Finished, Generate, Prefilling, Warm
from baize_tui.engine.shared.broker import NEEDED_ELSEWHERE, EngineBroker
from baize_tui.engine.shared.shared_engine import GONE, SharedEngine
from baize_tui.paths import Paths
from tests.conftest import wait_until
from tests.engine.test_worker import PARIS, SAY_PARIS, long_prompt, request


class Shared:
    """A broker, and the engines of its clients."""

    def __init__(self, worker: WorkerEngine, broker: EngineBroker) -> None:
        self.worker = worker
        self.broker = broker
        self.clients: list[SharedEngine] = []

    async def client(self, spec: ModelSpec) -> SharedEngine:
        """A client that has loaded a model."""
        client = SharedEngine(self.broker.socket)
        self.clients.append(client)
        loaded = await client.load(spec)
        assert loaded.n_ctx == spec.context
        return client


@pytest.fixture
async def shared(paths: Paths, tmp_path: Path) -> AsyncIterator[Shared]:
    worker = WorkerEngine(paths)
    async with EngineBroker(worker, tmp_path) as broker:
        shared = Shared(worker, broker)
        yield shared
        for client in shared.clients:
            await client.close()


@pytest.fixture
def spec(shallow_smollm2: Path) -> ModelSpec:
    return ModelSpec(str(shallow_smollm2), threads=1)


async def finish(client: SharedEngine, asked: Generate) -> Finished:
    events = [event async for event in client.generate(asked)]
    assert isinstance(events[-1], Finished)
    return events[-1]


async def test_clients_share_the_process_and_wait_for_each_other(
    shared: Shared, smollm2: Path
) -> None:
    spec = ModelSpec(str(smollm2), threads=1)
    one, other = await shared.client(spec), await shared.client(spec)
    pid = shared.worker.worker_pid
    answers = await asyncio.gather(finish(one, request()), finish(other, request()))
    assert answers[0].text == answers[1].text
    assert "Paris" in answers[0].text
    assert shared.worker.worker_pid == pid
    assert await one.count(Count(0, PARIS)) == await other.count(Count(0, PARIS)) > 20


async def test_each_client_keeps_its_own_model(shared: Shared, shallow_smollm2: Path) -> None:
    large, small = [
        await shared.client(ModelSpec(str(shallow_smollm2), context=context, threads=1))
        for context in (4096, 256)
    ]
    for _ in range(2):
        assert (
            await finish(large, request(long_prompt(260), max_tokens=2))
        ).stats.prompt_tokens > 256
        with pytest.raises(EngineFailure) as failure:
            await finish(small, request(long_prompt(260), max_tokens=2))
        assert (failure.value.kind, failure.value.n_ctx) == ("too_long", 256)


async def test_a_stopped_answer_keeps_its_text_and_frees_the_engine(
    shared: Shared, spec: ModelSpec
) -> None:
    one, other = await shared.client(spec), await shared.client(spec)
    generation = one.generate(request(max_tokens=2000))
    waiting = asyncio.create_task(finish(other, request(grammar=SAY_PARIS)))
    ended: Finished | None = None
    async for event in generation:
        if isinstance(event, Delta):
            generation.cancel()
        if isinstance(event, Finished):
            ended = event
    assert ended is not None
    assert (ended.reason, bool(ended.text)) == ("cancelled", True)
    assert (await waiting).text == "Paris"


async def test_an_answer_can_be_stopped_before_it_begins(shared: Shared, spec: ModelSpec) -> None:
    one, other = await shared.client(spec), await shared.client(spec)
    first = one.generate(request(long_prompt()))
    waiting = other.generate(request())
    async with contextlib.aclosing(aiter(first)) as events:  # type: ignore[type-var]
        await anext(events)
        task = asyncio.create_task(_last(waiting))
        await asyncio.sleep(0)
        waiting.cancel()
        ended = await task
        assert (ended.reason, ended.text) == ("cancelled", "")


async def _last(generation: object) -> Finished:
    events = [event async for event in generation]  # type: ignore[attr-defined]
    assert isinstance(events[-1], Finished)
    return events[-1]


async def test_reading_ahead_gives_way_to_a_question(shared: Shared, spec: ModelSpec) -> None:
    one, other = await shared.client(spec), await shared.client(spec)
    reading = asyncio.create_task(one.warm(Warm(0, long_prompt())))
    await wait_until(lambda: shared.broker.is_busy)
    assert (await finish(other, request(grammar=SAY_PARIS))).text == "Paris"
    with pytest.raises(EngineFailure, match=NEEDED_ELSEWHERE):
        await reading


async def test_a_client_that_leaves_frees_the_engine(shared: Shared, spec: ModelSpec) -> None:
    one, other = await shared.client(spec), await shared.client(spec)

    async def read_until_it_reads() -> None:
        async for event in one.generate(request(long_prompt())):
            if isinstance(event, Prefilling):
                return

    await read_until_it_reads()
    await one.close()
    assert (await finish(other, request(grammar=SAY_PARIS))).text == "Paris"


async def test_without_the_process_the_failure_says_what_to_do(
    shared: Shared, spec: ModelSpec, tmp_path: Path
) -> None:
    client = await shared.client(spec)
    await shared.broker.__aexit__(None, None, None)
    with pytest.raises(EngineFailure, match=GONE):
        await finish(client, request())
    with pytest.raises(EngineFailure, match=GONE):
        await SharedEngine(tmp_path / "nothing").load(spec)


async def test_a_model_that_cannot_be_loaded_is_refused(shared: Shared, spec: ModelSpec) -> None:
    client = await shared.client(spec)
    with pytest.raises(EngineFailure, match="nowhere"):
        await client.load(ModelSpec("/nowhere.gguf"))
    await client.load(spec)
    assert (await finish(client, request(grammar=SAY_PARIS))).text == "Paris"
