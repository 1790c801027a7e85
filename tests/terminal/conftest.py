"""A fixed seed: the real model generates the same tokens in every run."""

from __future__ import annotations

import pytest

from baize_tui.paths import Paths


@pytest.fixture(autouse=True)
def seeded(paths: Paths) -> None:
    paths.settings_file.parent.mkdir(parents=True)
    paths.settings_file.write_text("[sampling]\nseed = 1\n")
