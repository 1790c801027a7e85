"""A worker that is killed while it saves the state of a conversation."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path

import pytest

from baize_tui.engine.client import EngineFailure, ModelSpec, WorkerEngine
from baize_tui.engine.protocol import Finished, Generate, Prompt, PromptMessage
from baize_tui.engine.snapshots.block_file import read_block
from baize_tui.paths import Paths
from baize_tui.settings import Sampling
from tests.conftest import wait_until

STORY = Prompt([PromptMessage("user", "A dragon guards coins. " * 186)])


async def answer(engine: WorkerEngine, conversation: str) -> Finished:
    request = Generate(0, STORY, Sampling(temperature=0), max_tokens=2, conversation=conversation)
    async for event in engine.generate(request):
        last = event
    assert isinstance(last, Finished)
    return last


async def kill_while_saving(engine: WorkerEngine, folder: Path, at: int) -> None:
    """Kill the worker when ``at`` bytes, or everything, of a new block were written."""
    known = set(folder.glob("*/*"))

    def written() -> bool:
        # The worker removes folders that are empty, maybe while they are listed.
        with contextlib.suppress(FileNotFoundError):
            new = set(folder.glob("*/*")) - known
            return any(file.stat().st_size >= at or file.suffix == ".kv" for file in new)
        return False

    task = asyncio.ensure_future(engine.save_cache())
    await wait_until(lambda: written() or task.done())
    assert engine.worker_pid is not None
    os.kill(engine.worker_pid, signal.SIGKILL)
    with contextlib.suppress(EngineFailure):
        await task


@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=pytest.mark.sweep)])
async def test_nothing_damaged_is_left_or_used(
    paths: Paths, shallow_smollm2: Path, kills: int
) -> None:
    chosen, folder = random.Random(3), paths.snapshots_folder
    first: list[int] = []
    for i in range(kills):
        engine = WorkerEngine(paths)
        await engine.load(ModelSpec(str(shallow_smollm2), 1024, 2, 2, snapshot_budget=64 << 20))
        conversation = f"conversation {i // 2}"
        finished = await answer(engine, conversation)
        first = first or finished.ids
        assert finished.ids == first
        await kill_while_saving(engine, folder, chosen.randrange(3 << 20))
        for file in folder.glob("*/*.kv"):
            read_block(file)  # whole
        await engine.close()
    assert sum(1 for _ in folder.glob("*/*.partial")) <= kills
    engine = WorkerEngine(paths)
    await engine.load(ModelSpec(str(shallow_smollm2), 1024, 2, 2, snapshot_budget=64 << 20))
    assert (await answer(engine, "the last")).ids == first
    assert await engine.save_cache() == ""
    assert not list(folder.glob("*/*.partial"))
    assert (await answer(engine, "the last")).stats.reused_tokens > 0
    await engine.close()
