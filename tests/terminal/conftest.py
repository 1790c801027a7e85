"""What the tests in a terminal share: a small model, a fixed seed, a world of hostile texts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from baize_tui.paths import Paths
from tests.hub import stand_in
from tests.made_once import made_once
from tests.terminal.hostile_world import OUTSIDE, World, build_world, hub_folders, write_model
from tests.terminal.terminal_bytes import SURROGATE, hostile
from tests.train import scripted_server


@pytest.fixture(autouse=True)
def seeded(paths: Paths, shallow_smollm2: Path) -> None:
    """The default model starts and answers in a fraction of the time, and makes no sense."""
    paths.settings_file.parent.mkdir(parents=True)
    write_settings(paths, shallow_smollm2, max_tokens=3000)  # time to stop an answer


def write_settings(paths: Paths, model: Path, *, max_tokens: int, further: str = "") -> None:
    """The default model, the longest answer, a fixed seed, and ``further`` tables."""
    default = f"[model]\ndefault = {json.dumps(str(model))}\n"
    chat = f"[chat]\nmax_tokens = {max_tokens}\n"
    paths.settings_file.write_text(f"{default}{chat}[sampling]\nseed = 1\n{further}", "utf-8")


@pytest.fixture
def makes_sense(paths: Paths, seeded: None) -> None:
    """The default model is the real one."""
    paths.settings_file.write_text("[sampling]\nseed = 1\n")


@pytest.fixture
def world(tmp_path: Path, paths: Paths, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The hostile files, in the home of this test."""
    model = made_once(tmp_path_factory, "hostile-model", write_model)
    return build_world(paths, tmp_path / "world", model)


@pytest.fixture
def environment(world: World, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A hub and a server on this machine, whose answers are hostile."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    with (
        stand_in.serve(hub_folders(world)) as hub,
        scripted_server.serve(lambda messages: hostile("Qserver", SURROGATE)) as server,
    ):
        hub.listed = OUTSIDE
        yield {
            **kept,
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "OPENAI_API_KEY": "",
            "no_proxy": "*",
            "SERVER": server.spec,
        }
