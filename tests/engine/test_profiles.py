"""Machine profiles: a worker that crashes on this machine is replaced by a more careful one."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from baize_tui.engine.client import EngineFailure, ModelSpec, NoProfileLeft, WorkerEngine
from baize_tui.engine.crash_switch import VARIABLE
from baize_tui.engine.machine_cache import MachineKey, this_machine_key
from baize_tui.engine.profile_cache import ProfileCache
from baize_tui.engine.profiles import (
    FULL,
    LADDER,
    environment_for,
    next_safer,
    profile_named,
)
from baize_tui.engine.protocol import Delta, Finished, Generate, Prompt, PromptMessage
from baize_tui.paths import Paths
from baize_tui.settings import Sampling
from tests.engine.shallow_model import LAYERS

STORY = Prompt([PromptMessage("user", "Write a long story about a dragon and a knight.")])
EVERY = ",".join(profile.name for profile in LADDER)
KEY = MachineKey("library", "processor", "backend")


@asynccontextmanager
async def opened(paths: Paths) -> AsyncIterator[tuple[WorkerEngine, list[str]]]:
    """An engine, and what it says was switched off."""
    notices: list[str] = []
    engine = WorkerEngine(paths, notices.append)
    try:
        yield engine, notices
    finally:
        await engine.close()


async def story(engine: WorkerEngine, tokens: int = 40, grammar: str = "") -> tuple[str, Finished]:
    """The text of the deltas, and the end."""
    text = ""
    request = Generate(0, STORY, Sampling(temperature=0), max_tokens=tokens, grammar=grammar)
    async for event in engine.generate(request):
        if isinstance(event, Delta):
            text += event.text
    assert isinstance(event, Finished)
    return text, event


# --- the rules ------------------------------------------------------------------------------------


def test_each_profile_switches_off_one_thing_more() -> None:
    assert FULL.switched_off == []
    for faster, safer in itertools.pairwise(LADDER):
        assert safer.switched_off[:-1] == faster.switched_off
    assert len({profile.name for profile in LADDER}) == len(LADDER)


@pytest.mark.parametrize("gpu_backend", [False, True])
def test_the_ladder_ends_with_one_thread(gpu_backend: bool) -> None:
    names, profile = [FULL.name], next_safer(FULL, gpu_backend=gpu_backend)
    while profile is not None:
        names.append(profile.name)
        profile = next_safer(profile, gpu_backend=gpu_backend)
    wanted = [profile.name for profile in LADDER if gpu_backend or profile.name != "no-gpu"]
    assert names == wanted


def test_without_the_gpu_its_driver_is_not_loaded() -> None:
    assert environment_for(FULL) == {}
    for profile in LADDER:
        assert ("CUDA_VISIBLE_DEVICES" in environment_for(profile)) is not profile.gpu


def test_a_working_profile_is_remembered(tmp_path: Path) -> None:
    cache = ProfileCache(tmp_path / "cache" / "profile.json", KEY)
    assert cache.read() is None
    cache.write(LADDER[2], "it crashed")
    known = cache.read()
    assert known is not None
    assert (profile_named(known.profile), known.why) == (LADDER[2], "it crashed")


@pytest.mark.parametrize("changed", ["library", "processor", "backend"])
def test_it_is_dropped_when_the_machine_changes(changed: str, tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    ProfileCache(file, KEY).write(LADDER[1], "it crashed")
    assert ProfileCache(file, msgspec.structs.replace(KEY, **{changed: "new"})).read() is None
    assert ProfileCache(file, KEY).read() is None, "the old machine does not come back"


def test_a_profile_after_an_outside_kill_is_kept_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ProfileCache(tmp_path / "profile.json", KEY)
    cache.write(LADDER[1], "SIGKILL", temporary=True)
    assert cache.read() is not None
    later = time.time() + 25 * 3600
    monkeypatch.setattr(time, "time", lambda: later)
    assert cache.read() is None


def test_a_profile_that_was_kept_while_the_clock_was_ahead_is_not_kept_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ProfileCache(tmp_path / "profile.json", KEY)
    cache.write(LADDER[1], "SIGKILL", temporary=True)
    earlier = time.time() - 3600
    monkeypatch.setattr(time, "time", lambda: earlier)
    assert cache.read() is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"key": 1}', b"\xff\x00"])
def test_a_damaged_cache_only_means_trying_again(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    file.write_bytes(content)
    cache = ProfileCache(file, KEY)
    assert cache.read() is None
    cache.write(LADDER[1], "it crashed")
    assert cache.read() is not None


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = ProfileCache(tmp_path / "file" / "profile.json", KEY)
    cache.write(LADDER[1], "it crashed")
    assert cache.read() is None


def test_the_key_of_this_machine_stays_the_same() -> None:
    key = this_machine_key()
    assert key == this_machine_key()
    assert all(msgspec.structs.astuple(key))


# --- crashes --------------------------------------------------------------------------------------

SIGNALS = ("SIGSEGV", "SIGILL", "SIGABRT", "SIGKILL")
PHASES = ("starting", "loading", "warming-up", "prefilling", "decoding")
CRASHES = [
    pytest.param(signal, phase, id=f"{signal}-{phase}", marks=marks)
    for row, phase in enumerate(PHASES)
    for column, signal in enumerate(SIGNALS)
    # One signal for each phase always, the others with the sweeps.
    for marks in [() if column == row % len(SIGNALS) else (pytest.mark.sweep,)]
]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("signal", "phase"), CRASHES)
async def test_a_crash_is_survived_and_remembered(
    signal: str, phase: str, paths: Paths, shallow_smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"{signal} {phase} full")
    async with opened(paths) as (engine, notices):
        await engine.load(ModelSpec(str(shallow_smollm2), context=512))
        text, end = await story(engine)
        assert text == end.text
        assert end.stats.completion_tokens == 40
        (notice,) = notices
        assert signal in notice
        assert "without extra buffer types" in notice
        assert engine.profile == LADDER[1]
    async with opened(paths) as (engine, notices):
        await engine.load(ModelSpec(str(shallow_smollm2), context=512))
        assert engine.profile == LADDER[1], "it is not tried again"
        assert (await story(engine, 4))[1].text
        assert notices == []


@pytest.mark.parametrize("safest", [2, pytest.param(4, marks=pytest.mark.sweep)])
async def test_it_steps_down_as_far_as_it_must(
    safest: int, paths: Paths, shallow_smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = ",".join(profile.name for profile in LADDER[:safest])
    monkeypatch.setenv(VARIABLE, f"SIGSEGV decoding {crashing}")
    async with opened(paths) as (engine, notices):
        await engine.load(ModelSpec(str(shallow_smollm2), context=512))
        text, end = await story(engine)
        assert text == end.text
        assert end.stats.completion_tokens == 40 > end.stats.resumed_tokens > 0
        assert engine.profile == LADDER[safest]
        (notice,) = notices
        assert notice.endswith(", ".join(LADDER[safest].switched_off))


async def test_a_grammar_continues_after_a_crash(
    paths: Paths, shallow_smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "SIGABRT decoding full")
    async with opened(paths) as (engine, _):
        await engine.load(ModelSpec(str(shallow_smollm2), context=512))
        text, end = await story(engine, 200, 'root ::= "one two three four five six seven eight"')
    assert text == end.text == "one two three four five six seven eight"
    assert end.stats.resumed_tokens > 0


@pytest.mark.parametrize("phase", ["loading", "decoding"])
async def test_a_file_that_kills_every_profile_is_named(
    phase: str, paths: Paths, shallow_smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"SIGABRT {phase} {EVERY}")
    async with opened(paths) as (engine, notices):
        with pytest.raises(NoProfileLeft, match="in every machine profile") as caught:
            await engine.load(ModelSpec(str(shallow_smollm2), context=512))
            await story(engine)
        assert str(caught.value).startswith(
            f"{shallow_smollm2} is damaged, or llama.cpp cannot run it"
        )
        assert notices == []
        # The fault is attributed to the file, not to the machine.
        monkeypatch.delenv(VARIABLE)
        await engine.load(ModelSpec(str(shallow_smollm2), context=512))
        assert engine.profile == FULL
    assert not paths.machine_profile_file.exists()


@pytest.mark.parametrize("crash", ["SIGSEGV starting", "SIGILL warming-up"])
async def test_a_library_for_another_processor_is_no_fault_of_the_file(
    crash: str, paths: Paths, shallow_smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"{crash} {EVERY}")
    async with opened(paths) as (engine, _):
        with pytest.raises(NoProfileLeft, match="cannot run on this machine") as caught:
            await engine.load(ModelSpec(str(shallow_smollm2)))
    assert str(shallow_smollm2) not in str(caught.value)


@pytest.mark.parametrize("phase", ["reading", "measuring"])
async def test_files_are_read_and_measured_after_a_crash(
    phase: str, paths: Paths, shallow_smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"SIGSEGV {phase} full")
    async with opened(paths) as (engine, notices):
        if phase == "reading":
            assert (await engine.inspect(str(shallow_smollm2))).layers == LAYERS
        else:
            measured = await engine.measure(str(shallow_smollm2), 512)
            assert measured.footprint.repacked == 0, "nothing is repacked under this profile"
    assert len(notices) == 1


async def test_an_answer_can_be_stopped_while_its_worker_is_replaced(
    paths: Paths, shallow_smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "SIGSEGV decoding full")
    async with opened(paths) as (engine, _):
        await engine.load(ModelSpec(str(shallow_smollm2), context=512))
        generation = engine.generate(Generate(0, STORY, Sampling(temperature=0), max_tokens=400))
        async for event in generation:
            if isinstance(event, Delta):
                generation.cancel()
        assert isinstance(event, Finished)
        assert event.reason == "cancelled"
        assert event.ids


async def test_a_worker_that_ends_by_itself_is_no_machine_fault(
    paths: Paths, shallow_smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exit code is a fault of the program, and another profile would not help."""
    monkeypatch.setenv(VARIABLE, "nonsense")
    async with opened(paths) as (engine, _):
        with pytest.raises(EngineFailure, match="exit code 1"):
            await engine.load(ModelSpec(str(shallow_smollm2)))
