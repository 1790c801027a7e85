"""The commands as processes, with a stand-in on this machine for their hub."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.convert.make_goldens import BASE, FOLDER
from tests.convert.model_folders import SHAPES, random_folder
from tests.hub.stand_in import Hub, serve
from tests.made_once import made_once
from tests.warm_start import PROGRAMS, as_text

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Spawn = Callable[..., "subprocess.Popen[str]"]
TOKEN = "hf_secret"


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights, to be read only."""

    def make(folder: Path) -> object:
        return random_folder(folder, **SHAPES["biased"])

    return made_once(tmp_path_factory, "random-model", make)


@pytest.fixture
def hub(
    tmp_path: Path, random_model: Path, small_model: Path, smollm2_folder: Path
) -> Iterator[Hub]:
    """Checkpoints, one of them real, an adapter, a small GGUF, and repositories without access."""
    model = shutil.copytree(random_model, tmp_path / "model")  # some tests change it
    adapter = tmp_path / "adapter"
    shutil.copytree(FOLDER / "plain", adapter, ignore=shutil.ignore_patterns("merged*", "*.bin"))
    ggufs = tmp_path / "ggufs"
    ggufs.mkdir()
    (ggufs / "small-F16.gguf").symlink_to(small_model)
    folders = {
        "owner/model": model,
        "owner/base": BASE,
        "owner/adapter": adapter,
        "owner/smollm2": smollm2_folder,
        "owner/ggufs": ggufs,
        "owner/private": model,
        "owner/gated": model,
    }
    with serve(folders, TOKEN) as hub:
        yield hub


def environment_with(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """The environment of a program whose hub is the stand-in."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return {
        **kept,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def spawner(
    module: str, hub: Hub, tmp_path: Path, stdin: int = subprocess.DEVNULL
) -> Iterator[Spawn]:
    """A function that starts ``python -m module`` with the stand-in as its hub."""
    begun: list[subprocess.Popen[str]] = []

    def spawn(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment_with(hub, tmp_path), **environment},
        )
        begun.append(process)
        return process

    yield spawn
    for process in begun:
        process.kill()
        process.communicate()


def runner(module: str, hub: Hub, tmp_path: Path) -> Run:
    """A function that runs a program to its end with the stand-in as its hub."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        complete = {**environment_with(hub, tmp_path), **environment}
        return as_text(PROGRAMS.run(module, list(map(str, arguments)), complete))

    return run


@pytest.fixture
def spawn(hub: Hub, tmp_path: Path) -> Iterator[Spawn]:
    """Start ``baize-convert``."""
    yield from spawner("baize_convert", hub, tmp_path)


@pytest.fixture
def run(hub: Hub, tmp_path: Path) -> Run:
    """Run ``baize-convert`` to its end."""
    return runner("baize_convert", hub, tmp_path)


@pytest.fixture
def spawn_client(hub: Hub, tmp_path: Path) -> Iterator[Spawn]:
    """Start ``baize-tui``."""
    yield from spawner("baize_tui", hub, tmp_path)


@pytest.fixture
def run_client(hub: Hub, tmp_path: Path) -> Run:
    """Run ``baize-tui`` to its end."""
    return runner("baize_tui", hub, tmp_path)


@pytest.fixture
def run_training(hub: Hub, tmp_path: Path) -> Run:
    """Run ``baize-train`` to its end."""
    return runner("baize_train", hub, tmp_path)


@pytest.fixture
def spawn_pull(hub: Hub, tmp_path: Path) -> Iterator[Spawn]:
    """Start a pull as the client does, which keeps its stdin open."""
    yield from spawner("baize_tui.catalog.pull_process", hub, tmp_path, subprocess.PIPE)
