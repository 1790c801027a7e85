"""The client in a terminal of the benchmark: it answers, and it never outlives the benchmark."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from baize_tui.bench.errors import BenchError
from baize_tui.bench.home import TemporaryHome, temporary_home
from baize_tui.bench.screen import answer_on_screen, client_on_screen
from baize_tui.paths import Paths
from baize_tui.settings import ChatSettings, ModelSettings, Settings
from tests.conftest import wait_until
from tests.processes import children_of, descendants_of, is_running, wait_until_gone


@pytest.fixture
def screen_home(paths: Paths) -> Iterator[TemporaryHome]:
    with temporary_home(paths) as home:
        chat = ChatSettings(system="", moderation=False, max_tokens=12)
        home.write_settings(Settings(ModelSettings(threads=1), chat, {"seed": 1}))
        yield home
    assert not home.folder.exists()


async def test_it_types_a_question_and_gets_the_figures_of_its_answer(
    screen_home: TemporaryHome, shallow_smollm2: Path
) -> None:
    before = children_of(os.getpid())
    lines = "\n".join(f"{number}. The knight rode on." for number in range(40))
    answers = [
        await answer_on_screen(screen_home, shallow_smollm2, f"{lines}\nTell a story of {what}.")
        for what in ("dragons", "whales and dragons")
    ]
    for made in answers:
        assert made["completion_tokens"] == 12
        assert made["threads"] == 1
        assert made["reused_tokens"] == 0
    # Each is that of its own question.
    assert answers[0]["prompt_tokens"] < answers[1]["prompt_tokens"]
    assert children_of(os.getpid()) == before


async def test_a_client_that_ends_is_reported_with_its_last_words(
    screen_home: TemporaryHome, tmp_path: Path
) -> None:
    with pytest.raises(BenchError, match="no such file"):
        await answer_on_screen(screen_home, tmp_path / "missing.gguf", "Hello?")


async def test_an_error_kills_the_client_and_its_model_process(
    screen_home: TemporaryHome, shallow_smollm2: Path
) -> None:
    before = set(descendants_of(os.getpid()))
    started: list[int] = []

    def has_worker() -> bool:
        started[:] = set(descendants_of(os.getpid())) - before
        return len(started) == 2

    with pytest.raises(RuntimeError):
        async with client_on_screen(screen_home, shallow_smollm2):
            await wait_until(has_worker)
            raise RuntimeError
    await wait_until(lambda: not any(map(is_running, started)))


def test_the_client_ends_when_its_program_is_killed(paths: Paths, smollm2: Path) -> None:
    program = f"""
import asyncio, pathlib
from baize_tui.bench.home import temporary_home
from baize_tui.bench.screen import client_on_screen
from baize_tui.paths import project_paths

async def main():
    with temporary_home(project_paths()) as home:
        async with client_on_screen(home, pathlib.Path({str(smollm2)!r})) as client:
            await client.wait_for_text("moderated")
            print("ready", flush=True)
            await asyncio.Event().wait()  # for its end

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        started = descendants_of(parent.pid)
        assert started
        parent.send_signal(signal.SIGKILL)
    wait_until_gone(started)
