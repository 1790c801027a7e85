"""References that several test files compare with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.made_once import made_once


@pytest.fixture(scope="session")
def smollm2_f32(smollm2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real model as a GGUF in float32; tests must not change it."""
    from tests.convert.model_folders import convert_folder

    return made_once(
        tmp_path_factory,
        "smollm2-f32.gguf",
        lambda file: convert_folder(smollm2_folder, "F32", file),
    )
