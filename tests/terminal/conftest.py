"""What the tests in a terminal share: a fixed seed, and a world of hostile texts."""

from __future__ import annotations

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
def seeded(paths: Paths) -> None:
    paths.settings_file.parent.mkdir(parents=True)
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
